"""Training, by example: it learns, is repeatable, goes on after a kill, and stops where it must."""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys

import pytest
import tiny
import torch
from safetensors.torch import load_file

from prm import heldout
from prm import train as training
from prm.collate import pad
from prm.errors import PrmError
from prm.loss import Dynamic
from prm.model import PRM
from prm.settings import Config, Evaluation
from prm.train import train
from prm.plan import plan

RIGHT, WRONG = "so one then it makes right .\n", "so one then it makes wrong .\n"


def weights(folder):
    return {**load_file(folder / "adapter_model.safetensors"), **load_file(folder / "head.safetensors")}


def same(a, b):
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.mark.parametrize(
    "kind, packed", [("llama", False), ("llama", None), ("gpt2", None), ("bert", None), ("roberta", None)]
)
def test_it_learns_the_labels(tmp_path, kind, packed):
    whole = {"lora": None} if kind in ("bert", "roberta") else {}  # a random encoder must learn to look around
    config = tiny.config(tiny.backbone(tmp_path / kind, kind), **whole)
    settings = Config(batch=16, epochs=6 if whole else 4, lr=3e-3 if whole else 1e-2, packed=packed)
    train(tiny.rows(300), config, settings, tmp_path / "prm", seed=0)
    right, wrong = PRM.load(tmp_path / "prm", "cpu").score("what is two ?", [RIGHT, WRONG])
    assert right > 0.75 and wrong < 0.25, "near the soft labels 0.9 and 0.1"


def test_the_history_counts_what_was_left_out(tmp_path):
    rows = tiny.rows(40)
    problem, sample, steps, labels = rows[0]
    rows[0] = (dataclasses.replace(problem, text="what " * 100), sample, steps, labels)
    rows[1] = (
        *rows[1][:2],
        dataclasses.replace(rows[1][2], ends=()),
        dataclasses.replace(rows[1][3], values=(), weights=()),
    )
    silent = rows[2][3]
    rows[2] = (
        *rows[2][:3],
        dataclasses.replace(silent, values=(None,) * len(silent.values), weights=(0.0,) * len(silent.values)),
    )
    train(rows, tiny.config(tiny.backbone(tmp_path / "llama")), Config(batch=4, dynamic=Dynamic()), tmp_path / "prm")
    history = json.loads((tmp_path / "prm" / "history.json").read_text())
    assert history["counts"]["solutions"] == 40
    assert history["counts"]["problem_too_long"] == history["counts"]["no_steps"] == 1
    assert history["counts"]["all_abstained"] >= 1
    assert {"loss", "grad_norm", "learning_rate", "down_right", "down_wrong"} <= set(history["steps"][0])
    (epoch,) = history["epochs"]
    assert sum(epoch[c]["steps"] for c in ("right", "wrong")) == history["counts"]["labels"], "each label once an epoch"


def test_same_seed_same_weights_and_the_split_changes_only_rounding(tmp_path):
    config, rows = tiny.config(tiny.backbone(tmp_path / "llama")), tiny.rows(64)
    for name, seed, accumulate in (("a", 1, 1), ("b", 1, 1), ("c", 2, 1), ("split", 1, 4)):
        train(rows, config, Config(batch=8, accumulate=accumulate, lr=1e-3), tmp_path / name, seed)
    assert same(tmp_path / "a", tmp_path / "b") and not same(tmp_path / "a", tmp_path / "c")
    whole, split = (PRM.load(tmp_path / name, "cpu").score("what is two ?", [RIGHT, WRONG]) for name in ("a", "split"))
    assert whole == pytest.approx(split, abs=1e-3)


def test_gradient_checkpointing_changes_memory_alone(tmp_path):
    config, rows = tiny.config(tiny.backbone(tmp_path / "llama")), tiny.rows(32)
    for checkpointed in (False, True):
        train(rows, config, Config(batch=8, lr=1e-3, gradient_checkpointing=checkpointed), tmp_path / str(checkpointed))
    plain, saved = (weights(tmp_path / name) for name in ("False", "True"))
    assert all(plain[name].allclose(saved[name], atol=1e-5) for name in plain)


