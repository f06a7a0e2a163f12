"""The command line: help that teaches, one-line errors, and each verb on small files."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

import prm
from prm import cli, jsonl, store

VERBS = (
    *("run", "show", "label", "convert", "train", "score", "rerank", "search", "export", "serve"),
    *("segmenter", "roles", "harvest"),
)


@pytest.fixture
def done(small, tmp_path, capsys):
    """A run made through the command line."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small))
    assert cli.main(["run", str(path)]) == 0
    capsys.readouterr()
    return store.Run(small["out"])


def lines(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def fails(capsys, *arguments: str) -> str:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err.startswith("prm: error: ") and captured.err.count("\n") == 1
    return captured.err.removeprefix("prm: error: ").rstrip()


def test_version_and_help(capsys):
    for arguments, expected in [
        (["--version"], prm.__version__),
        (["--help"], "examples:"),
        *([[v, "--help"], f"prm {v}"] for v in VERBS),
    ]:
        with pytest.raises(SystemExit) as left:
            cli.main(arguments)
        assert left.value.code == 0 and expected in capsys.readouterr().out


def test_python_m_prm():
    made = subprocess.run([sys.executable, "-m", "prm", "run", "none.yaml"], capture_output=True, text=True)
    assert (made.returncode, made.stdout, made.stderr) == (
        2,
        "",
        "prm: error: none.yaml: no such recipe; check the path\n",
    )


def test_check_makes_nothing(small, tmp_path, capsys):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small))
    assert cli.main(["run", str(path), "--check", "shard=2"]) == 0
    assert lines(capsys)[-1] == "small: all checked, nothing loaded; the same command without --check runs it"
    assert not os.path.exists(small["out"])


def test_show(done, capsys):
    cli.main(["show", str(done.path)])
    arms = [stage.removeprefix("prm.") for stage in done.stages("prm.")]
    shown = lines(capsys)
    assert arms and len(shown) == len(done.stages()) + len(arms)
    assert shown[-len(arms) :] == [f"PRM {arm}: {done.model(arm)}" for arm in arms]
    cli.main(["show", str(done.path), "samples.test", "--problem", "p12"])
    assert [json.loads(line)["index"] for line in lines(capsys)] == [0, 1, 2, 3]
    cli.main(["show", str(done.path), "--problem", "p12"])
    shown = "\n".join(lines(capsys))
    assert "What is it?" in shown and "signal.fake " in shown and "labels.ours " in shown and "scores.ours " in shown
    cli.main(["show", str(done.path), "--who"])
    shown = lines(capsys)
    assert shown[0] == "labels.ours.train" and "who said what" in shown[1] and any("one key" in line for line in shown)
    assert "no problem 'p99'" in fails(capsys, "show", str(done.path), "--problem", "p99")
    assert "no stage 'x'" in fails(capsys, "show", str(done.path), "x")
    assert "no row of a problem 'p99'" in fails(capsys, "show", str(done.path), "samples.test", "--problem", "p99")
    assert "give one of them" in fails(capsys, "show", str(done.path), "--who", "--problem", "p12")


def test_score_steps_and_texts(done, tmp_path, capsys):
    rows = [
        {"problem": "1 + 1?", "steps": ["1 + 1 = 2.\n", "So 2."]},
        {"problem_id": "b", "question": "1 + 1?", "text": "1 + 1 = 2.\nSo 2."},
    ]
    jsonl.write_rows(tmp_path / "in.jsonl.gz", rows)
    given, out = str(tmp_path / "in.jsonl.gz"), str(tmp_path / "out.jsonl")
    assert cli.main(["score", str(done.path), given, "-o", out]) == 0
    first, second = (row for _, row in jsonl.read_rows(out))
    assert first.keys() == {"id", "scores"} and first["id"] == 1 and len(first["scores"]) == 2
    assert second == {"id": "b", "scores": first["scores"], "steps": ["1 + 1 = 2.\n", "So 2."]}


def test_rerank(done, tmp_path, capsys):
    rows = [{"problem": "1 + 1?", "samples": [{"text": "It is 3"}, {"text": "It is 2"}, {"text": "It is 2"}]}]
    jsonl.write_rows(tmp_path / "in.jsonl", rows)
    arguments = [
        "rerank",
        str(tmp_path / "in.jsonl"),
        "--prm",
        str(done.model("ours")),
        "-o",
        str(tmp_path / "out.jsonl"),
    ]
    assert cli.main([*arguments, "--method", "weighted-vote"]) == 0
    ((_, row),) = jsonl.read_rows(tmp_path / "out.jsonl")
    assert row["choice"] in (1, 2) and row["text"] == "It is 2" and len(row["values"]) == 3
    jsonl.write_rows(tmp_path / "in.jsonl", [{"problem": "1 + 1?", "samples": []}, *rows, {"problem_id": "c"}])
    assert cli.main([*arguments, "--method", "weighted-vote"]) == 0
    bad, same, other = (row for _, row in jsonl.read_rows(tmp_path / "out.jsonl"))
    assert same == row and bad.keys() == other.keys() == row.keys() and bad["choice"] is other["text"] is None
    assert (
        bad["problem_id"] == "row 1" and bad["reason"].startswith("bad_row: 'samples'") and other["problem_id"] == "c"
    )


