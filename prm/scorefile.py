"""`prm score`: step scores of a file of solutions, as a stream. Memory does not grow with the number of rows.

    {"problem" or "question", "steps": [str, ...]} or {"problem", "text"}    and "id" or "problem_id" where it has one
    -> {"id", "scores": [float, ...]}                                        one a row, in the rows' order

Rows are read a window at a time; the PRM sorts a window's solutions by length and makes its batches of tokens. The output
appears when it is whole. A row that cannot be scored has the scores [] and a `reason`: "bad_row: what is wrong", "empty", "no_text",
"empty_step", or why it could not be encoded. "cut": [int, ...] names the steps, from 0, that do not fit in the PRM's max_tokens
beside the problem and are scored by their last tokens alone; a row without such has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from prm.apply import Usage, read_usage, segmenter_of
from prm.errors import PrmError
from prm.joining import glued
from prm.jsonl import text_of, try_rows, write_rows
from prm.plugins import Plugin
from prm.progress import progress, say
from prm.records import Problem, Sample, Steps, StepScores
from prm.signals import Context
from prm.solutions import BAD, bad, of_steps, of_text

WINDOW = 4096  # rows of a window; enough for batches of like lengths
GLUED, CUT = "glued", "cut"
CHARS = 8_000_000  # of a window's solutions: what bounds memory where rows are long


@dataclass(frozen=True, slots=True)
class Solution:
    """A row of the file. number: its line, from 1. id: what its scores are found by. steps: None where they are still to be
    cut from the text; brought: the row had them. glued: nothing stands between them. reason: "" or why there is nothing to score."""

    number: int
    id: str | int
    problem: Problem | None = None
    sample: Sample | None = None
    steps: Steps | None = None
    brought: bool = False
    glued: bool = False
    reason: str = ""

    @property
    def chars(self) -> int:
        return len(self.sample.text) + len(self.problem.text) if self.sample else 0


def score_file(path: str, folder: Path, out: str, separator: str | None = None) -> int:
    """Scores each row of `path` with the PRM in `folder` and returns their number; `out` appears only when whole.

    separator: what stood between the steps of rows that bring them (`prm.joining`); None: as in the PRM's training. Raises PrmError,
    before the model is loaded, for a file that cannot be read or whose first window has no row that can be scored.
    """
    usage, reasons = read_usage(folder), Counter()
    usage = usage if separator is None else replace(usage, separator=separator)
    rows = write_rows(out, _scored(path, folder, usage, reasons))
    glued, long = reasons.pop(GLUED, 0), reasons.pop(CUT, 0)
    told = ", ".join(f"{n:,} {why}" for why, n in reasons.items())
    say(f"{rows:,} solutions -> {out}" + (f"; not scored: {told}" if told else ""))
    if long:
        say(
            f'{long:,} steps are too long for the PRM\'s max_tokens and scored by their last tokens alone: see "cut" in their rows'
        )
    if glued:
        say(
            f"{path}: nothing stands between the steps of some rows ({glued:,}), and so they were read; "
            "--separator '\\n\\n' puts a blank line there"
        )
    return rows


def _scored(path: str, folder: Path, usage: Usage, reasons: Counter) -> Iterator[dict[str, Any]]:
    from prm.model import PRM
    from prm.score import score_and_cut

    windows = _windows(read_solutions(path, usage))
    first = next(windows)
    _check(path, first)
    prm, segmenter, context = PRM.load(folder), segmenter_of(usage), Context()
    bar = progress(count(), what="scoring")
    for window in chain([first], windows):
        window = _cut(window, segmenter, context)
        found = iter(score_and_cut(prm, [(s.problem, s.sample, s.steps) for s in window if s.sample], folder.name))
        for solution in window:
            reasons[GLUED] += solution.glued
            made = _row(solution, *(next(found) if solution.sample else (None, ())))
            reasons[CUT] += len(made.get("cut", ()))
            if "reason" in made:
                reasons[made["reason"].split(":")[0]] += 1
            next(bar)
            yield made


def read_solutions(path: str, usage: Usage) -> Iterator[Solution]:
    """The rows of the file, those that are bad with a reason."""
    for number, row in try_rows(path):
        where = f"{path} row {number}"
        try:
            if isinstance(row, PrmError):
                raise row
            yield _solution(row, number, usage, where)
        except PrmError as error:
            id = _id(row, number) if isinstance(row, dict) else number
            yield Solution(number, id, reason=bad(error, where))


def _solution(row: dict, number: int, usage: Usage, where: str) -> Solution:
    id = _id(row, number)
    if row.get("steps") is None and "text" not in row:
        raise PrmError(f"{where}: no 'steps' or 'text'; the row's keys are: {', '.join(row)}")
    problem = Problem(str(id), text_of(row, ["problem", "question"], where))
    if row.get("steps") is None:
        return Solution(number, id, *of_text(problem, 0, row, usage, where))
    found = of_steps(problem, 0, row, where, usage.separator)
    return Solution(
        number, id, *found, brought=True, glued=not (usage.separator or found[1].reason) and glued(row["steps"])
    )


def _id(row: dict, number: int) -> str | int:
    """Its own name; else the line it stands in, from 1."""
    named = (row.get(name) for name in ("id", "problem_id"))
    return next((id for id in named if isinstance(id, (str, int)) and not isinstance(id, bool)), number)


def _windows(solutions: Iterable[Solution]) -> Iterator[list[Solution]]:
    window, chars = [], 0
    for solution in solutions:
        window.append(solution)
        chars += solution.chars
        if len(window) >= WINDOW or chars >= CHARS:
            yield window
            window, chars = [], 0
    if window:
        yield window


def _check(path: str, first: list[Solution]) -> None:
    """PrmError where no row of the first window is a solution: the file is another kind of file."""
    if all(solution.reason for solution in first):
        raise PrmError(f"{path} row {first[0].number}: {first[0].reason.removeprefix(BAD + ': ')}")


def _cut(window: list[Solution], segmenter: Plugin | None, context: Context) -> list[Solution]:
    """The same with the steps that the segmenter finds where rows brought a text."""
    whole = [(s.problem, s.sample) for s in window if s.sample and s.steps is None]
    found = iter(segmenter.module.cut(whole, segmenter.config, context) if whole else ())
    return [replace(s, steps=next(found)) if s.sample and s.steps is None else s for s in window]


def _row(solution: Solution, scores: StepScores | None, cut: Sequence[int]) -> dict[str, Any]:
    if scores is None:
        return {"id": solution.id, "scores": [], "reason": solution.reason}
    why = solution.sample.reason or (scores.provenance[0] if scores.provenance else "")
    if why:
        return {"id": solution.id, "scores": [], "reason": why}
    steps = {} if solution.brought else {"steps": solution.steps.cut(solution.sample.text)}
    return {"id": solution.id, "scores": list(scores.values), **steps, **({"cut": list(cut)} if cut else {})}