def test_a_killed_run_goes_on_and_ends_in_the_same_weights(tmp_path):
    config = tiny.config(tiny.backbone(tmp_path / "llama"))
    settings = Config(
        batch=8, epochs=2, lr=1e-3, save_every=7, dynamic=Dynamic(), evaluation=Evaluation(held_out=0.2, every=4)
    )
    train(tiny.rows(160), config, settings, tmp_path / "whole")
    code = (
        "import os, signal, tiny\nfrom prm.train import train\nfrom prm.settings import Config, Evaluation\nfrom prm.loss import Dynamic\n"
        "def progress(steps, *args):\n"
        "    for step in steps:\n"
        "        if step == 17: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield step\n"
        f"train(tiny.rows(160), tiny.config({config.backbone!r}), {settings!r}, {str(tmp_path / 'killed')!r}, 0, progress)"
    )
    paths = os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (tmp_path / "killed").exists()
    checkpoints = tmp_path / "killed.checkpoints"
    (checkpoints / "checkpoint-21").mkdir()  # one that the kill left half written
    seen = []
    train(
        tiny.rows(160),
        config,
        settings,
        tmp_path / "killed",
        0,
        lambda steps, *args: (seen.append(s) or s for s in steps),
    )
    assert seen[0] == 14, "from the last whole checkpoint"
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert not checkpoints.exists()
    whole, killed = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("whole", "killed"))
    for history in (whole, killed):  # all but how fast it went
        for entry in history["steps"] + history["evaluations"]:
            entry.pop("eval_runtime", None)
    assert whole == killed and len(whole["evaluations"]) > 5
    logged = [entry["step"] for entry in whole["steps"]]
    assert logged == list(range(1, logged[-1] + 1)), "no loss is lost where an evaluation is logged, too"


def test_the_same_call_again_is_done_at_once_and_other_settings_are_refused(tmp_path):
    config, rows = tiny.config(tiny.backbone(tmp_path / "llama")), tiny.rows(32)
    train(rows, config, Config(batch=8), tmp_path / "prm")
    before = (tmp_path / "prm" / "prm.json").stat().st_mtime_ns
    (tmp_path / "prm" / "NOTES.txt").write_text("mine")
    for stray in ("prm.tmp", "prm.checkpoints"):  # what kills at the worst moments leave
        (tmp_path / stray).mkdir()
    train(rows, config, Config(batch=8), tmp_path / "prm")
    assert not (tmp_path / "prm.checkpoints").exists()
    assert (tmp_path / "prm" / "prm.json").stat().st_mtime_ns == before
    for other in ((rows, Config(batch=8, lr=1e-2)), (rows[:16], Config(batch=8))):
        with pytest.raises(PrmError, match="prm: holds a PRM of other data or settings; remove it, or give another"):
            train(other[0], config, other[1], tmp_path / "prm")
    assert (tmp_path / "prm" / "prm.json").stat().st_mtime_ns == before
    assert (tmp_path / "prm" / "NOTES.txt").read_text() == "mine"
    (tmp_path / "free").mkdir()
    train(rows, config, Config(batch=8, lr=1e-2), tmp_path / "free")
    (tmp_path / "prm.tmp").rmdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["free", "llama", "prm"]


def test_a_diverging_run_saves_nothing(tmp_path):
    config, rows = tiny.config(tiny.backbone(tmp_path / "llama")), tiny.rows(64)
    with pytest.raises(PrmError, match=r"diverged: .*(step \d+ of 32|not finite).*lower train.lr"):
        train(rows, config, Config(batch=8, epochs=4, lr=1e38, save_every=1, warmup=0.0), tmp_path / "diverged")
    assert not (tmp_path / "diverged").exists()


def test_labels_that_all_abstain_are_an_error(tmp_path):
    rows = [
        (problem, sample, steps, dataclasses.replace(s, values=(None,) * len(s.values), weights=(0.0,) * len(s.values)))
        for problem, sample, steps, s in tiny.rows(5)
    ]
    config = tiny.config(tiny.backbone(tmp_path / "llama"))
    with pytest.raises(PrmError, match="no step with a label.*5 all_abstained"):
        train(rows, config, Config(), tmp_path / "prm")
    with pytest.raises(PrmError, match="no step with a label.*no rows"):
        train([], config, Config(), tmp_path / "prm")


@pytest.mark.parametrize("name", ["chapter1.tex", "prm.json", "history.json"])  # prm.json alone: an export
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / name).write_text("...")
    for folder, said in (
        ("thesis", f"thesis: holds what no training wrote \\({name}\\)"),
        (f"thesis/{name}", "is a file"),
    ):
        with pytest.raises(PrmError, match=said):
            train(tiny.rows(4), tiny.config("nowhere"), Config(), tmp_path / folder)
    assert (tmp_path / "thesis" / name).read_text() == "..."


def test_the_plan_visits_every_window_once_an_epoch_in_batches_that_no_split_changes():
    lengths = [7 * i % 31 + 1 for i in range(101)]
    batches = plan(lengths, Config(batch=8, epochs=2), seed=0)
    assert sorted(i for batch in batches[:13] for i in batch) == list(range(101)) and len(batches) == 26
    assert {len(batch) for batch in batches} == {7, 8}
    assert batches[:13] != batches[13:]
    split = plan(lengths, Config(batch=8, accumulate=2, epochs=2), seed=0, world=2)
    assert [sum(split[i : i + 4], []) for i in range(0, len(split), 4)] == batches
    with pytest.raises(PrmError, match="train.accumulate"):
        plan(lengths[:3], Config(batch=4, accumulate=4), seed=0)


