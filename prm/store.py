"""Runs on disk: a folder a stage, Parquet shards written whole, the manifest last.

    runs/demo/run.json                           the latest invocation: the resolved recipe, stage -> folder
    runs/demo/samples.train-3f2a90c1d7e8/
        shard-00000.parquet ...                  the same problems in shard i of every stage
        manifest.json                            written last: the stage is complete

A folder's name carries the hash of (stage, version, config, parents' hashes): same inputs, same folder, no rerun. Files appear
by rename after an fsync, so a kill at any moment leaves whole shards and strays that the next run deletes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prm import codec
from prm.errors import PrmError
from prm.records import Answer, Group, Problem, Sample, Steps, StepScores

ROWS = {
    "problems": Problem,
    "samples": Sample,
    "steps": Steps,
    "answers": Answer,
    "signal": StepScores,
    "labels": StepScores,
    "scores": StepScores,
}
_SMALL = (
    64 * 2**20
)  # bytes; larger files enter a hash by size and mtime, reading them at every start would cost too much


@dataclass(frozen=True)
class Folder:
    """One stage's folder. `stage` ("samples.train") says which rows its shards hold."""

    path: Path
    stage: str

    @property
    def row_type(self) -> type:
        return ROWS[self.stage.split(".")[0]]

    def shard(self, number: int) -> Path:
        return self.path / f"shard-{number:05d}.parquet"

    def shards(self) -> list[Path]:
        return sorted(self.path.glob("shard-*.parquet"))

    def manifest(self) -> dict[str, Any] | None:
        """None while the stage is not complete."""
        path = self.path / "manifest.json"
        found = json.loads(path.read_text()) if path.exists() else None
        return found if found and len(self.shards()) == found["shards"] else None

    def open(self) -> None:
        """Makes the folder ready for writing: strays of a killed run are deleted."""
        self.path.mkdir(parents=True, exist_ok=True)
        for stray in self.path.glob(".*.tmp"):
            stray.unlink()

    def write(self, number: int, rows: Sequence, notes: Mapping[str, float]) -> None:
        """notes: numbers that add up over shards: "seconds", generated "tokens", of scores "steps" and how many have a value, "spoke"."""
        write_file(self.shard(number), codec.encode(rows, self.row_type, notes))

    def read(self, number: int) -> list:
        return codec.decode(self.shard(number), self.row_type)

    def rows(self) -> Iterator:
        for number in range(len(self.shards())):
            yield from self.read(number)

    def finish(self, facts: dict[str, Any], seconds: float | None = None) -> None:
        """Writes the manifest. seconds: what the stage took, where its shards do not know it."""
        manifest = {"stage": self.stage, "shards": len(self.shards()), **self.tally()}
        if seconds is not None:
            manifest["seconds"] = round(seconds, 3)
        write_file(self.path / "manifest.json", json.dumps({**manifest, **facts}, indent=2).encode())

    def tally(self) -> dict[str, Any]:
        """rows, reasons (reason -> rows rejected for it) and the notes of the shards that are there, added up."""
        rows, notes, reasons = 0, Counter(), Counter()
        for shard in self.shards():
            rows += codec.count(shard)
            notes.update(codec.notes(shard))
            if "reason" in codec.schema(self.row_type).names:
                reasons.update(filter(None, codec.column(shard, "reason")))
        return {"rows": rows, "reasons": dict(reasons.most_common()), **notes, "seconds": round(notes["seconds"], 3)}


