"""Which way of choosing is right how often, on problems small enough to count by hand."""

import math
import time

import numpy as np
import pytest

from eval import choices
from eval.choices import Judged
from prm import answers
from prm.errors import PrmError
from prm.records import Answer, Group, Problem, Sample, Steps, StepScores


def scored(problem_id: str, *values: tuple) -> list[StepScores]:
    """One StepScores a sample from its steps' values."""
    return [StepScores(problem_id, i, "prm", "prm", tuple(v), tuple(0.0 if x is None else 1.0 for x in v))
            for i, v in enumerate(values)]


# a: two of three agree on a wrong answer. b: all agree and are right. c: nothing can be read.
A = Judged("a", (0, 1, 2), (0, 0, 1), (False, False, True))
B = Judged("b", (0, 1, 2), (0, 0, 0), (True, True, True))
C = Judged("c", (0, 1, 2), (-1, -1, -1), (False, False, False))


def test_the_plain_rows():
    assert choices.one_sample([A, B, C]).tolist() == [1 / 3, 1.0, 0.0]
    assert choices.by_majority([A, B, C]).tolist() == [0.0, 1.0, 0.0]
    assert choices.any_right([A, B, C]).tolist() == [1.0, 1.0, 0.0]


def test_scores_turn_the_vote():
    scores = {"a": scored("a", (0.2, 0.9), (0.3,), (0.9, 0.8)), "b": scored("b", (0.1,), (0.1,), (0.1,))}
    assert choices.by_best([A, B], scores, "min").tolist() == [1.0, 1.0]
    assert choices.by_vote([A, B], scores, "min").tolist() == [1.0, 1.0]  # .8 beats .2 + .3
    assert choices.by_vote([A, B], scores, "last").tolist() == [0.0, 1.0]  # .9 + .3 beats .8


def test_unknown_problems_are_nan_and_unscored_ones_wrong():
    scores = {"a": scored("a", (None,), (), (None, None))}
    got = choices.by_best([A, B], scores, "min")
    assert got[0] == 0.0 and math.isnan(got[1])


def test_a_half_scored_problem_is_refused():
    with pytest.raises(PrmError, match="no score of sample 2"):
        choices.by_best([A], {"a": scored("a", (0.2,), (0.3,))}, "min")


def test_log_probability_is_the_mean_over_tokens():
    samples = [Sample("a", 0, "x", (1, 2), (-1.0, -3.0)), Sample("a", 1, "y", (1,), (-0.5,)), Sample("a", 2, "", reason="empty")]
    rows = choices.logprob_scores(samples)["a"]
    assert rows[0].values == (pytest.approx(math.exp(-2)),) and rows[2].values == (None,)
    assert choices.by_best([Judged("a", (0, 1, 2), (0, 1, -1), (False, True, False))], {"a": rows}, "last").tolist() == [1.0]
    assert choices.logprob_scores([Sample("a", 0, "replayed, nobody kept the log-probabilities")]) == {}


def test_judging_compares_clusters_with_gold():
    texts = ["1/2", "0.5", "2", ""]
    samples = tuple(Sample("p", i, t) for i, t in enumerate(texts))
    rows = tuple(Answer("p", i, t, c) for i, (t, c) in enumerate(zip(texts, (0, 0, 1, -1))))
    group = Group(Problem("p", "?"), samples, tuple(Steps("p", i, ()) for i in range(4)), rows)
    [judged] = choices.judge([group], {"p": r"\frac{1}{2}"}, answers.Config())
    assert judged.right == (True, True, False, False)
    with pytest.raises(PrmError, match="no answer for problem p"):
        choices.judge([group], {}, answers.Config())


def test_the_curve_uses_all_disjoint_parts():
    problem = Judged("a", (0, 1, 2, 3), (0, 1, 0, 0), (True, False, True, True))
    got = choices.curve([problem], {"a": scored("a", (0.1,), (0.9,), (0.5,), (0.5,))}, "min")
    assert got["n"] == [1, 2, 4]
    assert got["oracle"] == [0.75, 1.0, 1.0] and got["majority"] == [0.75, 1.0, 1.0] and got["prm_vote"] == [0.75, 0.5, 1.0]
    assert choices.curve([problem], None, "min")["prm_vote"] == [None, None, None]


def test_a_thousand_problems_take_seconds():
    rng = np.random.default_rng(0)
    judged = [Judged(str(i), tuple(range(16)), tuple(int(c) for c in rng.integers(0, 4, 16)), tuple(rng.random(16) < 0.6))
              for i in range(1000)]
    scores = {p.problem_id: scored(p.problem_id, *rng.random((16, 4)).tolist()) for p in judged}
    start = time.perf_counter()
    choices.by_vote(judged, scores, "min")
    choices.curve(judged, scores, "min")
    assert time.perf_counter() - start < 10
