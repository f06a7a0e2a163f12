"""PRM800K (Lightman et al. 2023, arXiv 2305.20050): people's ratings of the alternatives at every step of a solution.

    {"question": {"problem", ...}, "label": {"steps": [{"completions": [{"text", "rating": 1 | 0 | -1}, ...],
                                                        "human_completion": {"text"} or null, "chosen_completion": int or null}]}}

The solution goes along the chosen completions. Where none was chosen it goes on with what a person wrote instead, which is
right, or else ends with the first of that step's completions (the error that was found). A rating of null says nothing. A
solution that cannot be used leaves the row's others as they are: it alone is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prm.formats import BadRow, Row, problem_of, solution
from prm.records import Problem

Rated = tuple[str, float | None]
Line = list[Rated]

EXAMPLE = {
    "labeler": "x",
    "question": {"problem": "Tom has 3 bags of 4 apples and eats 2. How many are left?", "ground_truth_answer": "10"},
    "label": {
        "steps": [
            {
                "completions": [{"text": "3 * 4 = 12.", "rating": 1}, {"text": "3 + 4 = 7.", "rating": -1}],
                "human_completion": None,
                "chosen_completion": 0,
            },
            {"completions": [{"text": "Hm.", "rating": 0}], "human_completion": None, "chosen_completion": 0},
            {
                "completions": [{"text": "12 - 3 = 9.", "rating": -1}],
                "human_completion": None,
                "chosen_completion": None,
            },
        ],
        "finish_reason": "found_error",
    },
}


APART = 10**9  # more than a file has rows: no two samples share an index


@dataclass(frozen=True)
class Config:
    """neutral: what a rating of 0 means, null for no label (1 as in the paper and Qwen's PRMs; TRL's data set took 0).
    alternatives: also a solution for each completion that was not chosen, which ends with it and has a label for it alone; its
    sample index is the row's number + k * APART. separator: between two steps that show no line break."""

    neutral: float | None = 1.0
    alternatives: bool = False
    separator: str = "\n"

    def __post_init__(self):
        if self.neutral is not None and not 0 <= self.neutral <= 1:
            raise ValueError(f"neutral: {self.neutral} is outside [0, 1]; 1 is right, 0 wrong, null no label")


def read(row: Mapping[str, Any], config: Config, number: int) -> Iterator[Row | BadRow]:
    question, label = row.get("question"), row.get("label")
    if not isinstance(question, Mapping) or not isinstance(label, Mapping):
        raise BadRow("no_steps", f"no objects 'question' and 'label'; the row's keys are: {', '.join(map(str, row))}")
    problem = problem_of(question, ("problem",))
    chosen, others = _lines(label, config)
    made = [
        _made(row, problem, number + k * APART, line, config)
        for k, line in enumerate([chosen, *(others if config.alternatives else ())])
    ]
    if all(isinstance(one, BadRow) for one in made):
        raise made[0]
    yield from made


def _lines(label: Mapping[str, Any], config: Config) -> tuple[Line | BadRow, list[Line | BadRow]]:
    """The chosen steps, and for each completion beside them the steps before it and itself."""
    line: Line = []
    others: list[Line | BadRow] = []
    for step in _steps(label):
        rated = [_rated(completion, config) for completion in step.get("completions") or ()]
        try:
            taken, chosen, goes_on = _taken(step, rated)
        except BadRow as error:
            return error, others
        before = [(text, None) for text, _ in line]
        beside = [one for i, one in enumerate(rated) if i != chosen]
        others += [one if isinstance(one, BadRow) else [*before, one] for one in beside if not _silent(one)]
        if taken is not None:
            line.append(taken)
        if not goes_on:
            break
    return line, others


def _made(row: Mapping[str, Any], problem: Problem, index: int, line: Line | BadRow, config: Config) -> Row | BadRow:
    if isinstance(line, BadRow):
        return line
    try:
        texts, values = [text for text, _ in line], [value for _, value in line]
        return solution(row, problem, index, texts, values, separator=config.separator)
    except BadRow as error:
        return error


def _silent(one: Rated | BadRow) -> bool:
    return not isinstance(one, BadRow) and one[1] is None


def _steps(label: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    steps = label.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise BadRow("no_steps", "'label' has no list of objects 'steps'")
    return steps


def _taken(step: Mapping[str, Any], rated: list[Rated | BadRow]) -> tuple[Rated | None, int | None, bool]:
    """(what the solution took, which completion, whether it goes on)."""
    chosen, human = step.get("chosen_completion"), step.get("human_completion")
    if isinstance(chosen, int) and not 0 <= chosen < len(rated):
        raise BadRow("bad_labels", f"'chosen_completion' is {chosen} of {len(rated)} completions")
    if not isinstance(chosen, int) and isinstance(human, Mapping) and isinstance(human.get("text"), str):
        return (human["text"], 1.0), None, True
    if not rated:
        return None, None, False
    at, goes_on = (chosen, True) if isinstance(chosen, int) else (0, False)
    if isinstance(rated[at], BadRow):
        raise rated[at]
    return rated[at], at, goes_on


def _rated(completion: Any, config: Config) -> Rated | BadRow:
    """(text, value), or what is wrong with it."""
    if not isinstance(completion, Mapping) or not isinstance(completion.get("text"), str):
        return BadRow("empty_step", "a completion is no object with a 'text'")
    rating = completion.get("rating")
    if rating not in (None, -1, 0, 1):
        return BadRow("bad_labels", f"a rating is {rating!r}, not -1, 0, 1 or null")
    return completion["text"], {None: None, -1: 0.0, 0: config.neutral, 1: 1.0}[rating]