def test_samples_that_cannot_be_scored_are_kept_with_a_reason(done, tmp_path, capsys):
    whole = {"text": "It is 2", "steps": ["It is 3"]}  # the text goes first: the steps may lack parts of it
    rows = [
        {"problem": "1 + 1?", "samples": [{"text": ""}, {"text": None}, whole, "It is 4", {"steps": ["It is 5"]}, 7]}
    ]
    jsonl.write_rows(tmp_path / "in.jsonl", rows)
    assert (
        cli.main(["rerank", str(tmp_path / "in.jsonl"), "--prm", str(done.path), "-o", str(tmp_path / "out.jsonl")])
        == 0
    )
    ((_, row),) = jsonl.read_rows(tmp_path / "out.jsonl")
    assert row["reasons"] == ["empty", "no_text", "", "", "", "no_text"] and [len(v) for v in row["values"]] == [
        0,
        0,
        1,
        1,
        1,
        0,
    ]
    assert row["text"] in ("It is 2", "It is 4", "It is 5")
    jsonl.write_rows(tmp_path / "in.jsonl", [{"problem": "1 + 1?", "text": " "}, {"problem": "1 + 1?", "text": "a\nb"}])
    assert cli.main(["score", str(done.path), str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]) == 0
    assert [row.get("reason") for _, row in jsonl.read_rows(tmp_path / "out.jsonl")] == ["empty", None]


BAD_ROWS = {
    "": "in.jsonl: the file is empty; it needs one JSON object a line",
    '{"text": "a"}': "in.jsonl row 1: no 'problem' or 'question'; the row's keys are: text",
    '\n{"problem": 3, "text": "a"}': "in.jsonl row 2: 'problem' must be a string, not int",
    '{"problem": " ", "text": "a"}': "in.jsonl row 1: 'problem' is empty; give its text or drop the row",
    '{"problem": "a", "steps": []}': "in.jsonl row 1: 'steps' must be a list of texts, none empty",
    '{"problem": "a"}': "in.jsonl row 1: no 'steps' or 'text'; the row's keys are: problem",
    '{"problem"': "in.jsonl row 1: not JSON (Expecting ':' delimiter at column 11); one object a line is needed, jq -c makes that",
    "[1]": "in.jsonl row 1: must be a JSON object, not list",
    '{"problem": null, "text": "a"}': "in.jsonl row 1: 'problem' must be a string, not null",
    "[" * 100_000: "in.jsonl row 1: nested too deeply to be read; drop the row",
    '{"problem": "\\ud83d", "text": "a"}': "in.jsonl row 1: holds half a character (a lone \\ud83d); mend the text or drop the row",
}


def test_bad_rows_are_one_line(done, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text, message in BAD_ROWS.items():
        (tmp_path / "in.jsonl").write_text(text)
        assert fails(capsys, "score", str(done.path), "in.jsonl", "-o", "out.jsonl") == message
        assert not (tmp_path / "out.jsonl").exists()


def test_files_that_are_not_what_they_seem(done, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl.gz").write_text("{}")
    (tmp_path / "b.jsonl").write_bytes(b'{"problem": "\xff"}')
    assert "not a whole gzip file" in fails(capsys, "score", str(done.path), "a.jsonl.gz", "-o", "o")
    assert "not UTF-8" in fails(capsys, "score", str(done.path), "b.jsonl", "-o", "o")
    assert "no such file" in fails(capsys, "score", str(done.path), "c.jsonl", "-o", "o")
    assert "no such folder" in fails(capsys, "score", "nowhere", "b.jsonl", "-o", "o")
    assert "no PRM 'x' here; name one of its PRMs with --arm: ours" in fails(
        capsys, "score", str(done.path), "b.jsonl", "--arm", "x", "-o", "o"
    )


def test_an_out_that_cannot_be_is_told_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl.write_rows("in.jsonl", [{"problem": "a", "samples": [{"text": "b"}]}])
    assert fails(capsys, "label", "in.jsonl", "-o", "in.jsonl") == "in.jsonl: is the input too; give another -o"
    assert fails(capsys, "label", "in.jsonl", "-o", ".") == ".: is a folder; name a file to write"
    assert "cannot be written" in fails(capsys, "label", "in.jsonl", "-o", "in.jsonl/x/out.jsonl")
    assert "end it in .gz" in fails(capsys, "label", str(_gzipped(tmp_path / "plain.jsonl")), "-o", "out.jsonl")
    assert cli.main(["label", "in.jsonl", "-o", "new/folder/out.jsonl"]) == 0


def test_an_option_that_would_not_be_read_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl.write_rows("in.jsonl", [{"problem": "a", "samples": [{"text": "b"}]}])
    rerank = ("rerank", "in.jsonl", "-o", "out.jsonl", "--method")
    assert "leave --prm" in fails(capsys, *rerank, "checked-vote", "--recipe", "x.yaml")
    assert "--arm: goes with --prm" in fails(capsys, *rerank, "reasked-vote", "--recipe", "x.yaml", "--arm", "prm")
    os.mkdir("empty")
    assert "no prm.json" in fails(capsys, *rerank, "weighted-vote", "--prm", "empty")


def test_a_row_that_is_cut_short_names_its_own_column(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"problem": "a", "samples": [\n')
    assert "at column 30)" in fails(capsys, "label", "in.jsonl", "-o", "out.jsonl")


def _gzipped(path):
    jsonl.write_rows("a.jsonl.gz", [{"problem": "a"}])
    return (path.parent / "a.jsonl.gz").rename(path)
