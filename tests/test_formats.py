"""Each format by example, what its rows become, what is wrong with bad ones, and from one format to another."""

import json
from collections import Counter

import pytest

from prm import formats, jsonl
from prm.errors import PrmError
from prm.formats import BadRow
from prm.formats.math_shepherd import EXAMPLE as SHEPHERD
from prm.formats.prm800k import EXAMPLE as PRM800K
from prm.formats.processbench import EXAMPLE as BENCH
from prm.joining import joined, parted

STEPS = ["3 * 4 = 12.", "12 - 3 = 9.", "The answer is 9"]


def rows(name: str, row: dict, **settings) -> list[formats.Row]:
    form = formats.build({"name": name, **settings}, "format")
    return list(form.module.read(row, form.config, 7))


def cut(row: formats.Row) -> list[str]:
    return row.steps.cut(row.sample.text)


def test_trl():
    [row] = rows("trl", {"prompt": "What?", "completions": STEPS, "labels": [True, False, False]})
    assert row.problem.text == "What?" and row.labels.values == (1.0, 0.0, 0.0) and row.sample.index == 7
    assert row.sample.text == "3 * 4 = 12.\n12 - 3 = 9.\nThe answer is 9"
    [soft] = rows("trl", {"prompt": "What?", "completions": STEPS, "labels": [0.9, None, 0.2]}, separator="\n\n")
    assert soft.labels.values == (0.9, None, 0.2) and soft.labels.weights == (1.0, 0.0, 1.0)
    assert cut(soft) == ["3 * 4 = 12.\n\n", "12 - 3 = 9.\n\n", "The answer is 9"]


def test_a_separator_stands_at_each_boundary_that_shows_no_line_break():
    stray = ["First, 3*4=12. ", "12-3=9.", "The answer is 9"]
    [row] = rows("processbench", {**BENCH, "steps": stray})
    assert cut(row) == ["First, 3*4=12. \n\n", "12-3=9.\n\n", "The answer is 9"]
    for steps in (["So\n", "it is.", "\n9"], ["So \n\n ", "it is ", "9"], ["a", "b\n"], ["So", " \n it is"]):
        for separator in ("\n", "\n\n", " ", ""):
            whole = joined(steps, separator)
            assert joined(parted(whole, separator), separator) == whole == joined(whole, separator)
            [row] = rows(
                "trl", {"prompt": "What?", "completions": steps, "labels": [1] * len(steps)}, separator=separator
            )
            assert cut(row) == whole
    assert joined(["So\n", "it is.", "9"], "\n\n") == ["So\n", "it is.\n\n", "9"]
    own = ["So\n\n", "it is", " 9"]  # our own rows: cut mid-line, no separator
    assert cut(rows("labels", {"problem": "What?", "steps": own, "values": [1, 1, 1]})[0]) == own


def test_a_separator_may_be_escaped_as_shells_and_yaml_leave_it():
    [row] = rows("trl", {"prompt": "What?", "completions": STEPS, "labels": [True] * 3}, separator=r"\n\t")
    assert cut(row)[0] == "3 * 4 = 12.\n\t"


def test_processbench_says_nothing_of_what_follows_the_first_wrong_step():
    [row] = rows("processbench", BENCH)
    assert row.labels.values == (1.0, 0.0, None) and cut(row)[0] == "3 * 4 = 12.\n\n"
    assert rows("processbench", {**BENCH, "label": -1})[0].labels.values == (1.0,) * 3


def test_math_shepherd():
    [row] = rows("math_shepherd", SHEPHERD)
    assert row.problem.text == "Tom has 3 bags of 4 apples. How many?"
    assert cut(row) == ["Step 1: 3 * 4 = 12.\n", "Step 2: The answer is: 13"] and row.labels.values == (1.0, 0.0)
    rest = {side: text + "\nStep 3: Hm." for side, text in SHEPHERD.items()}
    assert rows("math_shepherd", rest)[0].labels.values == (1.0, 0.0, None)


