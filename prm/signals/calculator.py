r"""A calculator: does the arithmetic that a step states come out?

    "3 \times \$4 = \$12, and 12 + 5 = 18"    3 * 4 = 12 holds, 12 + 5 = 18 does not: the step is called wrong

It reads what stands closed on both sides (prm/signals/_closed.py: + - * /, powers, roots, pi, complex numbers and
trigonometry, in prose and LaTeX), needs no sibling and looks at no vote: a slip that most samples share is found all the
same. The two verdicts weigh differently. A false equation is an error wherever it stands: value `false`, confidence 1. A
true one says nothing of whether it was the right thing to compute: value `true`, confidence `faint`. A step whose
equations cannot be read, or repeat earlier ones, abstains, so a carried error (right arithmetic on a wrong earlier
value) is never charged here.

The reader's exceptions were compared on the samples of StrictPRMBench's problems whose text's sha256 is even. There it
accuses 2 of 3,808 right solutions and 44 of 320 wrong ones of GSM8K, 44 of 3,015 and 114 of 921 of MATH-500; most
accused equations of right solutions, read over, are false as they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm.records import Group, Sample, StepScores
from prm.signals import _closed

KEY = "calculation"
VERSION = 2
TEXT_ONLY = True
ACCUSES = True  # in a vote only its accusations count


@dataclass(frozen=True)
class Config:
    """false, true: belief in a step with a false equation, and in one whose equations are all true. faint: the
    confidence of the latter. Set by argument: `false` is not 0, for an equation may be misread or a supposition that is
    refuted later, but a voter who is more often wrong than right deserves no vote."""

    false: float = 0.05
    true: float = 0.6
    faint: float = 0.25

    def __post_init__(self):
        if not 0 <= self.false < 0.5 < self.true <= 1:
            raise ValueError(f"false: need 0 <= false < 0.5 < true <= 1, not {self.false} and {self.true}")
        if not 0 <= self.faint <= 1:
            raise ValueError(f"faint: {self.faint} is outside [0, 1]; 0 lets true equations say nothing")


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample. Linear in the texts' lengths."""
    return [
        _sample(sample, steps.cut(sample.text), config)
        for group in groups
        for sample, steps in zip(group.samples, group.steps)
    ]


def _sample(sample: Sample, steps: Sequence[str], config: Config) -> StepScores:
    seen: set[tuple[str, str]] = set()
    said = []
    for step in steps:
        new = {e.spelled: e.holds for e in _closed.equations(step) if e.spelled not in seen}
        seen |= new.keys()
        faint = (config.true, config.faint) if new and config.faint else (None, 0.0)
        said.append((config.false, 1.0) if False in new.values() else faint)
    values, weights = zip(*said) if said else ((), ())
    return StepScores(sample.problem_id, sample.index, "calculator", KEY, values, weights)