def test_windows_of_a_long_solution_share_its_labels(tmp_path):
    prm = PRM.create(tiny.config(tiny.backbone(tmp_path), max_tokens=16), "cpu")
    [row] = [row for row in tiny.rows(20) if len(row[2].ends) == 4 and None not in row[3].values][:1]
    items, counts = training.encode_rows([row], prm.tokenizer, prm.config)
    assert counts["windows"] > 1
    assert [round(v, 1) for item in items for v in item.values] == list(row[3].values)


def test_bad_settings_name_the_key():
    for values, said in (
        ({"batch": 0}, "batch: 0"),
        ({"accumulate": 3}, "accumulate: 3 does not divide"),
        ({"lr": 0.0}, "lr: 0.0"),
        ({"schedule": "cos"}, "choose one of linear, cosine, constant"),
        ({"warmup": 1.0}, "warmup: 1.0"),
    ):
        with pytest.raises(ValueError, match=said):
            Config(**values)
    with pytest.raises(ValueError, match="floor"):
        Dynamic(floor=2.0)


def test_siblings_that_do_not_fit_in_a_processs_share_are_refused():
    with pytest.raises(PrmError, match="siblings: 4 do not fit in a micro-batch of 8 / .1 x 4"):
        plan([9] * 64, Config(batch=8, siblings=4), 0, world=4, problems=["p"] * 64)


def test_another_problems_id_is_another_run(tmp_path):
    """Who is a sibling of whom, and who is held out, goes by the ids: no checkpoint is taken for another run's."""
    prm = PRM.create(tiny.config(tiny.backbone(tmp_path / "llama")), "cpu")
    items, _ = training.encode_rows(tiny.rows(4), prm.tokenizer, prm.config)
    others = [dataclasses.replace(item, problem="q") for item in items]
    assert training._digest(items) != training._digest(others)


def test_siblings_stay_together_and_a_batch_stays_as_large():
    problems = [f"p{i // 8}" for i in range(96)]
    settings = Config(batch=16, accumulate=2, siblings=4)
    parts = plan([9] * 96, settings, seed=0, problems=problems)
    assert sorted(i for part in parts for i in part) == list(range(96)) and {len(part) for part in parts} == {8}
    assert all(len({problems[i] for i in part}) <= 2 for part in parts), "two groups of four a micro-batch"
    alone = plan([9] * 96, Config(batch=16, accumulate=2), seed=0, problems=problems)
    assert max(len({problems[i] for i in part}) for part in alone) > 4


def test_evaluation_stops_early_and_keeps_the_best_weights(tmp_path):
    config, rows = tiny.config(tiny.backbone(tmp_path / "llama")), tiny.rows(120)
    evaluation = Evaluation(held_out=0.3, every=2, patience=2)
    settings = Config(
        batch=8, epochs=30, lr=0.3, schedule="constant", evaluation=evaluation
    )  # a rate that soon spoils it
    train(rows, config, settings, tmp_path / "prm")
    history = json.loads((tmp_path / "prm" / "history.json").read_text())
    evaluations, best = history["evaluations"], history["best"]
    assert evaluations[-1]["step"] == best + 4 < 100, "stopped two evaluations behind the best"
    assert best == min(evaluations, key=lambda entry: entry["eval_loss"])["step"]
    assert {"eval_loss", "eval_auroc"} <= set(evaluations[0])
    trained_on, held_out = heldout.split(
        training.encode_rows(rows, PRM.create(config, "cpu").tokenizer, config)[0], evaluation
    )
    assert not {item.problem for item in trained_on} & {item.problem for item in held_out}
    assert history["counts"]["held_out"] == len(held_out)
    prm, top, bottom = PRM.load(tmp_path / "prm", "cpu"), 0.0, 0.0
    for item in held_out:
        logits = prm.network(**pad([item.window], 0))
        values, weights = torch.tensor(item.values), torch.tensor(item.weights)
        top += float(torch.nn.functional.binary_cross_entropy_with_logits(logits, values, weights, reduction="sum"))
        bottom += float(weights.sum())
    kept = next(entry for entry in evaluations if entry["step"] == best)
    assert kept["eval_loss"] == pytest.approx(top / bottom, abs=1e-4), "the saved weights are the best evaluation's"


