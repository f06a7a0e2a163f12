"""PRM800K (Lightman et al. 2023, arXiv 2305.20050): people's ratings of the alternatives at every step of a solution.

    {"question": {"problem", ...}, "label": {"steps": [{"completions": [{"text", "rating": 1 | 0 | -1}, ...],
                                                        "human_completion": {"text"} or null, "chosen_completion": int or null}]}}

The solution goes along the chosen completions. Where none was chosen it goes on with what a person wrote instead, which is
right, or else ends with the first of that step's completions (the error that was found). A rating of null says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prm.formats import BadRow, Row, problem_of, solution

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


@dataclass(frozen=True)
class Config:
    """neutral: what a rating of 0 means, null for no label (1 as in the paper and Qwen's PRMs; TRL's data set took 0).
    alternatives: also a solution for each completion that was not chosen, which ends with it and has a label for it alone.
    separator: between two steps."""

    neutral: float | None = 1.0
    alternatives: bool = False
    separator: str = "\n"

    def __post_init__(self):
        if self.neutral is not None and not 0 <= self.neutral <= 1:
            raise ValueError(f"neutral: {self.neutral} is outside [0, 1]; 1 is right, 0 wrong, null no label")


def read(row: Mapping[str, Any], config: Config, number: int) -> Iterator[Row]:
    question, label = row.get("question"), row.get("label")
    if not isinstance(question, Mapping) or not isinstance(label, Mapping):
        raise BadRow("no_steps", f"no objects 'question' and 'label'; the row's keys are: {', '.join(map(str, row))}")
    problem = problem_of(question, ("problem",))
    texts: list[str] = []
    values: list[float | None] = []
    others: list[tuple[list[str], list[float | None]]] = []
    for step in _steps(label):
        rated = [_rated(completion, config) for completion in step.get("completions") or ()]
        text, value, chosen, goes_on = _taken(step, rated)
        nothing = [None] * len(texts)
        others += [([*texts, t], [*nothing, v]) for i, (t, v) in enumerate(rated) if i != chosen and v is not None]
        if text is None:
            break
        texts.append(text)
        values.append(value)
        if not goes_on:
            break
    yield solution(row, problem, number, texts, values, separator=config.separator)
    for steps, labels in others if config.alternatives else ():
        yield solution(row, problem, number, steps, labels, separator=config.separator)


def _steps(label: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    steps = label.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise BadRow("no_steps", "'label' has no list of objects 'steps'")
    return steps


def _taken(step: Mapping[str, Any], rated: list) -> tuple[str | None, float | None, int | None, bool]:
    """(text, value, which completion, whether the solution goes on) of the step that it took."""
    chosen, human = step.get("chosen_completion"), step.get("human_completion")
    if isinstance(chosen, int) and not 0 <= chosen < len(rated):
        raise BadRow("bad_labels", f"'chosen_completion' is {chosen} of {len(rated)} completions")
    if isinstance(chosen, int):
        return *rated[chosen], chosen, True
    if isinstance(human, Mapping) and isinstance(human.get("text"), str):
        return human["text"], 1.0, None, True
    return (*rated[0], 0, False) if rated else (None, None, None, False)


def _rated(completion: Any, config: Config) -> tuple[str, float | None]:
    if not isinstance(completion, Mapping) or not isinstance(completion.get("text"), str):
        raise BadRow("empty_step", "a completion is no object with a 'text'")
    rating = completion.get("rating")
    if rating not in (None, -1, 0, 1):
        raise BadRow("bad_labels", f"a rating is {rating!r}, not -1, 0, 1 or null")
    return completion["text"], {None: None, -1: 0.0, 0: config.neutral, 1: 1.0}[rating]
