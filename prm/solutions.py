"""Users' rows of solutions, for `prm score` and `prm rerank`: a problem with steps, with a text that is still to be cut, or with samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prm.errors import PrmError
from prm.joining import joined
from prm.jsonl import read_rows, text_of
from prm.problems import id_of
from prm.records import Problem, Sample, Steps

if TYPE_CHECKING:
    from prm.apply import Usage

Row = tuple[Problem, Sample, Steps | None]  # None: still to be cut


def read_pools(path: str, usage: Usage) -> Iterator[list[Row]]:
    """Rows {"problem" or "question", "samples": [{"text"} or {"steps"} or a text, ...]}. A sample's text goes first: it is
    the whole solution. One with neither is kept with a reason."""
    for number, row in read_rows(path):
        where = f"{path} row {number}"
        samples = row.get("samples")
        if not isinstance(samples, list) or not samples:
            raise PrmError(
                f"{where}: 'samples' must be a list of objects, such as [{{\"text\": ...}}], with at least one"
            )
        problem = _problem(row, where)
        yield [_sample(problem, i, sample, usage, f"{where} sample {i}") for i, sample in enumerate(samples)]


def _problem(row: dict, where: str) -> Problem:
    name = "problem" if "problem" in row else "question"
    text = text_of(row, ["problem", "question"], where)
    return Problem(id_of(row, "problem_id" if "problem_id" in row else None, name, where), text)


def _sample(problem: Problem, index: int, given: Any, usage: Usage, where: str) -> Row:
    row = given if isinstance(given, dict) else {"text": given}
    steps_alone = row.get("text") is None or usage.segmenter is None
    if steps_alone and row.get("steps"):
        return of_steps(problem, index, row, where, usage.separator)
    return of_text(problem, index, row, usage, where)


def of_steps(problem: Problem, index: int, row: dict, where: str, separator: str) -> Row:
    """A row that brings its steps; one with an empty step is a sample with a reason. separator: stood between them (`prm.joining`)."""
    steps = row["steps"]
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        raise PrmError(f"{where}: 'steps' must be a list of texts, none empty")
    if not all(step.strip() for step in steps):
        return _unusable(problem, index, "empty_step")
    steps = joined(steps, separator)
    ends = tuple(accumulate(map(len, steps)))
    return problem, Sample(problem.id, index, "".join(steps)), Steps(problem.id, index, ends)


def of_text(problem: Problem, index: int, row: dict, usage: Usage, where: str) -> Row:
    """A row that brings a text, still to be cut; one without is a sample with a reason."""
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        return _unusable(problem, index, "empty" if isinstance(text, str) else "no_text")
    if usage.segmenter is None:
        raise PrmError(f"{where}: has no 'steps', and this PRM does not say how to cut a text; give the steps")
    return problem, Sample(problem.id, index, text), None


def _unusable(problem: Problem, index: int, reason: str) -> Row:
    return problem, Sample(problem.id, index, "", finish="", reason=reason), Steps(problem.id, index, ())
