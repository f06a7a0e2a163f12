"""Choosing one of a problem's samples: best-of-N, weighted vote, checked vote, majority.

A sample's score is its steps' values reduced to one number (`REDUCE`). Steps on which the source abstained (None) are left
out; a sample with no value at all has no score: it cannot be chosen by score and brings no weight to a vote.

Duplicates stay: equal texts are separate samples, so they are separate votes, and in best-of-N they tie.
Ties: the larger cluster of answers first (where clusters are known), then the earlier sample.
Nothing is chosen by default: where no sample qualifies, the `Choice` has index None and says why.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prm.errors import PrmError
from prm.records import StepScores

REDUCE: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "product": math.prod,
    "mean": lambda values: sum(values) / len(values),
    "geometric_mean": lambda values: math.prod(value ** (1 / len(values)) for value in values),
    "last": lambda values: values[-1],
}

UNDECIDED = 0.5  # belief in a step that a source whose accusations alone count does not accuse


@dataclass(frozen=True, slots=True)
class Choice:
    """The sample chosen for a problem. index: the sample's own index, None where nothing could be chosen (see reason)."""

    problem_id: str
    index: int | None
    score: float | None
    reason: str = ""


def solution_score(values: Sequence[float | None], reduce: str) -> float | None:
    """One number for a solution from its steps' values in [0, 1]; None where no step has a value."""
    if reduce not in REDUCE:
        raise PrmError(f"reduce: unknown {reduce!r}; choose one of {', '.join(REDUCE)}")
    said = [value for value in values if value is not None]
    return REDUCE[reduce](said) if said else None


def best_of_n(scores: Sequence[StepScores], reduce: str, clusters: Sequence[int] | None = None) -> Choice:
    """The sample with the highest score. An unparsed answer (-1) may win: best-of-N does not look at answers.

    clusters: one a sample, as in `Answer.cluster`; only breaks ties.
    """
    problem_id = _one_problem(scores, clusters)
    sizes = _sizes(clusters if clusters is not None else [-1] * len(scores))
    scored = [(solution_score(row.values, reduce), i) for i, row in enumerate(scores)]
    scored = [(score, sizes[i], -i) for score, i in scored if score is not None]
    if not scored:
        return Choice(problem_id, None, None, "no sample has a score")
    score, _, minus_position = max(scored)
    return Choice(problem_id, scores[-minus_position].index, score)


def weighted_vote(scores: Sequence[StepScores], clusters: Sequence[int], reduce: str) -> Choice:
    """The answer whose samples' scores add up to most; returned as its best-scored sample, with that sum as score.

    clusters: one a sample, as in `Answer.cluster`; -1 (no answer read) has no vote.
    """
    problem_id = _one_problem(scores, clusters)
    votes = defaultdict(list)
    for i, (row, cluster) in enumerate(zip(scores, clusters)):
        score = solution_score(row.values, reduce)
        if cluster >= 0 and score is not None:
            votes[cluster].append((score, -i))
    if not votes:
        return Choice(problem_id, None, None, "no sample has both an answer and a score")
    # fsum is exact, so a total does not depend on the samples' order.
    totals = {cluster: math.fsum(score for score, _ in cast) for cluster, cast in votes.items()}
    winner = max(votes, key=lambda cluster: (totals[cluster], clusters.count(cluster), -clusters.index(cluster)))
    _, minus_position = max(votes[winner])
    return Choice(problem_id, scores[-minus_position].index, totals[winner])


def checked_vote(scores: Sequence[StepScores], clusters: Sequence[int], reduce: str) -> Choice:
    """The vote in which only accusations count: a step nobody speaks of, or somebody faintly confirms, is neither right
    nor wrong, and silence costs no sample its vote.

    Where no sample is accused it is the majority; an accused sample has min(values) / UNDECIDED of a vote (reduce "min").
    """
    return weighted_vote([undecided(row) for row in scores], clusters, reduce)


def undecided(row: StepScores) -> StepScores:
    """The row's accusations as shares of a vote, value / UNDECIDED: 1 for None and for any value above, so that nobody
    gains by being checked."""
    return replace(row, values=tuple(1.0 if v is None else min(1.0, v / UNDECIDED) for v in row.values))


def majority(clusters: Sequence[int], problem_id: str = "") -> Choice:
    """The answer given most often, as its first sample (index = position in `clusters`), with its share of all samples.

    The share counts unparsed answers among all: they are samples whose vote nobody can read.
    """
    sizes = _sizes(clusters)
    voters = [(sizes[i], -i) for i, cluster in enumerate(clusters) if cluster >= 0]
    if not voters:
        return Choice(problem_id, None, None, "no sample has an answer")
    size, minus_position = max(voters)
    return Choice(problem_id, -minus_position, size / len(clusters))


def rerank(method: str, scores: Sequence[StepScores], clusters: Sequence[int], reduce: str) -> Choice:
    """One problem's choice by the named method (`METHODS`)."""
    if method not in METHODS:
        raise PrmError(f"method: unknown {method!r}; choose one of {', '.join(METHODS)}")
    return METHODS[method](scores, clusters, reduce)


METHODS: dict[str, Callable[[Sequence[StepScores], Sequence[int], str], Choice]] = {
    "best_of_n": lambda scores, clusters, reduce: best_of_n(scores, reduce, clusters),
    "weighted_vote": weighted_vote,
    "checked_vote": checked_vote,
    "majority": lambda scores, clusters, reduce: majority(clusters, _one_problem(scores, clusters)),
}


def _sizes(clusters: Sequence[int]) -> list[int]:
    """For each sample how many share its answer; an unparsed one stands alone."""
    return [1 if cluster < 0 else clusters.count(cluster) for cluster in clusters]


def _one_problem(scores: Sequence[StepScores], clusters: Sequence[int] | None) -> str:
    problems = {row.problem_id for row in scores}
    if len(problems) != 1:
        raise ValueError(f"rerank takes the samples of one problem, not of {len(problems)}")
    if clusters is not None and len(clusters) != len(scores):
        raise ValueError(f"rerank: {len(scores)} scores, {len(clusters)} clusters")
    return problems.pop()
