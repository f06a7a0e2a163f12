"""What each signal says on examples small enough to work out by hand."""

import math
import time
from types import SimpleNamespace

import pytest

from prm.records import Answer, Group, Problem, Sample, Steps
from prm.segmenters import delimiter
from prm.signals import _code, _stories, gold, logprob, majority, pairwise, pairwise_embedding
from prm.signals._assertions import known, read

PROBLEM = "Tom has 3 bags of 4 apples and eats 2. How many are left?"
RIGHT = [
    "He has 3 * 4 = 12 apples.\nThen 12 - 2 = 10.\nThe answer is 10",
    "That is 4 * 3 = 12.\nThe answer is 12 - 2 = 10",
    "12 apples at first.\nHe keeps 10",
]
WRONG = "He has 3 * 4 = 12 apples.\nThen 12 + 2 = 14.\nThe answer is 14"


def group(*pairs, problem=PROBLEM, logprobs=()):
    """pairs: (text, cluster)."""
    samples = tuple(Sample("p", i, text) for i, (text, _) in enumerate(pairs))
    steps = tuple(delimiter.cut_sample(s, delimiter.Config(by="lines")) for s in samples)
    answers = tuple(Answer("p", i, "" if c < 0 else text.split()[-1], c) for i, (text, c) in enumerate(pairs))
    return Group(Problem("p", problem), samples, steps, answers)


def values(module, rows, **config):
    return [r.values for r in module.label([rows], module.Config(**config), None)]


def test_majority_hard_soft_and_margin():
    votes = group(("a\nb", 0), ("a", 0), ("a", 0), ("a", 1), ("a", -1))
    assert values(majority, votes) == [(1.0, 1.0), (1.0,), (1.0,), (0.0,), (None,)]
    assert values(majority, votes, mode="soft") == [(2 / 3, 2 / 3), (2 / 3,), (2 / 3,), (0.0,), (None,)]
    assert majority.label([votes], majority.Config())[0].weights == (0.5, 0.5)


def test_majority_abstains_on_ties_and_lone_votes():
    assert values(majority, group(("a", 0), ("a", 1))) == [(None,), (None,)]
    assert values(majority, group(("a", 0), ("a", -1))) == [(None,), (None,)]


def test_assertions_of_a_step():
    found = read("2. So 3 \\times \\$4 = \\$1,200.00 and \\frac{1}{2} of it, $x^2 + 1 = 5$")
    assert found.results == {"1200"} and {"3", "4", "1200", "1", "2", "5"} <= found.numbers
    assert read("36 \\text{ cookies} - 27 \\text{ cookies} = 9 \\text{ cookies}").results == {"9"}
    assert read("4 weeks x 25 km/week = 100 km").results == {"100"}
    assert {"7", "14"} <= read("(3 + 4) * 2 = 14").computed
    assert read("(3 + 4) * 2 = 14").routes == {"7=3,4", "14=2,3,4"} == read("2 * (4 + 3)").routes
    assert read("9^{9^{9}} / 0 = (((").computed == set()


def test_what_the_problem_states_is_known_however_spelled():
    assert {"3", "20", "0.2", "2"} <= known("three boys took 20% twice")


def test_pairwise_finds_the_step_no_good_sibling_confirms():
    rows = pairwise.label([group((RIGHT[0], 0), (RIGHT[1], 0), (RIGHT[2], 0), (WRONG, 1))], pairwise.Config())
    for right in rows[:3]:
        assert all(v is None or v > 0.5 for v in right.values)
    first, second, last = rows[3].values
    assert first > 0.5 and second < 0.1 and last is None  # 14 is new where it is computed, and later only repeated
    assert all(0 < w < 1 for w, v in zip(rows[3].weights, rows[3].values) if v is not None)


def test_pairwise_judges_a_result_that_is_a_number_of_the_problem():
    """80 - 40 = 40 asserts something though 40 is given."""
    slip = "First 12 apples.\nThen 4 - 2 = 2.\nThe answer is 2"
    row = pairwise.label([group((RIGHT[0], 0), (RIGHT[1], 0), (RIGHT[2], 0), (slip, 1))], pairwise.Config())[3]
    assert row.values[1] < 0.5


def test_pairwise_forgives_another_route_to_the_leading_answer():
    route = "Each bag loses 2/3 apple.\nSo 10/3 a bag.\nThe answer is 10"
    row = pairwise.label([group((RIGHT[0], 0), (RIGHT[1], 0), (RIGHT[2], 0), (route, 0))], pairwise.Config())[3]
    assert all(v is None or v > 0.5 for v in row.values)


