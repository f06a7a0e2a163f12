"""The held-out problems asked again in other words, as if their samples were the original problems' own."""

from __future__ import annotations

from dataclasses import replace

from prm import transforms
from prm.recipe import REPOSED
from prm.records import Group, StepScores
from prm.store import Run


def groups(run: Run) -> list[Group]:
    """A group for each problem of `test`, of the samples that its re-posed problems drew; answers are carried back already."""
    of = _originals(run)
    parts: dict[str, tuple[list, list, list]] = {}
    for position, kind in enumerate(("samples", "steps", "answers")):
        for row in run.rows(f"{kind}.{REPOSED}"):
            mine = parts.setdefault(of[row.problem_id], ([], [], []))[position]
            mine.append(replace(row, problem_id=of[row.problem_id], index=len(mine)))
    return [Group(problem, *map(tuple, parts[problem.id])) for problem in run.rows("problems.test")]


def scores(run: Run, arm: str) -> list[StepScores]:
    """An arm's scores of those samples, numbered as in `groups`."""
    of, counts = _originals(run), {}
    made = []
    for row in run.rows(f"scores.{arm}.{REPOSED}"):
        problem_id = of[row.problem_id]
        counts[problem_id] = counts.get(problem_id, -1) + 1
        made.append(replace(row, problem_id=problem_id, index=counts[problem_id]))
    return made


def _originals(run: Run) -> dict[str, str]:
    return {problem.id: transforms.of_meta(problem.meta)[0] for problem in run.rows(f"problems.{REPOSED}")}
