"""Step-labelled data as people have it -> the project's rows, and back. A file a format:

Config    a frozen dataclass
EXAMPLE   one row of the format
read(row, config, number) -> Iterator[Row | BadRow]    the solutions of one row of a file, and those of them that cannot be
                                                       used; raises BadRow where none can
write(row, config, tally) -> dict                      optional; counts what of the solution the format cannot hold, raises
                                                       BadRow where that is all of it

What such data says of steps was given by its owner, by people or by other tools: its source and key are `GIVEN`. Only
`prm train` and `prm convert` read it; nothing that `prm run` makes does. Answers and solutions that some formats carry
beside the steps are not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from prm import corpus, plugins, tables
from prm.errors import PrmError
from prm.joining import joined
from prm.joining import separator as unescaped
from prm.jsonl import text_of
from prm.plugins import Plugin
from prm.problems import id_of
from prm.progress import say
from prm.records import Problem, Sample, Steps, StepScores

GIVEN = "given"
FIRST = 100  # rows among which one must be of the format, told before anything costly begins


class Row(NamedTuple):
    """A solution and what is said of its steps: 1 right, 0 wrong, between them soft, None (weight 0) nothing."""

    problem: Problem
    sample: Sample
    steps: Steps
    labels: StepScores


class BadRow(Exception):
    """A row that cannot be used. reason: what it is counted as."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


def build(value: Any, where: str) -> Plugin:
    """A format from its name or `{name: NAME, ...its config...}`; a separator may be escaped. Raises PrmError."""
    if isinstance(value, Mapping) and isinstance(value.get("separator"), str):
        value = {**value, "separator": unescaped(value["separator"])}
    return plugins.build("formats", value, "name", None, where)


def read(path: str | PathLike, form: Plugin, tally: Counter, split: str = "train") -> Iterator[Row]:
    """The solutions of a JSONL or Parquet file, a folder of data files or a hub data set (its `split`), as a stream.

    tally: counts "rows", "solutions", "labels", and rows left out by reason; the first of each reason is told on stderr.
    Raises PrmError at once where it cannot be opened or none of its first rows is of the format.
    """
    place = str(Path(path).expanduser())
    rows = _tried(tables.rows(corpus.kind(str(path)), place, split=split, streaming=True), form, place)
    first = list(islice(rows, FIRST))
    if not first:
        raise PrmError(f"{path}: no rows")
    if all(isinstance(one, BadRow) for _, found in first for one in found):
        number, (error, *_) = first[0]
        known = ", ".join(plugins.names("formats"))
        raise PrmError(f"{path} row {number}: {error}; is it of the format {form.name}? known: {known}")
    return _usable(path, chain(first, rows), tally)


def _tried(rows: Iterator[tuple[int, Any]], form: Plugin, place: str) -> Iterator[tuple[int, list[Row | BadRow]]]:
    for number, row in rows:
        try:
            if isinstance(row, PrmError):
                raise BadRow("bad_row", str(row).removeprefix(f"{place} row {number}: "))
            yield number, list(form.module.read(row, form.config, number))
        except BadRow as error:
            yield number, [error]


def _usable(path: str | PathLike, rows: Iterator[tuple[int, list[Row | BadRow]]], tally: Counter) -> Iterator[Row]:
    for number, found in rows:
        tally["rows"] += 1
        for row in found:
            if isinstance(row, BadRow):
                tally[row.reason] += 1
                if tally[row.reason] == 1:
                    say(f"{path} row {number}: left out ({row.reason}): {row}")
                continue
            tally["solutions"] += 1
            tally["labels"] += sum(weight > 0 for weight in row.labels.weights)
            yield row


def solution(
    row: Mapping[str, Any],
    problem: Problem,
    index: int,
    steps: Any,
    values: Any,
    weights: Sequence[float] | None = None,
    separator: str = "",
) -> Row:
    """A Row of texts and labels, both checked. separator: what stood between the steps (`prm.joining`)."""
    if not isinstance(steps, (list, tuple)) or not steps:
        raise BadRow("no_steps", f"no list of steps; the row's keys are: {', '.join(map(str, row))}")
    if not all(isinstance(step, str) and step.strip() for step in steps):
        raise BadRow("empty_step", "a step is empty or no text")
    if not isinstance(values, (list, tuple)) or len(values) != len(steps):
        raise BadRow("bad_labels", f"{len(steps)} steps need as many labels")
    steps = joined(steps, separator)
    ends = Steps(problem.id, index, tuple(accumulate(map(len, steps))))
    values = [float(v) if isinstance(v, (int, float)) else v for v in values]
    weights = [0.0 if v is None else 1.0 for v in values] if weights is None else weights
    try:
        labels = StepScores(problem.id, index, GIVEN, GIVEN, tuple(values), tuple(weights))
    except (TypeError, ValueError) as error:
        raise BadRow("bad_labels", f"labels must be numbers in [0, 1] or null, weights at least 0 ({error})") from None
    if not any(labels.weights):
        raise BadRow("no_label", "none of its steps has a label")
    return Row(problem, Sample(problem.id, index, "".join(steps), finish=""), ends, labels)


def problem_of(row: Mapping[str, Any], names: Sequence[str], id_column: str | None = None) -> Problem:
    """The first of the columns `names`; its id is the column `id_column` where the row has it, else a hash of the text."""
    try:
        text = text_of(row, names, "")
        name = next(n for n in names if n in row)
        return Problem(id_of(row, id_column if id_column in row else None, name, ""), text)
    except PrmError as error:
        raise BadRow("no_problem", str(error).removeprefix(": ")) from None