def test_math_shepherds_problem_ends_where_the_step_begins_that_is_no_mention():
    def made(before: str, first: str) -> formats.Row:
        text = f"{before} Step 1: {first} ки\nStep 2: 13 ки"
        return rows("math_shepherd", {"input": text, "label": text.replace("12. ки", "12. +").replace("ки", "-")})[0]

    for before, first in (
        ("Do Step 1: first. How many?", "3 * 4 = 12."),
        ("How many?", "Redo Step 1: of 3 * 4 = 12."),
        ("Step 1: Take 3. Step 2: Take 4. How many?", "3 * 4 = 12."),
    ):
        row = made(before, first)
        assert row.problem.text == before and cut(row)[0] == f"Step 1: {first}\n"
    for before, first in (("How many?", "So. Step 1: 12."), ("Step 1: Take 3. How many?", "3 * 4 = 12.")):
        with pytest.raises(BadRow, match="stands several times") as found:
            made(before, first)
        assert found.value.reason == "ambiguous"


def test_prm800k_goes_along_the_chosen_completions():
    [row] = rows("prm800k", PRM800K)
    assert cut(row) == ["3 * 4 = 12.\n", "Hm.\n", "12 - 3 = 9."] and row.labels.values == (1.0, 1.0, 0.0)
    assert rows("prm800k", PRM800K, neutral=0.0)[0].labels.values == (1.0, 0.0, 0.0)
    assert rows("prm800k", PRM800K, neutral=None)[0].labels.values == (1.0, None, 0.0)
    first, other = rows("prm800k", PRM800K, alternatives=True)
    assert first == row and cut(other) == ["3 + 4 = 7."] and other.labels.values == (0.0,)


def test_prm800k_goes_on_with_what_a_person_wrote():
    said = [{"text": "No.", "rating": -1}]
    steps = [
        {"completions": said, "human_completion": {"text": "Yes."}, "chosen_completion": None},
        {"completions": [{"text": "So 9.", "rating": None}], "chosen_completion": 0},
        {"completions": said, "human_completion": None, "chosen_completion": None},
        {"completions": said, "chosen_completion": 0},
    ]
    given = {"question": {"problem": "What?"}, "label": {"steps": steps}}
    [row] = rows("prm800k", given)
    assert cut(row) == ["Yes.\n", "So 9.\n", "No."] and row.labels.values == (1.0, None, 0.0)
    _, other = rows(
        "prm800k", given, alternatives=True
    )  # the found error ends the solution, it is no alternative to it
    assert (cut(other), other.labels.values) == (["No."], (0.0,))


def test_prm800ks_solutions_are_used_and_counted_apart(tmp_path):
    good, bad, silent = ({"text": t, "rating": r} for t, r in (("3 * 4 = 12.", 1), ("Hm.", 7), ("So 9.", None)))
    wrong = {"text": "3 + 4 = 7.", "rating": -1}

    def given(*steps) -> dict:
        steps = [{"completions": list(found), "chosen_completion": 0} for found in steps]
        return {"question": {"problem": "What?"}, "label": {"steps": steps}}

    [main] = rows("prm800k", given([good, bad, {"text": None}]))
    assert cut(main) == ["3 * 4 = 12."]
    jsonl.write_rows(tmp_path / "in.jsonl", [given([good, bad, wrong, wrong]), given([silent, wrong]), given([bad])])
    tally = Counter()
    form = formats.build({"name": "prm800k", "alternatives": True}, "")
    found = list(formats.read(tmp_path / "in.jsonl", form, tally))
    assert [cut(row) for row in found] == [["3 * 4 = 12."], *[["3 + 4 = 7."]] * 3]
    assert tally == {"rows": 3, "solutions": 4, "labels": 4, "bad_labels": 2, "no_label": 1}
    assert len({(row.problem.id, row.sample.index) for row in found}) == 4 and found[0].sample.index == 1


