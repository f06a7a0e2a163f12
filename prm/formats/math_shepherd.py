"""Math-Shepherd (Wang et al. 2024, arXiv 2312.08935), as its data set has it: two texts, {"input", "label", "task"}.

    input    PROBLEM Step 1: 3 * 4 = 12. ки\\nStep 2: 12 - 3 = 9. ки
    label    PROBLEM Step 1: 3 * 4 = 12. +\\nStep 2: 12 - 3 = 9. -

"ки" marks where a step ends, "+" and "-" stand in its place. The problem ends where the "Step 1:" before the first mark begins. Of
several, the one counts that begins a sentence and has no "Step 2:" behind it: problems name steps, and steps each other. Where that
leaves none or several, the row is left out ("ambiguous"). A text behind the last mark is a step of which nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prm.formats import BadRow, Row, problem_of, solution

EXAMPLE = {
    "input": "Tom has 3 bags of 4 apples. How many? Step 1: 3 * 4 = 12. ки\nStep 2: The answer is: 13 ки",
    "label": "Tom has 3 bags of 4 apples. How many? Step 1: 3 * 4 = 12. +\nStep 2: The answer is: 13 -",
    "task": "GSM8K",
}
SIGNS = {"+": 1.0, "-": 0.0}
BEGINS = re.compile(r"(^|[\n.?!][\s$\"')\]}]*)$")  # what may stand before a sentence


@dataclass(frozen=True)
class Config:
    """tag: what marks the end of a step. first: what the first step begins with. separator: between two steps."""

    tag: str = "ки"
    first: str = "Step 1:"
    separator: str = "\n"

    def __post_init__(self):
        for name in ("tag", "first"):
            if not getattr(self, name):
                raise ValueError(f"{name}: empty; the data set's own is {getattr(Config, name)!r}")


def read(row: Mapping[str, Any], config: Config, number: int) -> Iterator[Row]:
    text, labelled = row.get("input"), row.get("label")
    if not isinstance(text, str) or not isinstance(labelled, str):
        raise BadRow("no_steps", f"no texts 'input' and 'label'; the row's keys are: {', '.join(map(str, row))}")
    *parts, rest = text.split(config.tag)
    if not parts:
        raise BadRow("no_steps", f"no '{config.tag}' in its input")
    values = _signs(labelled, parts)
    start = _start(parts[0], config)
    steps = [parts[0][start:], *parts[1:]] + [rest] * bool(rest.strip())
    values += [None] * bool(rest.strip())
    problem = problem_of({"problem": parts[0][:start].strip()}, ("problem",))
    yield solution(row, problem, number, [step.strip() for step in steps], values, separator=config.separator)


def _start(text: str, config: Config) -> int:
    """Where the first step begins in the text before the first mark."""
    places = [found.start() for found in re.finditer(re.escape(config.first), text)]
    if not places:
        raise BadRow("no_problem", f"no '{config.first}' before the first '{config.tag}'")
    if len(places) > 1:
        second = config.first.replace("1", "2")
        after = -1 if second == config.first else text.rfind(second)
        places = [at for at in places if at > after and BEGINS.search(text[:at])]
    if len(places) != 1:
        raise BadRow("ambiguous", f"'{config.first}' stands several times before the first '{config.tag}'")
    return places[0]


def _signs(labelled: str, parts: list[str]) -> list[float]:
    """The sign that stands in `labelled` behind each part, where the input has the tag."""
    at, values = 0, []
    for part in parts:
        at += len(part)
        sign = labelled[at : at + 1]
        if labelled[at - len(part) : at] != part or sign not in SIGNS:
            raise BadRow("bad_labels", f"its label is not its input with + or - in the place of mark {len(values) + 1}")
        values.append(SIGNS[sign])
        at += 1
    return values