class Run:
    """The read side: a finished or partial run by its folder, stages by name, no hashes needed.

    Raises PrmError where the folder holds no run, or has no such stage.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        index = self.path / "run.json"
        if not index.exists():
            raise PrmError(f"{self.path}: no run there (no run.json); give the `out` folder of a recipe that was run")
        try:
            facts = json.loads(index.read_text(encoding="utf-8"))
            self.recipe: dict[str, Any] = facts["recipe"]
            self.folders = {stage: Folder(self.path / name, stage) for stage, name in facts["stages"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PrmError(
                f"{index}: damaged ({error!r}); give the same `prm run` command again, what was made is kept"
            ) from None

    def folder(self, stage: str) -> Folder:
        if stage not in self.folders:
            raise PrmError(f"{self.path}: no stage '{stage}'; its stages: {', '.join(self.folders)}")
        return self.folders[stage]

    def stages(self, start: str = "") -> list[str]:
        """Stage names in the order they run, those that begin with `start` ("signal.", "labels.", "scores.")."""
        return [stage for stage in self.folders if stage.startswith(start)]

    def complete(self, stage: str) -> bool:
        return self.folder(stage).manifest() is not None

    def rows(self, stage: str) -> Iterator:
        """The rows that are there, in order: all of them once the stage is complete."""
        return self.folder(stage).rows()

    def groups(self, split: str) -> Iterator[Group]:
        """Each problem of a split with its samples, steps and answers, as far as all four are there."""
        folders = [self.folder(f"{kind}.{split}") for kind in ("problems", "samples", "steps", "answers")]
        for number in range(min(len(f.shards()) for f in folders)):
            yield from groups(*(f.read(number) for f in folders))

    def model(self, arm: str) -> Path:
        """The folder that PRM.load takes."""
        return self.folder(f"prm.{arm}").path / "model"


def groups(
    problems: Sequence[Problem], samples: Sequence[Sample], steps: Sequence[Steps], answers: Sequence[Answer]
) -> list[Group]:
    """The rows of one shard, grouped by problem."""
    parts: dict[str, tuple[list, list, list]] = {p.id: ([], [], []) for p in problems}
    for position, rows in enumerate((samples, steps, answers)):
        for row in rows:
            parts[row.problem_id][position].append(row)
    return [Group(p, *map(tuple, parts[p.id])) for p in problems]


def check_writable(folder: Path) -> None:
    """PrmError where the folder can neither be written to nor made."""
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise PrmError(f"{folder}: {there} is a file, not a folder; give another folder")
    if not os.access(there, os.W_OK):
        raise PrmError(f"{folder}: {there} cannot be written to; give another folder")


def check_own(folder: Path, marker: str) -> None:
    """PrmError for a folder that holds something, and not the file `marker` that says it is ours to write into."""
    there = sorted(p.name for p in folder.glob("*") if not p.name.startswith(".")) if folder.is_dir() else []
    if there and marker not in there:
        raise PrmError(f"{folder}: holds other things ({', '.join(there[:3])}); give a new or empty folder")


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds the run folder for this process; the kernel lets go of it however the process ends."""
    path.mkdir(parents=True, exist_ok=True)
    with open(path / ".lock", "a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise PrmError(
                f"{path}: process {handle.read().strip() or 'unknown'} is already running this; wait for it or "
                "give another folder"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


@contextlib.contextmanager
def disk_full_is_mendable(folder: Folder) -> Iterator[None]:
    """Turns "no space left" into one line; every shard already written stays."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and "No space left on device" not in str(error):  # libraries that write weights wrap the errno away
            raise
        raise PrmError(
            f"{folder.path}: the disk is full; {len(folder.shards())} shards of {folder.stage} and all stages "
            "before it are kept; free some space and give the same command again"
        ) from None


def write_file(path: Path, content: Any) -> None:
    """`path` appears whole or not at all, and survives a power cut once this returns."""
    part = path.with_name(f".{path.name}.tmp")
    try:
        with open(part, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def digest(value: Any) -> str:
    """12 hex digits of the sha256 of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def fingerprint(path: str | os.PathLike) -> Any:
    """What stands for a file or folder in a hash: its content (hidden files and folders, such as .git, left out); for a file
    over 64 MB its size and mtime."""
    path = Path(path)
    if path.is_dir():
        inside = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
        return {str(p): fingerprint(path / p) for p in inside if not any(part.startswith(".") for part in p.parts)}
    status = path.stat()
    if status.st_size > _SMALL:
        return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
