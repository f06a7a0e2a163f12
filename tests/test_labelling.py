"""`prm label` on a user's file: formats, bad input, nothing half-written."""

import gzip
import json
from pathlib import Path

import pytest

from prm import labelling
from prm.errors import PrmError

ROW = {
    "question": "3 bags of 4 apples, 2 eaten?",
    "samples": [
        {"text": "3 * 4 = 12.\n\n12 - 2 = 10.\n\nThe answer is 10"},
        {"text": "There are 12.\n\nSo 12 - 2 = 10"},
        {"text": "3 + 4 = 7.\n\n7 - 2 = 5"},
    ],
}


def run(tmp_path, *rows, name="pool.jsonl", **more):
    pool, out = tmp_path / name, tmp_path / "out.jsonl"
    text = "".join(json.dumps(r) + "\n" for r in rows)
    pool.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    counts = labelling.label_pool(pool, out, **more)
    return [json.loads(line) for line in out.read_text().splitlines()], counts


def test_one_row_a_sample(tmp_path):
    rows, counts = run(tmp_path, ROW, {**ROW, "problem_id": "second", "problem": "2 * 2 + 3?"}, name="pool.jsonl.gz")
    assert [(r["problem_id"], r["sample"]) for r in rows][3:] == [("second", 0), ("second", 1), ("second", 2)]
    for row, sample in zip(rows, ROW["samples"] * 2):
        assert "".join(row["steps"]) == sample["text"] and len(row["steps"]) == len(row["values"]) == len(
            row["weights"]
        )
    assert rows[2]["values"][0] < 0.5 < rows[0]["values"][0] and counts["problems"] == 2


