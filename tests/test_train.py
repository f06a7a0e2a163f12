"""Training, by example: it learns, is repeatable, goes on after a kill, and stops where it must."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest
import tiny
from safetensors.torch import load_file

from prm import train as training
from prm.errors import PrmError
from prm.loss import Dynamic
from prm.model import PRM
from prm.train import Config, train
from prm.plan import plan

RIGHT, WRONG = "so one then it makes right .\n", "so one then it makes wrong .\n"


def weights(folder):
    return {**load_file(folder / "adapter_model.safetensors"), **load_file(folder / "head.safetensors")}


def same(a, b):
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.mark.parametrize(
    "kind, packed", [("llama", False), ("llama", True), ("gpt2", False), ("bert", False), ("roberta", False)]
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
    settings = Config(batch=8, epochs=2, lr=1e-3, save_every=10, dynamic=Dynamic())
    train(tiny.rows(160), config, settings, tmp_path / "whole")
    code = (
        "import os, signal, tiny\nfrom prm.train import Config, train\nfrom prm.loss import Dynamic\n"
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
    (checkpoints / "checkpoint-20").mkdir()  # one that the kill left half written
    seen = []
    train(
        tiny.rows(160),
        config,
        settings,
        tmp_path / "killed",
        0,
        lambda steps, *args: (seen.append(s) or s for s in steps),
    )
    assert seen[0] == 10, "from the last whole checkpoint"
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert not checkpoints.exists()
    losses = [json.loads((tmp_path / name / "history.json").read_text())["steps"] for name in ("whole", "killed")]
    assert losses[0] == losses[1]


def test_the_same_call_again_is_done_at_once_and_other_settings_replace_it(tmp_path):
    config, rows = tiny.config(tiny.backbone(tmp_path / "llama")), tiny.rows(32)
    train(rows, config, Config(batch=8), tmp_path / "prm")
    before = (tmp_path / "prm" / "prm.json").stat().st_mtime_ns
    for stray in ("prm.tmp", "prm.old", "prm.checkpoints"):  # what kills at the worst moments leave
        (tmp_path / stray).mkdir()
    train(rows, config, Config(batch=8), tmp_path / "prm")
    assert not (tmp_path / "prm.checkpoints").exists()
    assert (tmp_path / "prm" / "prm.json").stat().st_mtime_ns == before
    train(rows, config, Config(batch=8, lr=1e-2), tmp_path / "prm")
    assert (tmp_path / "prm" / "prm.json").stat().st_mtime_ns != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["llama", "prm"]


def test_a_diverging_run_saves_nothing_and_keeps_what_was_there(tmp_path):
    config, rows = tiny.config(tiny.backbone(tmp_path / "llama")), tiny.rows(64)
    train(rows, config, Config(batch=8), tmp_path / "prm")
    kept = weights(tmp_path / "prm")
    with pytest.raises(PrmError, match=r"diverged: .*(step \d+ of 32|not finite).*lower train.lr"):
        train(rows, config, Config(batch=8, epochs=4, lr=1e38, save_every=1, warmup=0.0), tmp_path / "prm")
    assert all(tensor.equal(kept[name]) for name, tensor in weights(tmp_path / "prm").items())


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


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("...")
    with pytest.raises(PrmError, match="holds something that is no PRM"):
        train(tiny.rows(4), tiny.config("nowhere"), Config(), tmp_path / "thesis")


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
