"""Gold: the true correctness of each step. The named ceiling for experiments, never mixed with other signals, never a
method.

In the small world the truth of every step is computable: value = 1[step is right], where a step after a wrong one is
not. Elsewhere only the answer is known and steps inherit it: value = 1[answer equals the reference]; a sample without
an answer is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm import answers, references
from prm.errors import PrmError
from prm.records import Group, StepScores

KEY = "gold"


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


def label(groups: Sequence[Group], config: Config, context) -> list[StepScores]:
    """One StepScores a sample, confidence 1. Raises PrmError when the recipe has no references or a problem has
    none."""
    recipe = context.recipe
    known = context.cached(
        "references", lambda: {k: v for split in recipe.problems for k, v in references.load(recipe, split).items()}
    )
    with answers.open_pool(recipe.answers) as pool:
        return [row for group in groups for row in _group(group, known, pool)]


def _group(group: Group, known: dict[str, references.Reference], pool) -> list[StepScores]:
    if group.problem.id not in known:
        raise PrmError(
            f"references: none for problem {group.problem.id!r}; the id column of references and problems must agree"
        )
    reference = known[group.problem.id]
    right: dict[int, bool] = {-1: False}
    rows = []
    for sample, steps, answer in zip(group.samples, group.steps, group.answers):
        kinds = reference.kinds(steps.cut(sample.text))
        if kinds is None and answer.cluster not in right:  # one comparison a cluster
            right[answer.cluster] = answers.equivalent(answer.text, reference.answer, pool)
        values = (
            tuple(float(k == "right") for k in kinds)
            if kinds is not None
            else (float(right[answer.cluster]),) * len(steps.ends)
        )
        rows.append(StepScores(sample.problem_id, sample.index, "gold", KEY, values, (1.0,) * len(values)))
    return rows
