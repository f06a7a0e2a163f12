"""Majority: every step inherits how its sample's answer fared in the vote over the problem's answers.

    hard    value = 1[answer in the largest cluster]
    soft    value = (n_c - 1) / (n - 1)       the share of the *other* votes that agree with this one

confidence is the vote's margin; samples without an answer, votes of one and tied votes abstain (prm/oracles.py counts
them). Blind to which step is wrong, and inverted on errors that most samples share (recipes/LOG.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm import oracles
from prm.records import Group, StepScores

KEY = "vote"
TEXT_ONLY = True
ORACLES = {"hard": oracles.VOTES["majority"], "soft": oracles.VOTES["soft_vote"]}


@dataclass(frozen=True)
class Config:
    """mode: "hard" or "soft"."""

    mode: str = "hard"

    def __post_init__(self):
        if self.mode not in ORACLES:
            raise ValueError(f"mode: {self.mode!r} is neither hard nor soft; choose one")


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample; all of a sample's steps have the same value."""
    return [row for group in groups for row in _group(group, config)]


def _group(group: Group, config: Config) -> list[StepScores]:
    return [
        StepScores(s.problem_id, s.index, "majority", KEY, (value,) * len(s.ends), (weight,) * len(s.ends))
        for s, (value, weight) in zip(group.steps, ORACLES[config.mode].score(group))
    ]
