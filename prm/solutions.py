"""Users' rows of solutions, for `prm score` and `prm rerank`: a problem with steps, with a text that is still to be cut, or with samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prm.errors import PrmError
from prm.joining import joined
from prm.jsonl import text_of, try_rows
from prm.problems import id_of
from prm.records import Problem, Sample, Steps

if TYPE_CHECKING:
    from prm.apply import Usage

BAD = "bad_row"
Row = tuple[Problem, Sample, Steps | None]  # None: still to be cut


@dataclass(frozen=True, slots=True)
class Unread:
    """A row of a pool that cannot be used. problem_id: its own, else "row N"; where: "FILE row N"; what is wrong with it."""

    problem_id: str
    where: str
    what: str

    @classmethod
    def of(cls, row: Any, path: str, number: int, error: PrmError) -> Unread:
        id, where = row.get("problem_id") if isinstance(row, dict) else None, f"{path} row {number}"
        named = str(id) if isinstance(id, (str, int)) and not isinstance(id, bool) else f"row {number}"
        return cls(named, where, _what(error, where))

    @property
    def reason(self) -> str:
        return f"{BAD}: {self.what}"

    @property
    def error(self) -> PrmError:
        return PrmError(f"{self.where}: {self.what}")


def bad(error: PrmError, where: str) -> str:
    """The reason of a row at `where` that cannot be used."""
    return f"{BAD}: {_what(error, where)}"


def _what(error: PrmError, where: str) -> str:
    return str(error).removeprefix(where).removeprefix(":").strip()


def check_usable(rows: Sequence[Any]) -> None:
    """PrmError, the first one's, where all rows of a pool are Unread: it is another kind of file."""
    if rows and all(isinstance(row, Unread) for row in rows):
        raise rows[0].error


def read_pools(path: str, usage: Usage) -> Iterator[list[Row] | Unread]:
    """Rows {"problem" or "question", "samples": [{"text"} or {"steps"} or a text, ...]}. A sample's text goes first: it is
    the whole solution. One with neither is kept with a reason."""
    for number, row in try_rows(path):
        where = f"{path} row {number}"
        try:
            problem, samples = pool_of(row, where)
            yield [_sample(problem, i, sample, usage, f"{where} sample {i}") for i, sample in enumerate(samples)]
        except PrmError as error:
            yield Unread.of(row, path, number, error)


def problem_of(row: dict | PrmError, where: str) -> Problem:
    """Of a row {"problem" or "question", "problem_id"?}. Without problem_id the id is a hash of the text."""
    if isinstance(row, PrmError):
        raise row
    name = "problem" if "problem" in row else "question"
    text = text_of(row, ["problem", "question"], where)
    return Problem(id_of(row, "problem_id" if "problem_id" in row else None, name, where), text)


def pool_of(row: dict | PrmError, where: str) -> tuple[Problem, list[Any]]:
    """A row's problem and its samples as they are."""
    problem = problem_of(row, where)
    samples = row.get("samples")
    if not isinstance(samples, list) or not samples:
        raise PrmError(f"{where}: 'samples' must be a list of objects with 'text' or 'steps', with at least one")
    return problem, samples


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
