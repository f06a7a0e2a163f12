"""Pairwise judging: order swaps take away position bias, lengths are guarded, Copeland ranks."""

import random
import re
from types import SimpleNamespace

import pytest

from prm.copeland import copeland, pairings
from prm.engines import Sampling
from prm.errors import PrmError
from prm.records import Answer, Group, Problem, Sample
from prm.segmenters import delimiter
from prm.signals import _prompts, judge


def group(*texts):
    samples = tuple(Sample("p", i, text, reason="" if text else "empty") for i, text in enumerate(texts))
    steps = tuple(delimiter.cut_sample(s, delimiter.Config(by="lines")) for s in samples)
    answers = tuple(Answer("p", i, "", -1) for i in range(len(texts)))
    return Group(Problem("p", "What is {x}?"), samples, steps, answers)


class Judge:
    """`prefers(a, b)` says "A", "B" or anything else of two texts; remembers the pairs it saw."""

    def __init__(self, prefers):
        self.prefers, self.seen = prefers, []

    def sample(self, problems, sampling):
        rows = []
        for problem in problems:
            a, b = re.findall(r"[AB]:\n<<<\n(.*?)\n>>>", problem.text, re.DOTALL)
            self.seen.append((a, b))
            rows += [Sample(problem.id, i, f"Well.\nVerdict: {self.prefers(a, b)}") for i in range(sampling.samples)]
        return rows


def context(engine):
    return SimpleNamespace(recipe=SimpleNamespace(sampling=Sampling()), engine=lambda: engine)


def larger(a, b):
    """A good judge of texts "step one\\nThe answer is N": the larger N is the better."""
    return "A" if int(a.split()[-1]) > int(b.split()[-1]) else "B"


TEXTS = [f"First we look.\nThe answer is {n}" for n in (30, 10, 40, 20)]


def test_a_good_judge_gives_back_the_order_for_all_steps_of_a_solution():
    scores = judge.label([group(*TEXTS)], judge.Config(), context(Judge(larger)))
    assert [s.values for s in scores] == [(pytest.approx(v),) * 2 for v in (2 / 3, 0, 1, 1 / 3)]
    assert {w for s in scores for w in s.weights} == {3 / 5}  # three pairs each, all consistent
    assert scores[0].provenance[0] == "won 2 lost 1 undecided 0 malformed 0"


@pytest.mark.parametrize("always", ["A", "B", "nothing of the kind"])
def test_a_judge_that_looks_at_the_place_alone_decides_nothing(always):
    scores = judge.label([group(*TEXTS)], judge.Config(judgements=4), context(Judge(lambda a, b: always)))
    assert all(s.values == (None, None) for s in scores)
    malformed = 12 if always.startswith("n") else 0
    assert all(s.provenance[0] == f"won 0 lost 0 undecided 3 malformed {malformed}" for s in scores)


def test_texts_of_unlike_length_are_not_compared_or_count_less():
    texts = [*TEXTS, "First we look. " + "And look again. " * 9 + "\nThe answer is 50"]
    guarded, counted = Judge(larger), Judge(larger)
    scores = judge.label([group(*texts)], judge.Config(), context(guarded))
    assert scores[4].values == (None, None) and not any("again" in a + b for a, b in guarded.seen)
    scores = judge.label([group(*texts)], judge.Config(outside=0.5), context(counted))
    assert scores[4].values[0] == 1.0 and any("again" in a + b for a, b in counted.seen)
    assert scores[2].values[0] == pytest.approx((1 + 2.5 / 3.5) / 2)  # three wins and half a loss


def test_copies_are_judged_once_and_the_unusable_not_at_all():
    engine = Judge(larger)
    scores = judge.label([group(TEXTS[0], TEXTS[1], TEXTS[0] + "\n", "")], judge.Config(), context(engine))
    assert len(engine.seen) == 2 and scores[0].values == scores[2].values == (1.0, 1.0) and scores[3].values == ()


def test_every_text_meets_a_few_others_and_all_hang_together():
    pairs = pairings(20, 4, lambda i, j: True, random.Random(0))
    met = [sum(k in pair for pair in pairs) for k in range(20)]
    assert met == [4] * 20 and len(set(pairs)) == len(pairs)
    reached = {0}
    for _ in range(20):
        reached |= {k for pair in pairs if reached & set(pair) for k in pair}
    assert len(reached) == 20
    assert pairings(4, 9, lambda i, j: True, random.Random(0)) == [(i, j) for i in range(4) for j in range(i + 1, 4)]
    assert (
        pairings(1, 4, lambda i, j: True, random.Random(0)) == pairings(0, 4, lambda i, j: True, random.Random(0)) == []
    )


def test_steps_are_judged_where_solutions_first_compute_something_else():
    texts = [
        "Start: 3 of 4.\n3 * 4 = 12\nso 12",
        "Begin: 3 of 4.\n3 * 4 = 13\nso 13",
        "Start: 3 of 4.\nThat is 3 * 4 = 12\nso 12",
    ]
    engine = Judge(lambda a, b: "A" if "= 12" in a else "B")
    scores = judge.label([group(*texts)], judge.Config(level="step"), context(engine))
    assert [s.values for s in scores] == [(None, 1.0, None), (None, 0.0, None), (None, 1.0, None)]
    assert (
        len(engine.seen) == 2
    )  # one pair in two orders: the third solution's second step computes what the first's does


def test_copeland_by_hand():
    assert copeland(4, [(0, 1, 1.0), (0, 2, 1.0), (2, 1, 0.5), (0, 3, 0.0)]) == [1.0, -1.0, pytest.approx(-1 / 3), None]
    with pytest.raises(ValueError, match="no pair"):
        copeland(2, [(0, 2, 1.0)])


def test_the_last_verdict_counts_and_another_form_is_malformed():
    said = [
        "Verdict: A? No.\nVerdict: B",
        "**Verdict:** A",
        "verdict is solution B.",
        "A is better",
        "Verdict: a",
        "Verdict: A or B?\nBoth",
    ]
    assert [_prompts.verdict(text) for text in said] == ["B", "A", "B", "", "", ""]


def test_another_engine_may_judge_and_is_checked_before_a_run():
    judge.check(judge.Config())
    with pytest.raises(PrmError, match="judge.engine"):
        judge.check(judge.Config(engine={"name": "nobody"}))
    with pytest.raises(PrmError, match="unknown key"):
        judge.check(judge.Config(engine={"name": "transformers", "modle": "x"}))
    with pytest.raises(ValueError, match="judgements"):
        judge.Config(judgements=3)
