"""How a trained PRM cuts texts: so that the steps of the rows it was trained on come back."""

from collections import Counter

import pytest

from prm import ends, formats, jsonl, plugins
from prm.convert import convert

STEPS = ["First we see that\n3 * 4 = 12.", "Then 12 - 2 = 10. ", " So it is 10"]
FLAT = [step.replace("\n", " ") for step in STEPS]
NUMBERED = [f"{i}. {step}" for i, step in enumerate(STEPS, 1)]
DELIMITER = {"name": "delimiter"}


def solutions(tmp_path, name: str, *rows: dict, **settings) -> tuple[list, str]:
    jsonl.write_rows(tmp_path / "data.jsonl", rows)
    form = formats.build({"name": name, **settings}, "format")
    first = []
    assert len(list(ends.watched(formats.read(tmp_path / "data.jsonl", form, Counter()), first))) == len(first) > 0
    return first, getattr(form.config, "separator", "")


def trl(steps: list[str]) -> dict:
    return {"prompt": "How many?", "completions": steps, "labels": [True] * len(steps)}


def bench(steps: list[str]) -> dict:
    return {"id": "a", "problem": "How many?", "steps": steps, "label": -1}


@pytest.mark.parametrize(
    "rows, by",
    [
        (("trl", trl(FLAT)), "lines"),
        (("trl", trl(FLAT[:1])), "lines"),
        (("trl", trl(NUMBERED)), "auto"),  # lines would cut within the first
        (("processbench", bench(STEPS)), "auto"),
        (("processbench", bench(["1. One and\n2. two.", "3. Three."])), "blank_lines"),
        (("prm800k", plugins.load("formats", "prm800k", "").EXAMPLE), "lines"),
        (("math_shepherd", plugins.load("formats", "math_shepherd", "").EXAMPLE), "lines"),
    ],
)
def test_the_steps_of_the_rows_come_back_from_their_texts(rows, by, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET")
    first, separator = solutions(tmp_path, *rows)
    chosen = ends.segmenter(DELIMITER, separator, first)
    assert chosen == {"name": "delimiter", "by": by} and ends.agreement(chosen, first).share == 1
    capsys.readouterr()
    ends.tell("data.jsonl", chosen, first)
    assert capsys.readouterr().err == ""


def test_converted_rows_are_cut_as_before(tmp_path):
    """TRL's rows as our labels and back: the texts are the same, and so is how they are cut."""
    first, separator = solutions(tmp_path, "trl", trl(FLAT), trl(FLAT[:2]))
    sides = [formats.build(name, "") for name in ("trl", "labels")]
    convert(tmp_path / "data.jsonl", tmp_path / "labels.jsonl", *sides)
    rows = [row for _, row in jsonl.read_rows(tmp_path / "labels.jsonl")]
    again, none = solutions(tmp_path, "labels", *rows)
    assert none == "" and [s.text for _, s, _ in again] == [s.text for _, s, _ in first]
    assert ends.segmenter(DELIMITER, none, again)["by"] == ends.segmenter(DELIMITER, separator, first)["by"] == "lines"


def test_what_a_user_says_stays_and_is_told_of_where_steps_do_not_come_back(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET")
    first, separator = solutions(tmp_path, "trl", trl(FLAT), trl(FLAT))
    asked = {"name": "delimiter", "by": "auto"}
    assert ends.segmenter(asked, separator, first) == asked
    ends.tell("data.jsonl", asked, first)
    told = capsys.readouterr().err
    assert (
        "of the 4 step ends in its first 2 solutions the PRM's segmenter (delimiter, auto) finds 0, and 0 others"
        in told
    )
    first, separator = solutions(tmp_path, "trl", trl(FLAT), separator=" ")
    ends.tell("data.jsonl", ends.segmenter(DELIMITER, separator, first), first)
    assert "score rows with 'steps'" in capsys.readouterr().err
    other = {"name": "attractor", "model": "nowhere"}
    assert ends.segmenter(other, separator, first) == other
    ends.tell("data.jsonl", other, first)
    assert capsys.readouterr().err == "", "a model is not loaded for this"
