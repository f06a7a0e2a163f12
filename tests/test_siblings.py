"""ProcessBench with siblings: matching by the problem's text, the last line's contract, and the real files where they
are."""

import json
from pathlib import Path

import pytest

from eval import siblings
from prm.errors import PrmError

SHARED = Path(__file__).parents[2] / "shared" / "data"
POOL = {
    "question": "Tom has 3 bags of 4 apples, and eats 2. How many are left?",
    "samples": [
        {"text": f"{w} 3 * 4 = 12.\n\nThen 12 - 2 = 10.\n\nThe answer is 10"} for w in ("So", "Thus", "Hence", "First")
    ],
}
SOLUTIONS = [
    {
        "id": "a",
        "problem": "Tom has 3 bags of 4 apples,  and eats 2.\nHow many are left?",
        "steps": ["3 * 4 = 12", "12 + 2 = 14", "The answer is 14"],
        "label": 1,
    },
    {"id": "b", "problem": POOL["question"], "steps": ["4 * 3 = 12", "12 - 2 = 10", "The answer is 10"], "label": -1},
    {"id": "c", "problem": "Another?", "steps": ["1"], "label": -1},
]


def run(tmp_path, capsys, pool=POOL, solutions=SOLUTIONS, more=()):
    (tmp_path / "pool.jsonl").write_text(json.dumps(pool))
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(s) + "\n" for s in solutions))
    siblings.main(["--pool", str(tmp_path / "pool.jsonl"), "--labelled", str(tmp_path / "labelled.jsonl"), *more])
    return capsys.readouterr().out.splitlines()


def test_the_last_line_is_the_contract(tmp_path, capsys):
    lines = run(tmp_path, capsys)
    assert json.loads(lines[-1]) == {"n_error": 1, "n_correct": 1, "acc_error": 1.0, "acc_correct": 1.0, "f1": 1.0}
    assert lines[0].startswith("2 of 3 solutions have siblings")


def test_what_a_recipe_needs_is_not_asked_of_the_baselines(tmp_path, capsys):
    (tmp_path / "label.yaml").write_text("answers: {style: math}\nsignals: {pairwise: {}}\nneeds: [pairwise]\n")
    lines = run(tmp_path, capsys, more=["--recipe", str(tmp_path / "label.yaml")])
    assert json.loads(lines[-1])["f1"] == 1.0 and any(line.startswith("TTRL") for line in lines)


def test_the_result_is_kept_without_paths(tmp_path, capsys):
    lines = run(tmp_path, capsys, more=["--out", str(tmp_path / "siblings-x.json")])
    kept = json.loads((tmp_path / "siblings-x.json").read_text())
    assert (kept["pool"], kept["labelled"], kept["threshold"]) == ("pool.jsonl", "labelled.jsonl", 0.5)
    assert list(kept["rows"]) == ["all right", "numbers", *siblings.FIELD, "labels"]
    assert kept["rows"]["labels"]["interval"] == [1.0, 1.0]
    assert json.loads(lines[-1]).items() <= kept["rows"]["labels"].items()
    with pytest.raises(PrmError, match="its folder does not exist"):
        run(tmp_path, capsys, more=["--out", str(tmp_path / "none" / "x.json")])


def test_a_part_is_half_the_problems(tmp_path, capsys):
    assert siblings.part(POOL["question"]) == siblings.part(SOLUTIONS[0]["problem"])  # white space does not count
    assert {siblings.part(f"Problem {i}?") for i in range(20)} == {"A", "B"}
    part = siblings.part(POOL["question"])
    assert json.loads(run(tmp_path, capsys, more=["--part", part])[-1])["n_error"] == 1
    with pytest.raises(PrmError, match="none of its"):
        run(tmp_path, capsys, more=["--part", "AB".replace(part, "")])


def test_no_problem_in_common_is_said(tmp_path, capsys):
    with pytest.raises(PrmError, match="none of its 1 problems"):
        run(tmp_path, capsys, solutions=SOLUTIONS[2:])


def test_a_solution_that_is_also_a_sample_is_no_witness_for_itself(tmp_path, capsys):
    copied = "".join(s + "\n\n" for s in SOLUTIONS[0]["steps"])[:-2]
    pool = {**POOL, "samples": [*POOL["samples"], {"text": copied}]}
    assert json.loads(run(tmp_path, capsys, pool=pool)[-1])["f1"] == 1.0


@pytest.mark.skipif(not SHARED.is_dir(), reason="ProcessBench and the pools are not on this machine")
@pytest.mark.parametrize(
    "pool, labelled",
    [
        ("strictprm_gsm8k_math500_n32/gsm8k_n32", "gsm8k"),
        ("mathcoder_gsm8k_tool_n8/gsm8k_tool_n8", "gsm8k"),
        ("strictprm_gsm8k_math500_n32/math500_n32", "math"),
    ],
)
def test_beats_number_matching_on_real_solutions(pool, labelled, tmp_path):
    pool, labelled = SHARED / f"{pool}.jsonl.gz", SHARED / f"processbench/{labelled}.jsonl.gz"
    siblings.main(["--pool", str(pool), "--labelled", str(labelled), "--out", str(tmp_path / "found.json")])
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert rows["labels"]["f1"] > rows["numbers"]["f1"] + 0.1  # the table of README.md has 0.15 to 0.2
