"""TRL's stepwise supervision: {"prompt", "completions": [step, ...], "labels": [bool, ...]}.

Completions come without what joined them: TRL puts its step_separator behind each. Labels may be numbers in [0, 1] here, and null.
Written, a solution ends before its first step without a label, since TRL has no word for that, and weights are lost. Counted are
"steps_cut", those of them that had a label ("labels_lost"), and "cut_mid_line", solutions with a boundary that shows no
separator: whoever reads them puts one there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prm.formats import BadRow, Row, problem_of, solution
from prm.joining import joined, parted

EXAMPLE = {
    "prompt": "Tom has 3 bags of 4 apples and eats 2. How many are left?",
    "completions": ["3 * 4 = 12.", "12 - 3 = 9.", "The answer is 9"],
    "labels": [True, False, False],
}


@dataclass(frozen=True)
class Config:
    """separator: between two completions that show no line break. threshold: written,
    a step with a label above it is true, any other false; null writes the soft labels themselves (TRL rounds those down)."""

    separator: str = "\n"
    threshold: float | None = 0.5

    def __post_init__(self):
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise ValueError(f"threshold: {self.threshold} is outside [0, 1); 0.5 is usual, null keeps soft labels")


def read(row: Mapping[str, Any], config: Config, number: int) -> Iterator[Row]:
    problem = problem_of(row, ("prompt",))
    yield solution(row, problem, number, row.get("completions"), row.get("labels"), separator=config.separator)


def write(row: Row, config: Config, tally: Counter) -> dict[str, Any]:
    labels = []
    for value, weight in zip(row.labels.values, row.labels.weights):
        if not weight:
            break
        labels.append(value if config.threshold is None else value > config.threshold)
    if not labels:
        raise BadRow("no_first_label", "its first step has no label")
    own = row.steps.cut(row.sample.text)
    steps = parted(own, config.separator)[: len(labels)]
    tally["steps_cut"] += len(row.steps.ends) - len(labels)
    tally["labels_lost"] += sum(weight > 0 for weight in row.labels.weights[len(labels) :])
    tally["cut_mid_line"] += joined(steps, config.separator)[:-1] != own[: len(steps) - 1]
    return {"prompt": row.problem.text, "completions": steps, "labels": labels}
