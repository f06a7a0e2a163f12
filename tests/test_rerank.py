"""Reranking, by example: ties, duplicates, unread answers, abstentions, and nothing by default."""

import random

import pytest

from prm.errors import PrmError
from prm.records import StepScores
from prm.rerank import METHODS, REDUCE, best_of_n, checked_vote, majority, rerank, solution_score, weighted_vote


def rows(*values):
    """One StepScores a solution, of problem "p"."""
    return [
        StepScores("p", i, "prm", "prm", tuple(v), tuple(0.0 if x is None else 1.0 for x in v))
        for i, v in enumerate(values)
    ]


def test_every_reduction_on_one_solution():
    got = {name: round(solution_score([0.5, 1.0, 0.8], name), 6) for name in REDUCE}
    assert got == {"min": 0.5, "product": 0.4, "mean": 0.766667, "geometric_mean": 0.736806, "last": 0.8}


def test_abstained_steps_are_left_out_and_a_solution_of_them_has_no_score():
    assert solution_score([0.9, None, 0.4, None], "last") == 0.4
    assert solution_score([None, None], "min") is None
    assert solution_score([], "mean") is None


def test_best_of_n_takes_the_highest_and_may_take_an_unread_answer():
    assert best_of_n(rows([0.2], [0.9], [0.5]), "min", clusters=[0, -1, 0]).index == 1


def test_best_of_n_ties_go_to_the_larger_cluster_then_to_the_first():
    tied = rows([0.9], [0.9], [0.9], [0.1])
    assert best_of_n(tied, "min").index == 0
    assert best_of_n(tied, "min", clusters=[0, 1, 2, 1]).index == 1
    assert best_of_n(tied, "min", clusters=[-1, -1, -1, -1]).index == 0


def test_a_vote_adds_up_scores_and_returns_the_best_of_the_winning_answer():
    choice = weighted_vote(rows([0.6], [0.9], [0.7], [0.1]), [0, 1, 0, 1], "min")
    assert (choice.index, round(choice.score, 6)) == (2, 1.3)


def test_in_a_checked_vote_silence_is_no_accusation():
    silent, accused = [None, None], [0.1, None]
    unaccused = checked_vote(rows(silent, silent, accused), [0, 0, 1], "min")
    assert (unaccused.index, unaccused.score) == (0, 2.0)  # a whole vote each
    assert checked_vote(rows(accused), [0], "min").score == pytest.approx(0.2)
    assert checked_vote(rows(accused, accused, accused, silent), [0, 0, 0, 1], "min").index == 3
    assert checked_vote(rows(accused, accused, accused), [0, 1, 1], "min").index == 1  # all accused: the majority


def test_duplicates_are_votes():
    assert weighted_vote(rows([0.4], [0.4], [0.4], [0.9]), [0, 0, 0, 1], "min").index == 0


def test_unread_answers_never_pool():
    assert weighted_vote(rows([0.9], [0.9], [0.9], [0.1]), [-1, -1, -1, 0], "min").index == 3
    assert majority([-1, -1, -1, 0, -1]).index == 3


def test_vote_ties_go_to_the_larger_cluster_then_to_the_first():
    assert weighted_vote(rows([0.5], [0.25], [0.25]), [0, 1, 1], "min").index == 1
    assert weighted_vote(rows([0.5], [0.5]), [1, 0], "min").index == 0
    assert weighted_vote(rows([0.0], [0.0], [0.0]), [0, 1, 1], "min").index == 1
    assert majority([1, 0, 0, 1]).index == 0


def test_a_vote_does_not_depend_on_the_order_of_the_samples():
    values, clusters = [[i / 37] for i in range(12)], [i % 3 for i in range(12)]
    expected = weighted_vote(rows(*values), clusters, "min").score
    order = random.Random(0).sample(range(12), 12)
    assert weighted_vote(rows(*[values[i] for i in order]), [clusters[i] for i in order], "min").score == expected


def test_where_nothing_qualifies_the_choice_says_why():
    nothing = rows([None], [])
    for name in METHODS:
        choice = rerank(name, nothing, [-1, -1], "min")
        assert choice.index is None and choice.reason and choice.problem_id == "p"


def test_index_is_the_samples_own():
    late = [StepScores("p", 7, "prm", "prm", (0.9,), (1.0,)), StepScores("p", 9, "prm", "prm", (0.1,), (1.0,))]
    assert best_of_n(late, "min").index == 7


def test_unknown_names_are_errors_that_list_the_known():
    with pytest.raises(PrmError, match="best_of_n, weighted_vote, checked_vote, majority"):
        rerank("bon", rows([0.5]), [0], "min")
    with pytest.raises(PrmError, match="geometric_mean"):
        best_of_n(rows([0.5]), "minimum")


def test_samples_of_two_problems_are_refused():
    mixed = [*rows([0.5]), StepScores("q", 0, "prm", "prm", (0.5,), (1.0,))]
    with pytest.raises(ValueError, match="one problem"):
        best_of_n(mixed, "min")
