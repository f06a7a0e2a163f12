"""`prm convert`: from one format to another, and what the other cannot hold."""

import json

from test_formats import STEPS

from prm import cli, jsonl
from prm.convert import convert, sides
from prm.formats.prm800k import EXAMPLE as PRM800K
from prm.formats.processbench import EXAMPLE as BENCH


def test_convert_keeps_soft_labels_or_cuts_them_at_a_named_threshold(tmp_path):
    row = {"problem_id": "a", "problem": "What?", "sample": 3, "steps": [s + "\n" for s in STEPS]}
    given = [
        {**row, "values": [0.9, 0.6, 0.2], "weights": [0.5, 1.0, 2.0]},
        {**row, "values": [0.9, None, 0.2], "weights": [0.5, 0.0, 2.0]},
        {**row, "values": [None, 0.5, 0.2], "weights": [0.0, 0.0, 2.0]},
    ]
    jsonl.write_rows(tmp_path / "in.jsonl", given)

    def made(target: str, **settings) -> list[dict]:
        convert(tmp_path / "in.jsonl", tmp_path / "out", *sides("labels", target, {"to": settings}))
        return [found for _, found in jsonl.read_rows(tmp_path / "out")]

    assert made("labels") == given
    assert [found["labels"] for found in made("trl")] == [[True, True, False], [True]]
    assert [found["labels"] for found in made("trl", threshold=0.7)] == [[True, False, False], [True]]
    assert [found["labels"] for found in made("trl", threshold=None)] == [[0.9, 0.6, 0.2], [0.9]]
    assert made("trl")[0]["completions"] == [*STEPS[:2], STEPS[2] + "\n"]


def test_what_trl_cannot_hold_is_counted_and_told(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET", raising=False)
    row = {"problem": "What?", "steps": ["So\n", "it is", " 9\n", "."], "values": [0.9, 0.8, 0.3, None]}
    jsonl.write_rows(tmp_path / "in.jsonl", [row, {**row, "values": [0.9, None, 0.1, 0.2]}])
    tally = convert(tmp_path / "in.jsonl", tmp_path / "out", *sides("labels", "trl", {}))
    assert [tally[name] for name in ("labels", "steps_cut", "labels_lost", "cut_mid_line")] == [6, 4, 2, 1]
    assert "lost: 4 steps_cut, 2 labels_lost, 1 cut_mid_line" in capsys.readouterr().err
    jsonl.write_rows(tmp_path / "in.jsonl", [BENCH])
    tally = convert(
        tmp_path / "in.jsonl", tmp_path / "out", *sides("processbench", "trl", {"to": {"separator": "\n\n"}})
    )
    assert (tally["steps_cut"], tally["labels_lost"], tally["cut_mid_line"]) == (1, 0, 0)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl.write_rows("in.jsonl", [PRM800K])
    words = ["convert", "in.jsonl", "-o", "out.jsonl", "--from", "prm800k"]
    assert cli.main([*words, "--to", "trl", "from.neutral=0.0"]) == 0
    ((_, row),) = jsonl.read_rows("out.jsonl")
    assert row["labels"] == [True, False, False]
    for more, said in (
        (["--to", "prm800k"], "--to: prm800k can be read only; give one of labels, trl"),
        (["--to", "tlr"], "--to: no format named 'tlr'; known: labels, math_shepherd, prm800k, processbench, trl, did"),
        (["--to", "trl", "neutral=0.0"], "'neutral': settings of the formats are from.KEY=VALUE and to.KEY=VALUE"),
        (["--to", "trl", "from.neutrl=0.0"], "from.neutrl: unknown key; known keys: neutral"),
        (["--to", "trl", "from.neutral=2.0"], "from.neutral: 2.0 is outside [0, 1]"),
    ):
        assert cli.main([*words, *more]) == 2
        assert capsys.readouterr().err.startswith("prm: error: " + said)


def test_a_bad_row_is_told_with_its_place_once(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET", raising=False)
    (tmp_path / "in.jsonl").write_text("{\n")
    words = ["convert", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out"), "--from", "prm800k", "--to", "trl"]
    assert cli.main(words) == 2 and "in.jsonl row 1: not JSON" in (said := capsys.readouterr().err)
    assert said.count("in.jsonl") == 1
    (tmp_path / "in.jsonl").write_text(json.dumps(PRM800K) + "\n{\n")
    assert cli.main(words) == 0
    assert f"{tmp_path / 'in.jsonl'} row 2: left out (bad_row): not JSON" in capsys.readouterr().err
