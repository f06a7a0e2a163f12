"""`prm train`: a PRM on labels from outside; what is masked, what is too long, what is told before a model is loaded."""

import json
import re
import shlex

import pytest
import tiny

from prm import apply, cli, formats, given, jsonl, plugins
from prm import train as training
from prm.apply import read_usage
from prm.errors import PrmError
from prm.model import PRM
from prm.records import Problem, Sample, Steps, StepScores
from prm.train import Config


def trl_rows(n: int) -> list[dict]:
    made = []
    for problem, sample, steps, labels in tiny.rows(n):
        texts = [step.removesuffix("\n") for step in steps.cut(sample.text)]
        made.append({"prompt": f"{problem.text} {problem.id}", "completions": texts, "labels": list(labels.values)})
    return made


def train(tmp_path, *overrides: str, rows=None) -> int:
    jsonl.write_rows(tmp_path / "trl.jsonl", trl_rows(60) if rows is None else rows)
    words = [
        "train",
        str(tmp_path / "trl.jsonl"),
        "--backbone",
        tiny.backbone(tmp_path / "backbone"),
        "--format",
        "trl",
    ]
    small = [
        "prm.max_tokens=64",
        "prm.lora.r=4",
        "train.batch=8",
        "train.lr=1e-2",
        "train.head_lr=1e-1",
        "train.epochs=4",
    ]
    return cli.main([*words, "-o", str(tmp_path / "prm"), *small, *overrides])


