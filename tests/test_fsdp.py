"""Training over two processes (gloo, CPU) as users launch it: the weights of one process."""

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


def launch(launcher: list[str], script: str) -> subprocess.CompletedProcess:
    root = os.path.dirname(os.path.dirname(__file__))
    paths = os.pathsep.join([os.path.dirname(__file__), root])
    environment = {**os.environ, "PYTHONPATH": paths, "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", *launcher, script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def weights(folder):
    files = [
        folder / "head.safetensors",
        *folder.glob("adapter_model.safetensors"),
        *folder.glob("backbone/*.safetensors"),
    ]
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("launcher, whole", [(TORCHRUN, False), (FSDP, False), (FSDP, True)])
def test_two_processes_train_the_weights_of_one(tmp_path, launcher, whole):
    config = tiny.config(tiny.backbone(tmp_path / "llama"), **({"lora": None} if whole else {}))
    evaluation = Evaluation(held_out=0.2, every=3)
    settings = Config(batch=8, accumulate=2, lr=1e-3, evaluation=evaluation, share_prompts=True)
    train(tiny.rows(80), config, settings, tmp_path / "one", seed=1)
    script = tmp_path / "job.py"
    script.write_text(
        "import tiny\nfrom prm.settings import Config, Evaluation\nfrom prm.train import train\n"
        f"prm = tiny.config({config.backbone!r}, **{ {'lora': None} if whole else {} })\n"
        f"train(tiny.rows(80), prm, {settings!r}, {str(tmp_path / 'two')!r}, seed=1)\n"
    )
    done = launch(launcher, str(script))
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    gap = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert gap < 2e-4, f"weights differ by {gap}"
    pair = ("what is two ?", ["so one then it makes right .\n", "so one then it makes wrong .\n"])
    scores = [PRM.load(tmp_path / name, "cpu").score(*pair) for name in ("one", "two")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