def test_a_lone_sample_has_only_its_arithmetic_checked_and_a_word(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET", raising=False)
    rows, counts = run(tmp_path, {**ROW, "samples": ROW["samples"][:1]})
    assert all(v is None or v > 0.5 for v in rows[0]["values"]) and max(rows[0]["weights"]) < 0.3
    assert counts["problems_of_one_sample"] == 1
    assert "single usable sample" in capsys.readouterr().err


def test_identical_and_long_samples(tmp_path):
    rows, _ = run(
        tmp_path,
        {**ROW, "samples": ROW["samples"][:1] * 4},
        {"question": "long?", "samples": [{"text": "5 + 5 = 10\n\n" * 2000}] * 2},
    )
    assert all(w < 0.3 for r in rows for w in r["weights"])


def test_a_sample_in_blocks_is_text_with_fences(tmp_path):
    blocks = [("text", "We compute."), ("code", "a = 3 * 4"), ("execution", "12"), ("text", "The answer is 12")]
    given = {"blocks": [{"role": role, "content": content} for role, content in blocks], "answer": "13"}
    (tmp_path / "pool.jsonl").write_text(json.dumps({"question": "3 bags of 4?", "samples": [given, {"blocks": "?"}]}))
    ((_, (sample, bad)),) = labelling.problems(tmp_path / "pool.jsonl")
    assert sample.text == "We compute.\n\n```python\na = 3 * 4\n```\n\n```output\n12\n```\n\nThe answer is 12"
    assert bad.reason == "no_text"


def test_a_sample_in_steps_is_labelled_in_its_own(tmp_path):
    steps = ["3 * 4 = 12.\n", "So 12 - 2 = 10.", " The answer is 10"]
    given = [{"steps": steps}, {"steps": ["12 - 2 = 10."], "text": "a\n\nb"}, {"steps": [3]}, {"steps": [" "]}]
    rows, _ = run(tmp_path, {**ROW, "samples": [*ROW["samples"], *given]})
    assert rows[3]["steps"] == steps and len(rows[3]["values"]) == 3 and rows[3]["values"][1] > 0.5
    assert rows[4]["steps"] == ["a\n\n", "b"] and [r.get("reason") for r in rows[5:]] == ["no_text", "empty"]


def test_samples_without_text_are_rows_with_a_reason(tmp_path):
    rows, counts = run(tmp_path, {**ROW, "samples": [*ROW["samples"], {"text": " "}, {"tokens": 3}, {"text": None}]})
    assert [r.get("reason") for r in rows] == [None] * 3 + ["empty", "no_text", "no_text"]
    assert rows[4]["steps"] == [] and counts["samples no_text"] == 2


@pytest.mark.parametrize(
    "rows, message",
    [
        ([{"samples": [{"text": "a"}]}], "row 1: no 'problem' or 'question'"),
        ([ROW, {"question": "x?"}], "row 2: 'samples' must be a list"),
        ([ROW, {"question": "x?", "samples": []}], "row 2: 'samples' must be a list"),
        ([ROW, ROW], "row 2: the problem .* stands in .* row 1"),
        ([], "empty"),
    ],
)
def test_bad_rows_are_named_and_leave_nothing_behind(tmp_path, rows, message):
    with pytest.raises(PrmError, match=message):
        run(tmp_path, *rows)
    assert {p.name for p in tmp_path.iterdir()} == {"pool.jsonl"}


def test_label_recipes(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "segmenter: {name: delimiter, by: blank_lines}\nsignals: {soft: {signal: majority, mode: soft}, pairwise: {}}\n"
        "trust: {soft: 0.5}\n"
    )
    rows, _ = run(tmp_path, ROW, recipe=recipe)
    assert rows[2]["values"][-1] < 0.5
    recipe.write_text("signals: {logprob: {}}")
    with pytest.raises(PrmError, match="logprob: needs a model"):
        run(tmp_path, ROW, recipe=recipe)
    recipe.write_text("signals: {pairwise: {lekk: 0.1}}")
    with pytest.raises(PrmError, match="lekk: unknown key.*leak"):
        run(tmp_path, ROW, recipe=recipe)
    with pytest.raises(PrmError, match="no such recipe"):
        run(tmp_path, ROW, recipe=tmp_path / "none.yaml")


def test_a_run_recipe_lends_its_text_only_arm(tmp_path):
    recipe = tmp_path / "run.yaml"
    recipe.write_text(
        "name: x\nproblems: {test: {source: world}}\nengine: {name: replay}\nsegmenter: {name: delimiter, by: lines}\n"
        "signals: {logprob: {}, majority: {}}\n"
        "arms: {a: {signals: {logprob: 1.0}}, b: {signals: {majority: 1.0}, labels: {steps: last}}}"
    )
    rows, _ = run(tmp_path, ROW, recipe=recipe)
    assert rows[0]["values"][0] is None and rows[0]["values"][-1] > 0.5 > rows[2]["values"][-1]


def test_read_pool_gives_groups(tmp_path):
    (tmp_path / "pool.jsonl").write_text(json.dumps(ROW))
    (group,) = labelling.read_pool(tmp_path / "pool.jsonl")
    assert [a.cluster for a in group.answers] == [0, 0, 1] and group.steps[0].ends[-1] == len(ROW["samples"][0]["text"])


def test_a_run_recipe_needs_no_values_that_labelling_does_not_use(tmp_path):
    rows, _ = run(tmp_path, ROW, recipe=Path(__file__).parent.parent / "recipes" / "pool.yaml")
    assert rows[2]["values"][0] < 0.5 < rows[0]["values"][0]


@pytest.mark.parametrize(
    "text, message",
    [
        ("signals: {x: {signal: 3}}", r"mine.yaml: signals.x.signal: must be a string, not 3 \(int\)"),
        (
            "segmenter: {name: nope}",
            "mine.yaml: segmenter.name: no segmenter named 'nope'; known: attractor, delimiter",
        ),
        ("trust: {pairwise: -1}", "mine.yaml: trust.pairwise: -1.0 is negative"),
        ("problems: 3\narms: {a: 3}", "mine.yaml: arms.a: must be a mapping"),
    ],
)
def test_label_recipes_are_typed(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(PrmError, match=message):
        labelling.load(tmp_path / "mine.yaml")
