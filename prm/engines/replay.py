"""Samples that a user already has, read from a file instead of drawn.

Nothing is generated: of the sampling settings only `samples` counts. Columns that the config does not name, answers
above all, are never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prm import problems as sources
from prm.engines import Sampling, _common
from prm.errors import PrmError
from prm.records import Problem, Sample

_SOURCES = {".jsonl": "jsonl", ".gz": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True)
class Columns:
    """What the file calls things.

    id: the problem's id; null matches by the problem's text. samples: the column with a problem's list of samples, each
    a text or a mapping; null where every row is one sample. The rest is looked up in a sample: text, and where the file
    has them token_ids, logprobs (one number a token, in nats) and finish ("stop" or "length").
    """

    id: str | None = None
    problem: str = "problem"
    samples: str | None = "samples"
    text: str = "text"
    token_ids: str | None = None
    logprobs: str | None = None
    finish: str | None = None


@dataclass(frozen=True)
class Config:
    """path: .jsonl, .jsonl.gz or .parquet."""

    path: str
    columns: Columns = field(default_factory=Columns)

    def __post_init__(self):
        if not self.path.endswith((".jsonl", ".jsonl.gz", ".parquet")):
            raise ValueError(f"path: '{self.path}' must end in .jsonl, .jsonl.gz or .parquet")


def check(config: Config) -> None:
    if not Path(config.path).is_file():
        raise PrmError(f"{config.path}: no such file; check engine.path")


def open_engine(config: Config) -> ReplayEngine:
    """Reads the file once. Raises PrmError that names file, row and column."""
    check(config)
    found: dict[str, list[tuple]] = {}
    for where, row in sources.rows(sources.Table(_SOURCES[Path(config.path).suffix], config.path)):
        key = sources.id_of(row, config.columns.id, config.columns.problem, where)
        found.setdefault(key, []).extend(_drawn(row, config.columns, where))
    return ReplayEngine(config, found)


class ReplayEngine:
    """A problem's first samples in the file's order. Where the file has fewer than asked for, the rest are rows with
    the reason "missing"."""

    def __init__(self, config: Config, found: Mapping[str, list[tuple]]):
        self.config, self.found = config, found

    def sample(
        self, problems: Sequence[Problem], sampling: Sampling, prefixes: Sequence[str] | None = None
    ) -> list[Sample]:
        if prefixes is not None:
            raise PrmError(
                f"engine replay: {self.config.path} holds whole samples and cannot go on with one; remove the signals "
                "that draw more, or name an engine that generates (transformers, vllm, openai)"
            )
        keys = [self._key(p) for p in problems]
        if problems and not any(key in self.found for key in keys):
            by = f"the id '{problems[0].id}'" if self.config.columns.id else f"the text '{problems[0].text[:60]}'"
            raise PrmError(
                f"{self.config.path}: holds samples for none of {len(problems)} problems, the first with "
                f"{by}; check engine.columns.{'id' if self.config.columns.id else 'problem'}"
            )
        rows = []
        for problem, key in zip(problems, keys):
            drawn = self.found.get(key, [])[: sampling.samples]
            rows += [_common.row(problem, i, *sample) for i, sample in enumerate(drawn)]
            rows += _common.refused(problem, sampling, "missing")[len(drawn) :]
        return rows

    def close(self) -> None:
        self.found = {}

    def _key(self, problem: Problem) -> str:
        if self.config.columns.id:
            return problem.id
        return sources.id_of({"text": problem.text}, None, "text", f"problem {problem.id}")


def _drawn(row: Mapping[str, Any], columns: Columns, where: str) -> Iterator[tuple]:
    """(text, token ids, log-probabilities, finish) of each sample in a row."""
    if columns.samples is None:
        yield _sample(row, columns, where)
        return
    samples = _get(row, columns.samples, list, where)
    for i, sample in enumerate(samples):
        if isinstance(sample, str):
            yield sample, (), (), "stop"
        elif isinstance(sample, Mapping):
            yield _sample(sample, columns, f"{where}, {columns.samples}[{i}]")
        else:
            raise PrmError(f"{where}, {columns.samples}[{i}]: must be a text or a mapping, not {type(sample).__name__}")


def _sample(row: Mapping[str, Any], columns: Columns, where: str) -> tuple:
    token_ids = _numbers(row, columns.token_ids, int, where)
    logprobs = _numbers(row, columns.logprobs, float, where)
    if bad := [value for value in logprobs if not -math.inf < value <= 0]:
        raise PrmError(
            f"{where}: {columns.logprobs} holds {bad[0]}; log-probabilities are finite and at most 0, in nats"
        )
    if token_ids and logprobs and len(token_ids) != len(logprobs):
        raise PrmError(
            f"{where}: {len(token_ids)} {columns.token_ids} but {len(logprobs)} {columns.logprobs}; give one a token"
        )
    finish = "stop" if columns.finish is None else _get(row, columns.finish, str, where)
    if finish not in ("stop", "length"):
        raise PrmError(f"{where}: {columns.finish} is '{finish}'; it must be 'stop' or 'length'")
    # A pool often has null where its model said nothing: a sample to be counted as empty, not a broken file.
    text = "" if row.get(columns.text, "") is None else _get(row, columns.text, str, where)
    return text, token_ids, logprobs, finish


def _numbers(row: Mapping[str, Any], column: str | None, kind: type, where: str) -> tuple:
    if column is None:
        return ()
    values = _get(row, column, list, where)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, kind)):
            raise PrmError(f"{where}: {column} holds {value!r}; it must be a list of {kind.__name__}s, one a token")
    return tuple(map(kind, values))


def _get(row: Mapping[str, Any], column: str, kind: type, where: str) -> Any:
    if column not in row:
        raise PrmError(f"{where}: no '{column}'; the row's keys are: {', '.join(map(str, row)) or 'none'}")
    if not isinstance(row[column], kind):
        wanted = "a list" if kind is list else "a string"
        raise PrmError(f"{where}: '{column}' must be {wanted}, not {type(row[column]).__name__}")
    return row[column]
