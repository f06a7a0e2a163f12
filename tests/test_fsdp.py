"""Training over two processes (gloo, CPU) as users launch it: the weights of one process, also after a kill."""

import json
import os
import subprocess
import sys

import pytest
import tiny
from safetensors.torch import load_file

from prm.model import PRM
from prm.settings import Config, Evaluation
from prm.train import train

TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node=2"]
FSDP = [
    *("accelerate.commands.launch", "--num_processes=2", "--num_machines=1", "--mixed_precision=no"),
    *("--dynamo_backend=no", "--num_cpu_threads_per_process=1", "--main_process_port=0"),
    *("--use_fsdp", "--fsdp_version=2", "--fsdp_auto_wrap_policy=TRANSFORMER_BASED_WRAP"),
]
SETTINGS = Config(batch=8, accumulate=2, lr=1e-3, save_every=3, evaluation=Evaluation(held_out=0.2, every=3))
# accelerate takes --use_fsdp on GPUs alone; here it is told that this, too, is such a machine.
FORCE = """
import accelerate.state as state
from accelerate.utils import DistributedType
init = state.AcceleratorState.__init__
def forced(self, *args, fsdp_plugin=None, **options):
    init(self, *args, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
state.AcceleratorState.__init__ = forced
"""
JOB = """
import os, signal, sys, tiny, torch
from torch.distributed.tensor import DTensor
from prm import trainer
from prm.settings import Config, Evaluation
from prm.train import train
from prm.loss import Dynamic
step, spread = trainer.StepTrainer.training_step, set()
def seen(self, *args, **options):
    spread.update(isinstance(p, DTensor) for p in self.model.parameters() if p.requires_grad)
    return step(self, *args, **options)
trainer.StepTrainer.training_step = seen
def progress(steps, *args):
    for at in steps:
        if at == int(os.environ.get("KILL_AT", -1)) and os.environ["RANK"] == "0": os.kill(os.getpid(), signal.SIGKILL)
        yield at
"""


def launch(launcher: list[str], script: str, **more) -> subprocess.CompletedProcess:
    root = os.path.dirname(os.path.dirname(__file__))
    paths = os.pathsep.join([os.path.dirname(__file__), root])
    environment = {**os.environ, "PYTHONPATH": paths, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, "-m", *launcher, script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def weights(folder):
    files = [
        folder / "head.safetensors",
        *folder.glob("adapter_model.safetensors"),
        *folder.glob("backbone/*.safetensors"),
    ]
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("launcher, whole", [(TORCHRUN, False), (FSDP, False), (FSDP, True)])
def test_two_processes_train_the_weights_of_one(tmp_path, launcher, whole):
    """And go on to the same ones when the first is killed."""
    more = {"lora": None} if whole else {}
    config = tiny.config(tiny.backbone(tmp_path / "llama"), **more)
    train(tiny.rows(80), config, SETTINGS, tmp_path / "one", seed=1)
    script = tmp_path / "job.py"
    script.write_text(
        f"{FORCE if launcher is FSDP else ''}{JOB}\n"
        f"prm = tiny.config({config.backbone!r}, **{more})\n"
        f"train(tiny.rows(80), prm, {SETTINGS!r}, {str(tmp_path / 'two')!r}, 1, progress)\n"
        f"assert spread == {{{launcher is FSDP}}}, 'FSDP spreads parameters, and nothing else does'\n"
    )
    killed = launch(launcher, str(script), KILL_AT="5")
    assert killed.returncode and (tmp_path / "two.checkpoints" / "checkpoint-3").is_dir(), killed.stderr[-3000:]
    done = launch(launcher, str(script))
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    gap = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert gap < 2e-4, f"weights differ by {gap}"
    pair = ("what is two ?", ["so one then it makes right .\n", "so one then it makes wrong .\n"])
    scores = [PRM.load(tmp_path / name, "cpu").score(*pair) for name in ("one", "two")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    logs = [json.loads((tmp_path / name / "history.json").read_text())["steps"] for name in ("one", "two")]
    assert [e["step"] for e in logs[0]] == [e["step"] for e in logs[1]] and logs[0]
    for entry, other in zip(*logs):
        assert entry["loss"] == pytest.approx(other["loss"], abs=1e-4)
        assert entry["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
