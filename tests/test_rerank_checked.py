"""`prm rerank --method checked-vote`: a choice without a model."""

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
