"""Outcome oracles on votes small enough to count."""

import pytest

from prm.oracles import NONE, VOTES, ByAnswer, count
from prm.records import Answer, Group, Problem, Sample, Steps


def group(*clusters):
    n = len(clusters)
    return Group(
        Problem("p", "?"),
        tuple(Sample("p", i, "text") for i in range(n)),
        tuple(Steps("p", i, (4,)) for i in range(n)),
        tuple(Answer("p", i, str(c), c) for i, c in enumerate(clusters)),
    )


def drawn(*clusters):
    return [Answer("p", 9 + i, str(c), c) for i, c in enumerate(clusters)]


def test_majority_is_the_largest_cluster_with_its_margin_as_confidence():
    verdicts = VOTES["majority"].score(group(0, 0, 0, 1, -1))
    assert verdicts == [(1.0, 0.5)] * 3 + [(0.0, 0.5), NONE]


def test_a_rollout_is_judged_and_has_no_vote():
    """Cluster 7 is an answer that no sample gave; three rollouts for 1 do not turn the vote."""
    verdicts = VOTES["majority"].score(group(0, 0, 0, 1), drawn(0, 1, 1, 1, 7, -1))
    assert verdicts[4:] == [(1.0, 0.5), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5), NONE]


def test_a_soft_vote_leaves_a_samples_own_vote_out():
    verdicts = VOTES["soft_vote"].score(group(0, 0, 0, 1, -1), drawn(0, 1, 7, -1))
    assert verdicts[:5] == [(pytest.approx(2 / 3), 0.5)] * 3 + [(0.0, 0.5), NONE]
    assert verdicts[5:] == [(0.75, 0.5), (0.25, 0.5), (0.0, 0.5), NONE]


@pytest.mark.parametrize("name", VOTES)
@pytest.mark.parametrize("clusters", [(0, 1), (0,), (0, -1), (-1, -1), ()])
def test_ties_and_lone_votes_decide_nothing(name, clusters):
    assert count(group(*clusters))[2] == 0
    assert VOTES[name].score(group(*clusters), drawn(0)) == [NONE] * (len(clusters) + 1)


def test_another_oracle_is_a_function_of_the_answers():
    """An answer confirmed elsewhere, 1, against the vote; it knows nothing of the others."""
    elsewhere = ByAnswer("reask", lambda group: lambda cluster: {1: (1.0, 0.8)}.get(cluster, NONE))
    assert elsewhere.score(group(0, 0, -1), drawn(1, 2)) == [NONE, NONE, NONE, (1.0, 0.8), NONE]
