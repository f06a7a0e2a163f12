"""Accuses steps that state an equation which does not hold: 19 + 8 + 16 + 8 = 41.

It reads what stands closed on both sides (prm/signals/_closed.py: + - * /, powers, roots, pi, complex numbers and
trigonometry, in LaTeX too). An equation that holds says little about whether the step is right, so the signal only
accuses and abstains elsewhere; a vote in which silence is no accusation is `checked_vote` (prm/rerank.py). It looks at
no vote: a slip that most samples share is found all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm.records import Group, StepScores
from prm.signals import _closed

KEY = "calculation"
TEXT_ONLY = True
ACCUSES = True


@dataclass(frozen=True)
class Config:
    """wrong: belief in a step with an equation that does not hold. Not 0: it may have been misread, or be a supposition
    that the solution goes on to refute. Set by argument: a voter who is
    more often wrong than right deserves no vote; from .02 to .1 all choices on the development half are the same."""

    wrong: float = 0.05

    def __post_init__(self):
        if not 0 <= self.wrong < 0.5:
            raise ValueError(f"wrong: {self.wrong} accuses nobody; give a belief in [0, 0.5)")


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample; None where every equation holds or none can be worked out."""
    return [
        _sample(steps.cut(sample.text), sample, config)
        for group in groups
        for sample, steps in zip(group.samples, group.steps)
    ]


def _sample(texts: Sequence[str], sample, config: Config) -> StepScores:
    wrong = [any(not equation.holds for equation in _closed.equations(text)) for text in texts]
    values = tuple(config.wrong if w else None for w in wrong)
    return StepScores(
        sample.problem_id, sample.index, "arithmetic", KEY, values, tuple(1.0 if w else 0.0 for w in wrong)
    )