BAD = [
    ("trl", {"prompt": "What?"}, "no_steps"),
    ("trl", {"completions": STEPS, "labels": [True] * 3}, "no_problem"),
    ("trl", {"prompt": "What?", "completions": STEPS, "labels": [True]}, "bad_labels"),
    ("trl", {"prompt": "What?", "completions": STEPS, "labels": [2, 0, 0]}, "bad_labels"),
    ("trl", {"prompt": "What?", "completions": STEPS, "labels": ["+", "+", "-"]}, "bad_labels"),
    ("trl", {"prompt": "What?", "completions": ["a", " "], "labels": [True, True]}, "empty_step"),
    ("processbench", {**BENCH, "label": 3}, "bad_labels"),
    ("processbench", {**BENCH, "label": True}, "bad_labels"),
    ("math_shepherd", {**SHEPHERD, "label": SHEPHERD["label"].replace("= 12. +", "= 12. *")}, "bad_labels"),
    ("math_shepherd", {**SHEPHERD, "label": SHEPHERD["label"].replace("12", "13")}, "bad_labels"),
    ("math_shepherd", {side: text.replace("Step 1:", "") for side, text in SHEPHERD.items()}, "no_problem"),
    ("math_shepherd", {"input": "What? Step 1: 3", "label": "What? Step 1: 3"}, "no_steps"),
    ("prm800k", {"question": {"problem": "What?"}, "label": {"steps": []}}, "no_steps"),
    ("prm800k", {"question": {"problem": "What?"}, "label": {"steps": [{"completions": None}]}}, "no_steps"),
    ("prm800k", {**PRM800K, "label": {"steps": [{"completions": [{"text": "a", "rating": 5}]}]}}, "bad_labels"),
    ("labels", {"problem": "What?", "steps": [], "values": [], "reason": "cut_off"}, "cut_off"),
    ("labels", {"problem": "What?", "steps": STEPS, "values": [None] * 3}, "no_label"),
    ("labels", {"problem": "What?", "steps": STEPS, "values": [1, 1, None], "weights": [1, 1, 1]}, "bad_labels"),
]


@pytest.mark.parametrize("name, row, reason", BAD)
def test_a_bad_row_has_a_reason(name, row, reason):
    with pytest.raises(BadRow) as found:
        rows(name, row)
    assert found.value.reason == reason and str(found.value)


def test_a_file_is_read_row_by_row_and_bad_rows_are_counted(tmp_path):
    good = json.dumps({"prompt": "What?", "completions": STEPS, "labels": [True, True, None]})
    (tmp_path / "in.jsonl").write_text("\n".join([good, "{", '{"prompt": "a"}', good]))
    tally = Counter()
    found = list(formats.read(tmp_path / "in.jsonl", formats.build("trl", ""), tally))
    assert len(found) == 2 and found[0].problem.id == found[1].problem.id
    assert tally == {"rows": 4, "solutions": 2, "labels": 4, "bad_row": 1, "no_steps": 1}


def test_a_file_of_another_format_is_told_at_once(tmp_path):
    jsonl.write_rows(tmp_path / "in.jsonl", [BENCH])
    with pytest.raises(PrmError, match="in.jsonl row 1: no 'prompt'.*is it of the format trl.*processbench"):
        formats.read(tmp_path / "in.jsonl", formats.build("trl", ""), Counter())
    with pytest.raises(PrmError, match="no such file"):
        formats.read(tmp_path / "none.jsonl", formats.build("trl", ""), Counter())


def test_parquet_as_trls_data_sets_have_it(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    given = [{"prompt": "What?", "completions": STEPS, "labels": [True, False, False]}]
    pq.write_table(pa.Table.from_pylist(given), tmp_path / "in.parquet")
    [row] = formats.read(tmp_path / "in.parquet", formats.build("trl", ""), Counter())
    assert row.labels.values == (1.0, 0.0, 0.0)


def test_what_prm_label_writes_can_be_read(tmp_path):
    from prm import labelling

    samples = [{"text": "3 * 4 = 12.\n\nThe answer is 12"}, {"text": "3 * 4 = 12.\n\nSo 12"}]
    jsonl.write_rows(tmp_path / "pool.jsonl", [{"problem": "3 bags of 4?", "samples": [*samples, {"text": " "}]}])
    labelling.label_pool(tmp_path / "pool.jsonl", tmp_path / "labels.jsonl")
    tally = Counter()
    found = list(formats.read(tmp_path / "labels.jsonl", formats.build("labels", ""), tally))
    assert [row.sample.text for row in found] == [sample["text"] for sample in samples]
    assert {row.problem.text for row in found} == {"3 bags of 4?"} and tally["empty"] == 1
    written = [row for _, row in jsonl.read_rows(tmp_path / "labels.jsonl")]
    assert [list(row.labels.values) for row in found] == [row["values"] for row in written[:2]]