def test_a_kill_behind_an_early_stop_changes_nothing(tmp_path, monkeypatch):
    """The last checkpoint is of the step at which training stopped: there is nothing to train when it goes on."""
    config, rows = tiny.config(tiny.backbone(tmp_path / "llama")), tiny.rows(120)
    evaluation = Evaluation(held_out=0.3, every=2, patience=2)
    settings = Config(batch=8, epochs=30, lr=0.3, schedule="constant", save_every=2, evaluation=evaluation)
    train(rows, config, settings, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_publish", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        train(rows, config, settings, tmp_path / "killed")
    train(rows, config, settings, tmp_path / "killed")
    whole, killed = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("whole", "killed"))
    assert same(tmp_path / "whole", tmp_path / "killed") and whole["best"] == killed["best"]
    losses = [[e["eval_loss"] for e in history["evaluations"]] for history in (whole, killed)]
    assert losses[0] == losses[1] and len(whole["evaluations"]) > 2


def test_held_out_problems_are_the_same_with_more_data(tmp_path):
    item = lambda i: training.Item(None, [1.0, 0.0], [1.0, 1.0], f"p{i}")
    few, many = (
        {one.problem for one in heldout.split([item(i) for i in range(n)], Evaluation(0.2))[1]} for n in (50, 500)
    )
    assert few == {f"p{i}" for i in range(50)} & many and 60 < len(many) < 140
    with pytest.raises(
        PrmError, match="held_out: 0.01 of the problems are none here; raise it, .*train.evaluation=null"
    ):
        heldout.split([item(1)] * 3, Evaluation(0.01))


def test_a_missing_package_to_report_to_is_told_before_anything_loads(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in ("trackio", "tensorboard", "wandb"):
        with pytest.raises(PrmError, match=f"train.report_to: {name} is not installed; pip install {name}"):
            train(tiny.rows(4), tiny.config("nowhere"), Config(report_to=name), tmp_path / "prm")


def test_losses_and_evaluations_are_reported(tmp_path):
    """To a package of tensorboard's interface, in a process that finds no other."""
    package = tmp_path / "packages" / "tensorboardX"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "class SummaryWriter:\n"
        "    def __init__(self, log_dir): self.file = open(log_dir + '.told', 'a')\n"
        "    def add_scalar(self, name, value, step): print(name, step, file=self.file, flush=True)\n"
        "    def __getattr__(self, name): return lambda *args, **options: None\n"
    )
    (tmp_path / "packages" / "tensorboardX-1.0.dist-info").mkdir()
    (tmp_path / "packages" / "tensorboardX-1.0.dist-info" / "METADATA").write_text("Name: tensorboardX\nVersion: 1.0\n")
    config = tiny.config(tiny.backbone(tmp_path / "llama"))
    settings = Config(batch=8, report_to="tensorboard", evaluation=Evaluation(held_out=0.3, every=2))
    code = (
        "import sys, tiny\nsys.modules['tensorboard'] = sys.modules['torch.utils.tensorboard'] = None\n"
        "from prm.train import train\nfrom prm.settings import Config, Evaluation\n"
        f"train(tiny.rows(40), tiny.config({config.backbone!r}), {settings!r}, {str(tmp_path / 'prm')!r})"
    )
    paths = [str(package.parent), os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "prm.logs.told").read_text()
    assert "train/loss 1" in told and "eval/loss 2" in told


def test_options_that_contradict_each_other_are_refused():
    for values, said in (
        ({"siblings": 32, "batch": 32, "accumulate": 2}, "siblings: 32 are more than the 16"),
        ({"loss": "rank_problem"}, "set siblings to 2"),
        ({"loss": "hinge"}, "choose one of bce, mse, huber, rank_solution, rank_problem"),
        ({"loss": "mse", "dynamic": Dynamic(rule="sprm")}, "the rule sprm is made for bce"),
        ({"report_to": "mlflow"}, "report_to: unknown 'mlflow'"),
    ):
        with pytest.raises(ValueError, match=said):
            Config(**values)
    for values, said in (({"held_out": 1.0}, "held_out"), ({"metric": "f1"}, "metric"), ({"patience": 0}, "patience")):
        with pytest.raises(ValueError, match=said):
            Evaluation(**values)


def test_the_card_tells_what_the_prm_is(tmp_path):
    settings = Config(batch=8, loss="mse", evaluation=Evaluation(held_out=0.3, every=2))
    train(tiny.rows(40), tiny.config(tiny.backbone(tmp_path / "llama")), settings, tmp_path / "prm")
    card = (tmp_path / "prm" / "README.md").read_text()
    counts = json.loads((tmp_path / "prm" / "history.json").read_text())["counts"]
    assert card.startswith("---\n") and "tags: [process-reward-model" in card
    assert f"| labels | {counts['labels']} |" in card and '"loss": "mse"' in card and "Held-out problems:" in card
    assert str(tmp_path) not in card.split("## Settings")[0], "a folder of this machine is no base model of the hub"
