"""Problems and where they come from: the small world, JSONL, Parquet, a hub data set. Only the named columns are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from prm import tables
from prm.config import build
from prm.errors import PrmError
from prm.jsonl import text_of
from prm.records import Problem


@dataclass(frozen=True)
class World:
    """n problems of the small world, of `shortest` to `longest` operations each. world: which facts its policy was mis-taught and which are
    held out; seen: leave out the held-out facts and phrases."""

    source: str = "world"
    n: int = 1000
    seed: int = 0
    shortest: int = 3
    longest: int = 5
    world: int = 0
    seen: bool = False

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"n: {self.n} is not positive; the demo uses 1000 and more")
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(f"shortest: {self.shortest} must be at least 1 and at most longest ({self.longest})")


@dataclass(frozen=True)
class Table:
    """Rows of a file or a hub data set.

    path: the file, or the data set's name on the hub; subset, split, revision: the hub's, unused for files.
    id, text, meta: columns. Without an id column a problem's id is the hash of its text.
    skip, every, limit: rows[skip::every][:limit]; with a limit, fewer rows are an error.
    """

    source: str
    path: str
    text: str = "question"
    id: str | None = None
    meta: tuple[str, ...] = ()
    skip: int = 0
    every: int | None = None
    limit: int | None = None
    subset: str | None = None
    split: str = "train"
    revision: str | None = None

    def __post_init__(self):
        if self.skip < 0:
            raise ValueError(f"skip: {self.skip} is negative; 0 starts at the first row")
        for name in ("every", "limit"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive; null takes every row")


Source = World | Table
SOURCES = {"world": World, "jsonl": Table, "parquet": Table, "hub": Table}


def source(mapping: Any, where: str) -> Source:
    """The typed source of a recipe's `problems.SPLIT`."""
    if not isinstance(mapping, Mapping) or mapping.get("source") not in SOURCES:
        raise PrmError(f"{where}.source: name where the problems come from: {', '.join(SOURCES)}")
    return build(SOURCES[mapping["source"]], mapping, where)


def load(config: Source) -> list[Problem]:
    """All problems of a source, in order. Raises PrmError that names file and row; ids are unique."""
    if isinstance(config, World):
        from prm.world.problems import generate

        return generate(config.n, config.seed, config.shortest, config.longest, config.world, config.seen)
    return list(_problems(config))


def _problems(config: Table) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for where, row in islice(rows(config), config.skip, None, config.every or 1):
        if len(seen) == config.limit:
            return
        problem = Problem(
            id_of(row, config.id, config.text, where), text_of(row, [config.text], where), _meta(row, config, where)
        )
        if problem.id in seen:
            raise PrmError(
                f"{where}: the id '{problem.id}' is that of {seen[problem.id]} too; drop one or name another id column"
            )
        seen[problem.id] = where
        yield problem
    if len(seen) < (config.limit or 1):
        raise PrmError(
            f"{config.path}: {len(seen)} problems after skip {config.skip} and every {config.every or 1}, fewer than "
            f"{config.limit or 1}; lower limit or skip"
        )


def rows(config: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what to call the row in an error, the row)."""
    for number, row in tables.rows(config.source, config.path, config.subset, config.split, config.revision):
        if isinstance(row, PrmError):
            raise row
        yield f"{config.path} row {number}", row


def id_of(row: Mapping[str, Any], id_column: str | None, text_column: str, where: str) -> str:
    """The id that a problem, its references and its replayed samples share."""
    if id_column is None:
        return hashlib.sha256(text_of(row, [text_column], where).encode()).hexdigest()[:16]
    if isinstance(row.get(id_column), int) and not isinstance(row[id_column], bool):
        return str(row[id_column])
    return text_of(row, [id_column], where)


def _meta(row: Mapping[str, Any], config: Table, where: str) -> dict[str, str]:
    for name in config.meta:
        if name not in row:
            raise PrmError(f"{where}: no '{name}', which meta names; the row's keys are: {', '.join(row)}")
    return {name: "" if row[name] is None else str(row[name]) for name in config.meta}
