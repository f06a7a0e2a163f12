"""eval.segments: where a solution first goes wrong, and what pointing at the step that holds it is worth."""

import json
from pathlib import Path

import numpy as np
import pytest

from eval import segments
from eval.segments import Judged, first_wrong, located
from prm import plugins, recipe
from prm.records import Steps
from prm.world.program import Program

RECIPE = Path(__file__).parents[1] / "recipes" / "segments.yaml"
PROGRAM = Program(3, (("+", 4), ("-", 2), ("*", 3)))  # 7, 5, 5
RIGHT = "So 3 + 4 = 7, Now 7 - 2 = 5, Then 5 * 3 = 5, The answer is 5"


def cut(text: str) -> tuple[str, Steps]:
    """The text and its steps, which end at "|"."""
    parts = text.split("|")
    ends = tuple(len("".join(parts[: k + 1])) for k in range(len(parts)))
    return "".join(parts), Steps("p", 0, ends)


@pytest.mark.parametrize(
    "text, found",
    [
        (RIGHT, (-1, 1)),
        ("So 3 + 4 = 7, |Now 7 - 2 = 5, |Then 5 * 3 = 5, |The answer is 5", (-1, 1)),
        (
            "So 3 + 4 = 8, |Now 8 - 2 = 6, |Then 6 * 3 = 8, |The answer is 8",
            (0, 1),
        ),  # a wrong digit; the rest is carried
        ("So 3 + 4 = 7, |Now 7 - 2 = 4, |Then 4 * 3 = 2, |The answer is 2", (1, 1)),
        ("So 3 + 4 = 7, |Now 7 - 2 = 5, |Then 5 * 3 = 5, |The answer is 7", (3, 1)),  # a wrong copy
        ("So 3 + 4 = 7, |Now 7 - 3 = 4, |The answer is 4", (1, 1)),  # an operation that is not the problem's
        ("So 3 + 4 = 7, Now 7 - 2 = 4, |Then 4 * 3 = 2, The answer is 2", (0, 2)),
        ("So 3 + 4 = 7, Now 7 - 2 = 4, Then 4 * 3 = 2, The answer is 2", (0, 4)),  # one step makes all four
        ("So 3 + 4 = 7, Now 7 - 2 = |4, Then 4 * 3 = 2, The answer is 2", (1, 3)),  # an assertion counts where it ends
        ("So 3 + 4 = 7, Now 7 - 2 = 4|, Then 4 * 3 = 2, The answer is 2", (0, 2)),
        ("So 3 + 4 = 7, |Well, |Now 7 - 2 = 4", (2, 1)),  # steps without assertions are passed by
        ("So 3 + 4 = 7, |and no more", (-1, 1)),  # cut off, but not wrong
        ("No idea, |none", (0, 1)),  # asserts nothing: wrong from its start
    ],
)
def test_the_step_of_the_first_wrong_assertion_and_how_many_share_it(text, found):
    assert first_wrong(PROGRAM, *cut(text)) == found


def test_a_step_of_many_assertions_points_at_each_with_its_share():
    rows = [
        Judged((0.9, 0.1, 0.2), 1, 1),  # found
        Judged((0.1, 0.9), 0, 4),  # found among four: a quarter
        Judged((0.1, 0.1), 1, 1),  # pointed at an earlier one
        Judged((0.9, 0.9), 0, 2),  # not found
        Judged((0.9, None), -1, 1),  # right, passed; who abstains calls nothing wrong
        Judged((0.9, 0.5), -1, 1),  # right, but called wrong: at the threshold is under it
    ]
    got = located(rows, 0.5)
    error, correct = (1 + 1 / 4) / 4, 1 / 2
    assert got == pytest.approx(
        {
            "f1": 2 * error * correct / (error + correct),
            "acc_error": error,
            "acc_step": 2 / 4,
            "acc_correct": correct,
            "n_error": 4,
            "n_correct": 2,
        }
    )
    assert (
        located(rows, 0.05)["acc_error"] == 0 == located(rows, 0.05)["f1"] and located(rows, 0.05)["acc_correct"] == 1
    )
    assert located(rows[:2], 0.5)["acc_error"] == 5 / 8 and np.isnan(located(rows[:2], 0.5)["acc_correct"])


def test_cutting_finer_cannot_make_up_credit():
    """A judge that calls every step wrong points at the first assertion of whole solutions as often as chance would."""
    whole = [Judged((0.1,), 0, 4) for _ in range(8)]
    fine = [Judged((0.1,) * 4, k % 4, 1) for k in range(8)]
    assert located(whole, 0.5)["acc_error"] == located(fine, 0.5)["acc_error"] == 1 / 4


def test_the_segmenters_that_are_compared_are_those_of_the_recipe():
    """Each makes a recipe, and only the delimiter needs no model."""
    for policy, made in segments.SEGMENTERS.items():
        assert "delimiter" in made
        for name, segmenter in made.items():
            loaded = recipe.load(RECIPE, [f"model={policy}", f"segmenter={segmenter}"])
            assert (loaded.segmenter.name == "delimiter") == (name == "delimiter")
            assert loaded.engine.config.model == policy and loaded.prm.backbone == policy
            if loaded.segmenter.name == "attractor":
                assert loaded.segmenter.config.model == policy
                assert plugins.needs_fit(loaded.segmenter) == (loaded.segmenter.config.form == "expected")


def test_the_votes_are_compared_on_the_same_problems():
    rows = {
        "delimiter": {"vote": 0.5, "vote_P": [1.0, 0.0, 1.0, 0.0] * 20},
        "attractor": {"vote": 1.0, "vote_P": [1.0] * 80},
    }
    segments._against_delimiter(rows)
    assert all("vote_P" not in row for row in rows.values())
    assert rows["delimiter"]["minus_delimiter"][0] == 0 and rows["attractor"]["minus_delimiter"][0] == 0.5


def test_the_command_trains_on_each_kind_of_steps_and_tells_which_ranks_better(tmp_path, monkeypatch, capsys):
    two = {name: segments.SEGMENTERS["world-unbroken"][name] for name in ("delimiter", "attractor")}
    monkeypatch.setattr(segments, "SEGMENTERS", {"world-unbroken": two})
    monkeypatch.setenv("PRM_QUIET", "1")
    small = [
        "problems.train.n=16",
        "problems.test.n=12",
        "sampling.samples=4",
        "signals.reask.most=3",
        "train.epochs=1",
    ]
    segments.main([str(RECIPE), *small, f"out={tmp_path}/run", "--out", str(tmp_path / "found.json")])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["world-unbroken"]
    assert found == json.loads((tmp_path / "found.json").read_text())["world-unbroken"]
    assert found["delimiter"]["steps_a_solution"] == 1 < found["attractor"]["steps_a_solution"]
    assert found["delimiter"]["majority"] == found["attractor"]["majority"]  # the same samples
    assert found["delimiter"]["minus_delimiter"] == [0, 0, 0]
