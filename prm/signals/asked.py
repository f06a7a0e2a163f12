"""Accuses the last step of a solution whose answer does not have the form that the question asks for: a fraction, a
probability, a count (prm/signals/_asked.py).

Rests on the question's words, not on what the samples agree on. It abstains on all other steps, and wherever the answer
fits or no rule applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm.records import Group, StepScores
from prm.signals._asked import misfit

KEY = "question"
TEXT_ONLY = True
ACCUSES = True


@dataclass(frozen=True)
class Config:
    """wrong: belief in the step that gives an answer of another form than the one asked for. The rules accuse 3 of the
    14,973 right answers of the training splits of GSM8K and MATH, where they were trimmed; .02 allows for others."""

    wrong: float = 0.02

    def __post_init__(self):
        if not 0 <= self.wrong < 0.5:
            raise ValueError(f"wrong: {self.wrong} accuses nobody; give a belief in [0, 0.5)")


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample, None but for the last step of one whose answer does not fit."""
    return [row for group in groups for row in _group(group, config)]


def _group(group: Group, config: Config) -> list[StepScores]:
    unfit = {text: bool(misfit(group.problem.text, text)) for text in {a.text for a in group.answers}}
    rows = []
    for answer, steps in zip(group.answers, group.steps):
        silent = len(steps.ends) - 1
        accused = silent >= 0 and unfit[answer.text]
        values = (None,) * max(0, silent) + (((config.wrong if accused else None),) if silent >= 0 else ())
        weights = tuple(0.0 if value is None else 1.0 for value in values)
        rows.append(StepScores(answer.problem_id, answer.index, "asked", KEY, values, weights))
    return rows