def test_a_prm_learns_labels_from_outside(tmp_path):
    assert train(tmp_path, "train.evaluation.held_out=0.2") == 0
    prm = PRM.load(tmp_path / "prm", "cpu")
    right, wrong = (prm.score("what is one ?", [f"so two then it makes {w} .\n"])[0] for w in ("right", "wrong"))
    assert right > wrong + 0.2
    usage = read_usage(tmp_path / "prm")
    assert (usage.labels, usage.reduce, usage.segmenter) == ("given", "min", {"name": "delimiter", "by": "lines"})
    assert usage.separator == "\n", "what the format puts between steps, scoring does too"
    row = {"problem": "what is one ?", "steps": ["so one .", "two .", "it makes right ."]}
    jsonl.write_rows(tmp_path / "in.jsonl", [row, {"problem": row["problem"], "text": "\n".join(row["steps"])}])
    assert (
        cli.main(["score", str(tmp_path / "prm"), str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]) == 0
    )
    steps, text = (row["scores"] for _, row in jsonl.read_rows(tmp_path / "out.jsonl"))
    assert len(steps) == 3 and text == pytest.approx(steps, abs=1e-5), "a text is read as the steps it was joined from"
    card = (tmp_path / "prm" / "README.md").read_text()
    assert "given from outside, by people or by other tools" in card and "signals" not in card
    assert str(tmp_path) not in card
    history = json.loads((tmp_path / "prm" / "history.json").read_text())
    some = sum(any(value is not None for value in row["labels"]) for row in trl_rows(60))
    assert 0 < some < 60 and history["counts"]["solutions"] == some
    assert history["counts"]["held_out"] > 0 and history["evaluations"]
    before = (tmp_path / "prm" / "head.safetensors").stat().st_mtime_ns
    (tmp_path / "prm" / "README.md").write_text("mine")
    again = train(tmp_path, "train.evaluation.held_out=0.2", "segmenter.by=auto", "reduce=mean")
    assert again == 0, "and once more is not made again, only told how it is used"
    assert (tmp_path / "prm" / "head.safetensors").stat().st_mtime_ns == before
    assert (tmp_path / "prm" / "README.md").read_text() == "mine"
    usage = read_usage(tmp_path / "prm")
    assert (usage.segmenter["by"], usage.reduce) == ("auto", "mean")
    assert train(tmp_path, "train.evaluation.held_out=0.2", "train.lr=1e-3") == 2, "another PRM does not take its place"
    assert (tmp_path / "prm" / "head.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("how, weights", [("own", (1, 1, 1)), ("drop", (1, 1, 0)), ("wrong", (1, 1, 1))])
def test_what_follows_the_first_wrong_step_can_be_masked(how, weights, tmp_path, monkeypatch):
    seen = []

    def fake(rows, *_):
        seen.extend(rows)
        (tmp_path / "prm").mkdir()
        (tmp_path / "prm" / "history.json").write_text('{"counts": {}, "steps": []}')

    monkeypatch.setattr(training, "train", fake)
    row = {"prompt": "what ?", "completions": ["one .", "two .", "six ."], "labels": [True, False, True]}
    assert train(tmp_path, f"after_error={how}", rows=[row]) == 0
    [(*_, labels)] = seen
    assert labels.weights == weights and labels.values == (1.0, 0.0, 0.0 if how == "wrong" else 1.0)


def long_row(words: int):
    text = "so one .\n" + "two " * words + "right .\n" + "wrong .\n"
    ends = (9, len(text) - 8, len(text))
    labels = StepScores("p", 3, "given", "given", (1.0, 0.9, 0.0), (1.0,) * 3)
    return Problem("p", "what is one ?"), Sample("p", 3, text), Steps("p", 3, ends), labels


def test_a_step_that_does_not_fit_is_left_out_and_counted_or_refused(tmp_path):
    config = tiny.config("none", max_tokens=16)
    items, counts = training.encode_rows([long_row(50)], tiny.tokenizer(), config)
    assert [round(v, 1) for item in items for v in item.values] == [1.0, 0.0]
    assert counts["steps_too_long"] == 1 and counts["labels"] == 2 and not counts["all_abstained"]
    with pytest.raises(PrmError, match="p, sample 3: step 2 is too long for prm.max_tokens 16; raise that, or .* drop"):
        training.encode_rows([long_row(50)], tiny.tokenizer(), config, Config(too_long="fail"))
    items, counts = training.encode_rows([long_row(5)], tiny.tokenizer(), config, Config(too_long="fail"))
    assert counts["labels"] == 3 and not counts["steps_too_long"]
    problem, *rest = long_row(50)
    with pytest.raises(PrmError, match="the problem is too long"):
        training.encode_rows([(Problem("p", "what " * 20), *rest)], tiny.tokenizer(), config, Config(too_long="fail"))
    with pytest.raises(ValueError, match="too_long: 'cut' is neither drop nor fail"):
        Config(too_long="cut")


def test_it_is_told_before_a_model_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(PRM, "create", lambda *_: pytest.fail("a model was loaded"))
    for overrides, said in (
        (["format.threshold=2.0"], "format.threshold: 2.0 is outside [0, 1)"),
        (["after_error=none"], "after_error: 'none' is unknown; choose one of own, wrong, drop"),
        (["segmenter.name=x"], "segmenter.name: no segmenter named 'x'"),
        (["prm.max_tokens=4096"], "prm.max_tokens: 4096, but"),
        (["train.lr=0.0"], "train.lr: 0.0 is not positive"),
    ):
        assert train(tmp_path, *overrides, rows=trl_rows(2)) == 2
        assert said in capsys.readouterr().err
    assert train(tmp_path, rows=[{"question": "a"}]) == 2
    assert (
        "trl.jsonl row 1: no 'prompt'; the row's keys are: question; is it of the format trl?"
        in capsys.readouterr().err
    )


def test_a_name_alone_is_a_format(tmp_path):
    made = given.load(None, "world", "prm800k", ["format.neutral=null", "seed=3"])
    assert made.format == {"name": "prm800k", "neutral": None} and made.prm.backbone == "world" and made.seed == 3
    assert given.load(None, "world", None).format == {"name": "labels"}


def test_the_examples_of_its_help_are_settings_that_there_are(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    told = re.sub(r"\s+", " ", capsys.readouterr().out)
    words = shlex.split(re.search(r"values of the recipe: (.*?'.*?')", told)[1])
    made = given.load(None, "world", "trl", words)
    assert made.train.evaluation.held_out == 0.1
    assert formats.build(made.format, "format").config.separator == "\n\n"
    assert "heldout.json" not in told and ", ".join(plugins.names("formats")) in told


def test_a_fitted_segmenter_goes_along_with_the_prm_and_must_lie_inside(tmp_path):
    (tmp_path / "fitted").mkdir()
    (tmp_path / "fitted" / "card.json").write_text("{}")
    (tmp_path / "prm").mkdir()
    apply.write_usage(tmp_path / "prm", {"segmenter": {"name": "attractor", "path": str(tmp_path / "fitted")}})
    inside = read_usage(tmp_path / "prm").segmenter["path"]
    assert inside == str(tmp_path / "prm" / "segmenter") and (tmp_path / "prm" / "segmenter" / "card.json").is_file()
    (tmp_path / "prm" / "link").symlink_to(tmp_path / "fitted")
    for path in ("../fitted", str(tmp_path / "fitted"), "link", "."):
        (tmp_path / "prm" / "usage.json").write_text(json.dumps({"segmenter": {"name": "attractor", "path": path}}))
        with pytest.raises(PrmError, match="usage.json: segmenter.path: .* leads outside the PRM's folder"):
            read_usage(tmp_path / "prm")
