"""Our own label rows, as `prm label` writes them: soft labels with weights, steps with their line breaks.

Joined, the steps are the solution. A null value is a step of which nothing is said, a row with a `reason` one that could not be used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prm.formats import BadRow, Row, problem_of, solution

EXAMPLE = {
    "problem_id": "p1",
    "problem": "Tom has 3 bags of 4 apples and eats 2. How many are left?",
    "sample": 0,
    "steps": ["3 * 4 = 12.\n", "12 - 3 = 9.\n", "The answer is 9"],
    "values": [0.93, 0.12, None],
    "weights": [0.8, 1.0, 0.0],
}


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


def read(row: Mapping[str, Any], config: Config, number: int) -> Iterator[Row]:
    if row.get("reason"):
        raise BadRow(str(row["reason"]), "the row says why it has no labels")
    problem, weights, sample = (
        problem_of(row, ("problem", "question"), "problem_id"),
        row.get("weights"),
        row.get("sample"),
    )
    if weights is not None and not isinstance(weights, list):
        raise BadRow("bad_labels", "'weights' must be a list, one number a step")
    index = sample if isinstance(sample, int) and not isinstance(sample, bool) else number
    yield solution(row, problem, index, row.get("steps"), row.get("values"), weights)


def write(row: Row, config: Config, tally: Counter) -> dict[str, Any]:
    return {
        "problem_id": row.problem.id,
        "problem": row.problem.text,
        "sample": row.sample.index,
        "steps": row.steps.cut(row.sample.text),
        "values": list(row.labels.values),
        "weights": list(row.labels.weights),
    }
