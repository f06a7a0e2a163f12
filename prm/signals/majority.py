"""Majority: every step inherits how its sample's answer fared in the vote over the problem's answers.

    hard    value = 1[answer in the largest cluster]
    soft    value = (n_c - 1) / (n - 1)       the share of the *other* votes that agree with this one

n votes in all, n_c for this answer's cluster. confidence = (n_1 - n_2) / n, the margin of the largest cluster over the
second. Samples without an answer, votes of one and tied votes abstain. Blind to which step is wrong, and inverted on
errors that most samples share (recipes/LOG.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prm.records import Answer, Group, StepScores

KEY = "vote"
TEXT_ONLY = True


@dataclass(frozen=True)
class Config:
    """mode: "hard" or "soft"."""

    mode: str = "hard"

    def __post_init__(self):
        if self.mode not in ("hard", "soft"):
            raise ValueError(f"mode: {self.mode!r} is neither hard nor soft; choose one")


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample; all of a sample's steps have the same value."""
    return [row for group in groups for row in _group(group, config)]


def _group(group: Group, config: Config) -> list[StepScores]:
    votes = Counter(answer.cluster for answer in group.answers if answer.cluster >= 0)
    ranked = [*votes.most_common(2), (-1, 0), (-1, 0)]
    (first, most), (_, second) = ranked[:2]
    total = votes.total()
    margin = (most - second) / total if total > 1 else 0.0
    rows = []
    for answer, steps in zip(group.answers, group.steps):
        value = _value(answer, votes, first, total, config.mode) if margin > 0 else None
        weight = 0.0 if value is None else margin
        rows.append(
            StepScores(
                answer.problem_id,
                answer.index,
                "majority",
                KEY,
                (value,) * len(steps.ends),
                (weight,) * len(steps.ends),
            )
        )
    return rows


def _value(answer: Answer, votes: Counter, first: int, total: int, mode: str) -> float | None:
    if answer.cluster < 0:
        return None
    return float(answer.cluster == first) if mode == "hard" else (votes[answer.cluster] - 1) / (total - 1)
