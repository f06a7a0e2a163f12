"""`prm score` on a file: order, ids, rows that cannot be scored, and memory that does not grow with the rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from prm import jsonl, scorefile, solutions
from prm.apply import Usage
from prm.errors import PrmError
from prm.model import PRM
from prm.serve.judge import Judge, Solution

ROOT = Path(__file__).parent.parent
BENCH = {"generator": "x", "final_answer_correct": True, "label": -1, "problem": "what is one ?"}


@pytest.fixture
def prm(tmp_path, monkeypatch):
    """A saved PRM that says nothing of how texts are cut; windows are of 3 rows."""
    monkeypatch.setattr(scorefile, "WINDOW", 3)
    made = PRM.create(tiny.config(tiny.backbone(tmp_path / "backbone")), "cpu")
    made.save(tmp_path / "prm")
    return tmp_path / "prm"


def scored(prm, tmp_path, rows: list, **more) -> list[dict]:
    (tmp_path / "in.jsonl").write_text("".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows))
    scorefile.score_file(str(tmp_path / "in.jsonl"), prm, str(tmp_path / "out.jsonl"), **more)
    return [row for _, row in jsonl.read_rows(tmp_path / "out.jsonl")]


def test_scores_are_the_prms_in_the_rows_order_over_windows(prm, tmp_path):
    steps = [["so one .\n"] * (1 + i * 5 % 7) + ["it makes right ."] for i in range(10)]
    found = scored(prm, tmp_path, [{**BENCH, "id": f"gsm8k-{i}", "steps": s} for i, s in enumerate(steps)])
    assert [row["id"] for row in found] == [f"gsm8k-{i}" for i in range(10)]
    expected = PRM.load(prm, "cpu").score_batch([(BENCH["problem"], s) for s in steps])
    for row, scores in zip(found, expected):
        assert row.keys() == {"id", "scores"} and row["scores"] == pytest.approx(scores, abs=1e-5)


def test_the_separator_stands_between_steps_that_show_none(prm, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET")
    rows = [{**BENCH, "steps": steps} for steps in (["so one .", "two ."], ["so one .\n", "two ."])]
    plain, shown = scored(prm, tmp_path, rows)
    assert "nothing stands between the steps of some rows (1)" in capsys.readouterr().err
    parted, same = scored(prm, tmp_path, rows, separator="\n")
    assert parted["scores"] == pytest.approx(shown["scores"], abs=1e-6)
    assert same["scores"] == pytest.approx(shown["scores"], abs=1e-6)
    assert "nothing stands" not in capsys.readouterr().err
    assert plain["scores"] != pytest.approx(shown["scores"], abs=1e-6)
    (prm / "usage.json").write_text(json.dumps({"separator": "\n"}))  # what the training put there is put there again
    assert scored(prm, tmp_path, rows)[0] == parted and "nothing stands" not in capsys.readouterr().err
    assert scored(prm, tmp_path, rows, separator="")[0] == plain
    stray = [
        {**BENCH, "steps": ["so one . ", "two .", "six ."]},
        {**BENCH, "steps": ["so one . \n", "two .\n", "six ."]},
    ]
    one, other = scored(prm, tmp_path, stray)
    assert one["scores"] == pytest.approx(other["scores"], abs=1e-6)


def test_a_sample_with_steps_is_joined_as_in_training_and_one_with_an_empty_step_has_a_reason(tmp_path):
    samples = [{"steps": ["so one .", "two ."]}, {"steps": ["so one .\n", "two ."]}, {"steps": ["so one .", " "]}]
    jsonl.write_rows(tmp_path / "pool.jsonl", [{"problem": "what is one ?", "samples": samples}])
    ((one, other, bad),) = solutions.read_pools(tmp_path / "pool.jsonl", Usage(separator="\n"))
    assert one[2].cut(one[1].text) == other[2].cut(other[1].text) == ["so one .\n", "two ."]
    assert bad[1].reason == "empty_step" and not bad[2].ends
    ((one, *_),) = solutions.read_pools(tmp_path / "pool.jsonl", Usage())
    assert one[1].text == "so one .two ."


def test_serving_joins_steps_as_training_did(prm):
    rows = [
        Solution("what is one ?", steps) for steps in (("so one .", "two ."), ("so one .\n", "two ."), ("one .", ""))
    ]
    one, other, bad = Judge(PRM.load(prm, "cpu"), Usage(separator="\n")).judge(rows)
    assert one.scores == pytest.approx(other.scores, abs=1e-6) and bad.reason == "empty_step"
    glued, *_ = Judge(PRM.load(prm, "cpu"), Usage()).judge(rows)
    assert glued.scores != pytest.approx(one.scores, abs=1e-6)


def test_steps_that_are_too_long_are_named(prm, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET")
    (prm / "usage.json").write_text(json.dumps({"segmenter": {"name": "delimiter", "by": "lines"}}))
    steps = ["one .\n", "two " * 99 + ".\n", "six ."]
    rows = [
        {**BENCH, "steps": steps},
        {"problem": BENCH["problem"], "text": "".join(steps)},
        {**BENCH, "steps": ["one ."]},
    ]
    given, text, short = scored(prm, tmp_path, rows)
    assert given["cut"] == text["cut"] == [1] and "cut" not in short
    expected = PRM.load(prm, "cpu").score(BENCH["problem"], steps)
    assert given["scores"] == pytest.approx(expected, abs=1e-5), "its scores stay"
    assert "2 steps are too long for the PRM's max_tokens" in capsys.readouterr().err
    scored(prm, tmp_path, rows[2:])
    assert "too long" not in capsys.readouterr().err


def test_a_bad_row_is_a_row_with_a_reason(prm, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET")
    good = {**BENCH, "steps": ["so one ."]}
    rows = [
        {"id": "a", "problem": "what ?"},
        good,
        "{\n",
        "\n",
        {**good, "problem_id": 7},
        {**good, "id": None, "problem": "what " * 100, "steps": ["one ."] * 2},
        {**good, "steps": ["one .", ""]},
        {"problem": "what ?", "text": "one ."},
        {"problem": "what ?", "text": " "},
    ]
    found = scored(prm, tmp_path, rows)
    assert [row["id"] for row in found] == ["a", 2, 3, 7, 6, 7, 8, 9]
    assert [row.get("reason", "").split(":")[0] for row in found] == [
        *("bad_row", "", "bad_row", "", "problem_too_long", "empty_step", "bad_row", "empty")
    ]
    assert found[0]["reason"] == "bad_row: no 'steps' or 'text'; the row's keys are: id, problem"
    assert (
        all(row["scores"] == [] for row in found if "reason" in row)
        and "does not say how to cut a text" in found[6]["reason"]
    )
    assert (
        "8 solutions" in (told := capsys.readouterr().err)
        and "3 bad_row, 1 problem_too_long, 1 empty_step, 1 empty" in told
    )


def test_a_file_without_a_solution_is_refused_before_a_model_is_loaded(prm, tmp_path, monkeypatch):
    monkeypatch.setattr(PRM, "load", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(PrmError, match="in.jsonl row 2: 'problem' must be a string, not int"):
        scored(prm, tmp_path, ["\n", {"problem": 3, "steps": ["one"]}, {"problem": "a"}])
    assert not (tmp_path / "out.jsonl").exists()


def test_nothing_is_written_when_it_stops_halfway(prm, tmp_path, monkeypatch):
    rows = [{**BENCH, "steps": ["so one ."]}] * 5
    monkeypatch.setattr(scorefile, "_cut", lambda window, *_: window if len(window) == 3 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scored(prm, tmp_path, rows)
    assert [p.name for p in tmp_path.glob("*out*")] + [p.name for p in tmp_path.glob(".*")] == []


PEAK = """
import re, sys, fakes
fakes.install()
from pathlib import Path
from prm import scorefile
scorefile.score_file(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """A fake PRM scores 20,000 and 200,000 rows: what is read, held and written is all that memory could grow by."""
    fake = tmp_path / "prm"
    fake.mkdir()
    (fake / "mean.json").write_text("0.5")
    peaks = []
    for count in (20_000, 200_000):
        with open(tmp_path / "in.jsonl", "w") as file:
            for i in range(count):
                file.write(f'{{"id": "p{i}", "problem": "What is {i} + 1?", "steps": ["{i} + 1\\\\n", "= {i + 1}"]}}\n')
        words = [sys.executable, "-c", PEAK, str(tmp_path / "in.jsonl"), str(fake), str(tmp_path / "out.jsonl")]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        peaks.append(int(subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout))
        with open(tmp_path / "out.jsonl") as out:
            assert sum(1 for _ in out) == count
    assert peaks[1] - peaks[0] < 8, f"MiB at 20,000 and at 200,000 rows: {peaks}"