def test_pairwise_looks_where_the_holders_ended():
    """14 has two holders and 10 two, but only 10's ended with the leading answer."""
    mixed = group((RIGHT[0], 0), (RIGHT[1], 0), (RIGHT[2], 0), (WRONG, 1), (WRONG.replace("He", "Tom"), 1))
    assert pairwise.label([mixed], pairwise.Config())[4].values[1] < 0.5


def test_pairwise_copies_testify_neither_for_themselves_nor_in_full():
    assert values(pairwise, group(*[(RIGHT[0], 0)] * 5)) == [(None, None, None)] * 5
    few = pairwise.label([group((RIGHT[1], 0), (RIGHT[0], 0))], pairwise.Config())[0]
    many = pairwise.label([group((RIGHT[1], 0), *[(RIGHT[0], 0)] * 16)], pairwise.Config())[0]
    assert few.weights[0] < many.weights[0] == pytest.approx(4 / 6)


def test_pairwise_charges_where_an_error_enters_and_not_where_it_is_carried():
    """15 comes of the wrong 7: of a row of values nobody has the first is charged, and the later weigh little."""
    carried = "He has 3 + 4 = 7 apples.\nWith 8 more 7 + 8 = 15.\nThe answer is 15"
    row = pairwise.label([group((RIGHT[0], 0), (RIGHT[1], 0), (RIGHT[2], 0), (carried, 1))], pairwise.Config())[3]
    assert row.values[0] < 0.2 and row.values[1] > 0.5 and row.weights[1] < row.weights[0] / 2


def test_pairwise_forgives_an_odd_value_from_which_confirmed_ones_follow():
    detour = "3 * 6 = 18.\nSo 18 - 6 = 12 apples.\nThey cost 12 * 5 = 60 cents.\nAnd 12 - 2 = 10.\nThe answer is 14"
    siblings = [(f"{word} 12 * 5 = 60 cents.\n{text}", 0) for word in ("So", "Hence", "Well") for text in RIGHT]
    row = pairwise.label([group(*siblings, (detour, 1))], pairwise.Config())[-1]
    assert row.values[0] > 0.5 > row.values[4]


def test_stories_where_siblings_confirm_everything_charge_the_step_that_says_most():
    chances, apart, no_routes = _stories.Chances(0.1, 0.5, 0.8, 0.2, 0.6), [[False] * 3] * 3, [None] * 3
    none, first = _stories.weigh([0.99, None, 0.99], no_routes, apart, [40, 90, 40], 0.1, chances)
    assert none < 0.5 and none + sum(first) == pytest.approx(1) and max(first) == first[1]
    _, first = _stories.weigh([0.99, None, 0.0], no_routes, apart, [40, 90, 40], 0.1, chances)
    assert max(first) == first[2]  # but what no sibling holds is stronger evidence


def test_pairwise_scattered_votes_count_half_against_an_answer():
    rows = [group((RIGHT[0], 0), *[(f"{RIGHT[0]} {c}", c) for c in others]) for others in ((0, 1), (0, 1, 2, 3))]
    few, many = (pairwise.label([row], pairwise.Config())[0].values for row in rows)
    assert min(few) > min(many)


def test_pairwise_suspects_a_known_value_reached_from_other_numbers():
    """3 * 4 = 12 is nobody's: the siblings come to 12 as 10 + 2."""
    siblings = [(f"{word} 5 * 2 = 10 left.\nBefore, 10 + 2 = 12.\nThe answer is 12 * 2 = 24", 0) for word in "abcdefgh"]
    texts = [
        f"He has 5 * 2 = 10 left.\nBefore, {made} = 12.\nHence 12 * 3 = 36.\nThe answer is 36"
        for made in ("10 + 2", "4 * 3")
    ]
    usual, other = (pairwise.label([group(*siblings, (text, 1))], pairwise.Config())[-1].values[1] for text in texts)
    assert other < usual - 0.05


def test_a_number_in_code_that_no_float_holds_is_passed_over():
    names = {}
    assert _code.follow(f"x = {'9' * 400}\ny = 3 * 4\nz = x - x\nround(2.5, {'9' * 400})\n1e400 * 0", names)
    assert names == {"y": 12}


