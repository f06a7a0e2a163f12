"""How often each way of choosing among a problem's samples gives the right answer: the rows of every best-of-N table.

A way of choosing is one accuracy a problem, 0 or 1 (one sample: the share of right ones); all rows sit on the same
problems, so their differences are paired. A problem where nothing could be chosen counts as wrong: whoever asked got
no answer. A problem that a source has never seen is NaN for its rows, and they are compared on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prm import answers
from prm.errors import PrmError
from prm.records import Group, Sample, StepScores
from prm.rerank import best_of_n, majority, weighted_vote

Scores = Mapping[str, Sequence[StepScores]]  # problem id -> one row a sample, in the samples' order


@dataclass(frozen=True)
class Judged:
    """One problem's samples: clusters of equal answers, and which samples are right."""

    problem_id: str
    indices: tuple[int, ...]
    clusters: tuple[int, ...]
    right: tuple[bool, ...]

    def part(self, start: int, stop: int) -> Judged:
        return Judged(self.problem_id, self.indices[start:stop], self.clusters[start:stop], self.right[start:stop])


def judge(groups: Sequence[Group], gold: Mapping[str, str], config: answers.Config) -> list[Judged]:
    """Compares each cluster of answers with the problem's gold answer. Raises PrmError for a problem without one."""
    judged = []
    with answers.open_pool(config) as pool:
        for group in groups:
            if group.problem.id not in gold:
                raise PrmError(
                    f"references: no answer for problem {group.problem.id}; give one for each held-out problem"
                )
            heads = {a.cluster: a.text for a in reversed(group.answers) if a.cluster >= 0}
            right = {c: answers.equivalent(text, gold[group.problem.id], pool) for c, text in heads.items()}
            judged.append(
                Judged(
                    group.problem.id,
                    tuple(a.index for a in group.answers),
                    tuple(a.cluster for a in group.answers),
                    tuple(right.get(a.cluster, False) for a in group.answers),
                )
            )
    return judged


def one_sample(judged: Sequence[Judged]) -> np.ndarray:
    """(P,) share of right samples: what one sample drawn at random earns."""
    return np.array([np.mean(p.right) if p.right else 0.0 for p in judged], float)


def any_right(judged: Sequence[Judged]) -> np.ndarray:
    return np.array([any(p.right) for p in judged], float)


def by_majority(judged: Sequence[Judged]) -> np.ndarray:
    """(P,) 1.0 where the most frequent answer is right."""
    places = [majority(p.clusters, p.problem_id).index for p in judged]  # majority gives positions
    return np.array([place is not None and p.right[place] for p, place in zip(judged, places)], float)


def by_best(judged: Sequence[Judged], scores: Scores, reduce: str) -> np.ndarray:
    """(P,) 1.0 where the best-scored sample is right; NaN where `scores` lacks the problem."""
    return _chosen(judged, scores, lambda rows, clusters: best_of_n(rows, reduce, clusters))


def by_vote(judged: Sequence[Judged], scores: Scores, reduce: str) -> np.ndarray:
    """(P,) 1.0 where the answer with the highest sum of scores is right; NaN where `scores` lacks the problem."""
    return _chosen(judged, scores, lambda rows, clusters: weighted_vote(rows, clusters, reduce))


def by_problem(rows: Sequence[StepScores]) -> dict[str, list[StepScores]]:
    """Rows grouped by problem, in their order."""
    grouped: dict[str, list[StepScores]] = {}
    for row in rows:
        grouped.setdefault(row.problem_id, []).append(row)
    return grouped


def logprob_scores(samples: Sequence[Sample]) -> dict[str, list[StepScores]]:
    """The baseline: exp of the mean log-probability of a sample's tokens, as one value; {} where none are known."""
    if not any(s.logprobs for s in samples):
        return {}
    means = [
        math.exp(min(0.0, math.fsum(s.logprobs) / len(s.logprobs))) if s.logprobs and not s.reason else None
        for s in samples
    ]
    return by_problem(
        [
            StepScores(s.problem_id, s.index, "logprob", "policy", (mean,), (0.0 if mean is None else 1.0,))
            for s, mean in zip(samples, means)
        ]
    )


def curve(judged: Sequence[Judged], scores: Scores | None, reduce: str) -> dict[str, list]:
    """Accuracy at N = 1, 2, 4, ... samples, averaged over the disjoint parts of N that the samples fall into."""
    most = min((len(p.indices) for p in judged), default=0)
    sizes = [2**k for k in range(most.bit_length())]
    found: dict[str, list] = {"n": sizes, "majority": [], "prm_vote": [], "oracle": []}
    for size in sizes:
        parts = [p.part(at, at + size) for p in judged for at in range(0, most - size + 1, size)]
        found["majority"].append(float(by_majority(parts).mean()))
        found["oracle"].append(float(any_right(parts).mean()))
        found["prm_vote"].append(float(by_vote(parts, scores, reduce).mean()) if scores else None)
    return found


def _chosen(judged: Sequence[Judged], scores: Scores, choose: Callable) -> np.ndarray:
    accuracy = np.full(len(judged), np.nan)
    for i, problem in enumerate(judged):
        if problem.problem_id not in scores:
            continue
        rows = scores[problem.problem_id]
        known = {row.index: row for row in rows}
        if missing := [index for index in problem.indices if index not in known]:
            raise PrmError(
                f"{rows[0].source}: problem {problem.problem_id} has no score of sample {missing[0]}; "
                "score all samples of a problem or none"
            )
        index = choose([known[index] for index in problem.indices], problem.clusters).index
        accuracy[i] = index is not None and problem.right[problem.indices.index(index)]
    return accuracy
