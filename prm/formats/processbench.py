"""ProcessBench (Zheng et al. 2024, arXiv 2412.06559): {"id", "problem", "steps", "label": index of the first wrong step or -1}.

Steps before the first wrong one are right; nothing is said of those after it. It is a benchmark: what is trained on it
cannot be measured on it. Its steps were cut at blank lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prm.formats import BadRow, Row, problem_of, solution

EXAMPLE = {
    "id": "gsm8k-7",
    "generator": "Some-7B",
    "problem": "Tom has 3 bags of 4 apples and eats 2. How many are left?",
    "steps": ["3 * 4 = 12.", "12 - 3 = 9.", "The answer is 9"],
    "final_answer_correct": False,
    "label": 1,
}


@dataclass(frozen=True)
class Config:
    """separator: between two steps that show no line break."""

    separator: str = "\n\n"


def read(row: Mapping[str, Any], config: Config, number: int) -> Iterator[Row]:
    problem, steps, label = problem_of(row, ("problem",)), row.get("steps"), row.get("label")
    count = len(steps) if isinstance(steps, list) else 0
    if not isinstance(label, int) or isinstance(label, bool) or not -1 <= label < max(count, 1):
        raise BadRow(
            "bad_labels", f"'label' must be the index of the first wrong of {count} steps or -1, not {label!r}"
        )
    values = [1.0] * count if label < 0 else [1.0] * label + [0.0] + [None] * (count - label - 1)
    yield solution(row, problem, number, steps, values, separator=config.separator)