def test_pairwise_reads_the_code_of_siblings():
    code = "We compute.\n```python\nbags = 3 * {}\nbags - 2  # 10\n```\nThe answer is 10"
    slip = "He has 3 * 4 = 12 apples.\nThen 12 + 2 = 14.\nThe answer is 14"
    row = pairwise.label([group(*[(code.format(x), 0) for x in ("4", "4.0", "(4)")], (slip, 1))], pairwise.Config())[3]
    assert row.values[0] > 0.5 > row.values[1]


def test_pairwise_without_any_answer_is_plain_occurrence():
    row = pairwise.label([group((RIGHT[0], -1), (RIGHT[1], -1), (RIGHT[2], -1), (WRONG, -1))], pairwise.Config())[3]
    assert row.values[0] > 0.8 and row.values[1] < 0.5


def test_logprob_is_the_geometric_mean_of_the_steps_token_probabilities():
    sample = Sample("p", 0, "ab\ncd", (1, 2, 3, 4, 5), tuple(math.log(p) for p in (0.9, 0.4, 0.5, 0.2, 0.8)))
    rows = Group(
        Problem("p", "?"),
        (sample, Sample("p", 1, "ab"), Sample("p", 2, "ab", logprobs=(-1.0, -1.0))),
        (Steps("p", 0, (3, 5)), Steps("p", 1, (2,)), Steps("p", 2, (2,))),
        tuple(Answer("p", i, "", -1) for i in range(3)),
    )
    letters = SimpleNamespace(
        all_special_ids=[], is_fast=False, decode=lambda ids, **_: "".join("?ab\ncd"[i] for i in ids)
    )
    context = SimpleNamespace(
        recipe=SimpleNamespace(engine=SimpleNamespace(config=SimpleNamespace(model="m"))),
        cached=lambda key, make: letters,
    )
    first, replayed, nameless = logprob.label([rows], logprob.Config(), context)
    assert first.values == pytest.approx(((0.9 * 0.4 * 0.5) ** (1 / 3), (0.2 * 0.8) ** 0.5))
    assert replayed.values == nameless.values == (None,) and replayed.weights == nameless.weights == (0.0,)


def test_gold_takes_truth_of_steps_where_it_can_and_outcome_elsewhere(monkeypatch):
    from prm.answers import Config as Answers

    reference = SimpleNamespace(answer="10", kinds=lambda steps: None)
    context = SimpleNamespace(
        recipe=SimpleNamespace(problems={"test": None}, answers=Answers()), cached=lambda key, make: {"p": reference}
    )
    rows = gold.label([group(("x\n10", 0), ("y\n14", 1), ("z", -1))], gold.Config(), context)
    assert [r.values for r in rows] == [(1.0, 1.0), (0.0, 0.0), (0.0,)] and all(r.key == "gold" for r in rows)
    reference.kinds = lambda steps: ["right", "slip"][: len(steps)]
    assert gold.label([group(("x\n10", 0))], gold.Config(), context)[0].values == (1.0, 0.0)


def test_pairwise_embedding_takes_the_best_step_nearby():
    import numpy as np

    vectors = {"a": (1, 0), "b": (0, 1), "c": (0.6, 0.8)}
    encode = lambda texts, batch, max_tokens: np.array([vectors[t] for t in texts], float)
    context = SimpleNamespace(cached=lambda key, make: encode)
    rows = group(("a\nb", -1), ("c\nb", -1), ("b\na", -1), ("a\nb", -1))
    wide = pairwise_embedding.label([rows], pairwise_embedding.Config(window=1.0), context)[0]
    assert wide.values == pytest.approx(((0.6 + 1) / 2, 1.0))  # the copy of itself does not count
    near = pairwise_embedding.label([rows], pairwise_embedding.Config(window=0.5), context)[0]
    assert near.values == pytest.approx((0.6 / 2, 1 / 2))


@pytest.mark.parametrize(
    "module, bad",
    [
        (majority, {"mode": "medium"}),
        (pairwise, {"leak": 0.0}),
        (pairwise, {"temper": 0.0}),
        (pairwise, {"novel": 1.0}),
        (pairwise_embedding, {"window": 0.0}),
    ],
)
def test_bad_settings_are_named(module, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        module.Config(**bad)


@pytest.mark.parametrize("loop", ["(", "1", "1 + ", "(1+", "1)"])
def test_a_model_that_loops_is_read_in_linear_time(loop):
    """Four times the text takes four times as long, where quadratic work takes sixteen."""

    def seconds(characters):
        start = time.process_time()
        read(loop * (characters // len(loop)))
        return time.process_time() - start

    short, long = (min(seconds(n) for _ in range(5)) for n in (20_000, 80_000))
    assert long < 9 * short
