"""`prm rerank --method checked-vote`: a choice without a model."""

import json

import pytest

from prm import cli, jsonl

SLIP = "Ages: 19 + 8 + 16 + 8 = 41.\n\nThe answer is 41."
RIGHT = "Ages: 19 + 8 + 16 + 8 = 51.\n\nThe answer is 51."


def test_a_slip_that_most_share_loses(tmp_path):
    jsonl.write_rows(tmp_path / "in.jsonl", [{"problem": "How old?", "samples": [SLIP, SLIP, {"text": RIGHT}, {}]}])
    assert cli.main(["rerank", str(tmp_path / "in.jsonl"), "--method", "checked-vote", "-o", str(tmp_path / "o")]) == 0
    ((_, row),) = jsonl.read_rows(tmp_path / "o")
    assert row["choice"] == 2 and row["text"] == RIGHT and [round(v or 0, 6) for v in row["values"][0]] == [0.05, 0]
    assert row["reasons"] == ["", "", "", "no_text"]


def test_samples_in_steps_are_checked_as_they_are(tmp_path):
    samples = [{"steps": ["Ages: 19 + 8 = 27.", " And 27 + 8 = 36.\n", "The answer is 36."]}, RIGHT]
    jsonl.write_rows(tmp_path / "in.jsonl", [{"problem": "How old?", "samples": samples}])
    assert cli.main(["rerank", str(tmp_path / "in.jsonl"), "--method", "checked-vote", "-o", str(tmp_path / "o")]) == 0
    ((_, row),) = jsonl.read_rows(tmp_path / "o")
    assert row["choice"] == 1 and row["values"][0][1] < 0.5 and len(row["values"][0]) == 3


def test_a_prm_is_asked_for_only_where_one_is_used(tmp_path, capsys):
    jsonl.write_rows(tmp_path / "in.jsonl", [{"problem": "How old?", "samples": [RIGHT]}])
    arguments = ["rerank", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "o")]
    assert cli.main(arguments) == 2 and "--method checked-vote" in capsys.readouterr().err
    assert cli.main([*arguments, "--method", "checked-vote", "--prm", "x"]) == 2
    assert "leave --prm" in capsys.readouterr().err


BAD = [{"problem": "How old?", "problem_id": 3, "samples": []}, "no JSON", {"samples": [RIGHT]}]


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def test_a_bad_row_is_a_row_with_a_reason(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET", raising=False)
    good = {"problem": "How old?", "samples": [SLIP, {"text": RIGHT}, {}]}
    write(tmp_path / "in.jsonl", [*BAD, good, {**good, "samples": [SLIP]}])
    assert cli.main(["rerank", str(tmp_path / "in.jsonl"), "--method", "checked-vote", "-o", str(tmp_path / "o")]) == 0
    rows = [row for _, row in jsonl.read_rows(tmp_path / "o")]
    assert [row["problem_id"] for row in rows[:3]] == ["3", "row 2", "row 3"] and rows[3]["choice"] == 1
    for row, said in zip(
        (*rows[:3], rows[4]), ("'samples' must be", "not JSON", "no 'problem'", "stands in"), strict=True
    ):
        assert row["choice"] is None and row["values"] == [] and row["reason"].startswith("bad_row: ")
        assert said in row["reason"] and row.keys() == rows[3].keys()
    assert "5 problems" in (told := capsys.readouterr().err) and "not scored: 4 bad_row, 1 no_text" in told


def test_a_pool_without_a_usable_row_is_refused_before_a_model_is_loaded(tmp_path, capsys, monkeypatch):
    from prm.model import PRM

    monkeypatch.setattr(PRM, "load", lambda *_: pytest.fail("a model was loaded"))
    write(tmp_path / "in.jsonl", BAD)
    (tmp_path / "prm").mkdir()
    (tmp_path / "prm" / "usage.json").write_text(json.dumps({"reduce": "min", "segmenter": {"name": "delimiter"}}))
    for more in (
        ["--method", "checked-vote"],
        ["--prm", str(tmp_path / "prm")],
        ["--method", "reasked-vote", "--recipe", "recipes/demo.yaml"],
    ):
        assert cli.main(["rerank", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "o"), *more]) == 2
        assert "in.jsonl row 1: 'samples' must be a list" in capsys.readouterr().err
        assert not (tmp_path / "o").exists()
