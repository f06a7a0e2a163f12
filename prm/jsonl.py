"""Users' JSONL files, gzipped or not: read row by row, errors name file and row; written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from prm.errors import PrmError


def read_rows(path: str | os.PathLike) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 1, row) of each line that is not blank.

    Raises PrmError for a missing, unreadable or empty file, bytes that are not gzip or UTF-8, bad JSON, and a row that is no object.
    """
    for number, row in try_rows(path):
        if isinstance(row, PrmError):
            raise row
        yield number, row


def try_rows(path: str | os.PathLike) -> Iterator[tuple[int, dict[str, Any] | PrmError]]:
    """As `read_rows`, with the error in the place of a row that is bad JSON or no object: the rows after it can be read."""
    empty = True
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    empty = False
                    yield number, _tried(line, f"{path} row {number}")
    except FileNotFoundError:
        raise PrmError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise PrmError(f"{path}: is a folder; give a .jsonl or .jsonl.gz file") from None
    except PermissionError:
        raise PrmError(f"{path}: may not be read by you; change its permissions") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PrmError(f"{path}: not a whole gzip file ({error}); compress it again or drop the .gz") from None
    except UnicodeDecodeError as error:
        if error.object.startswith(b"\x1f\x8b"):
            raise PrmError(f"{path}: is gzipped, and its name does not say so; end it in .gz") from None
        raise PrmError(
            f"{path}: not UTF-8 text ({error.reason}: byte 0x{error.object[error.start]:02x}); convert it to UTF-8"
        ) from None
    if empty:
        raise PrmError(f"{path}: the file is empty; it needs one JSON object a line")


def write_rows(path: str | os.PathLike, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes one JSON object a line, gzipped when the name ends in .gz; returns the count. `path` appears only when whole.

    Raises PrmError where it cannot be written, before the first row is asked for where that can be known.
    """
    path = Path(path)
    part = path.parent / f".{path.name}.{os.getpid()}.tmp"
    count = 0
    raw = _create(path, part)
    try:
        # mtime=0 and no name in the header: the same rows give the same bytes.
        with raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if path.suffix == ".gz" else raw as out:
            for count, row in enumerate(rows, 1):
                out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        os.replace(part, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise PrmError(f"{path}: the disk is full, nothing was written; make room or write elsewhere") from None
    finally:
        part.unlink(missing_ok=True)
    return count


def _create(path: Path, part: Path) -> BinaryIO:
    if path.is_dir():
        raise PrmError(f"{path}: is a folder; name a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(part, "wb")
    except OSError as error:
        raise PrmError(f"{path}: cannot be written ({error.strerror}: {error.filename}); write elsewhere") from None


def text_of(row: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    """The first of the columns `names` that the row has, a string that is not blank. Raises PrmError(where ...) otherwise."""
    for name in names:
        if name in row:
            if not isinstance(row[name], str):
                raise PrmError(f"{where}: '{name}' must be a string, not {_kind(row[name])}")
            if not row[name].strip():
                raise PrmError(f"{where}: '{name}' is empty; give its text or drop the row")
            return row[name]
    raise PrmError(
        f"{where}: no '{names[0]}'"
        + "".join(f" or '{n}'" for n in names[1:])
        + f"; the row's keys are: {', '.join(map(str, row)) or 'none'}"
    )


def _open(path: str | os.PathLike):
    opener = gzip.open if str(path).endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig")  # some editors put a byte order mark first


def _tried(line: str, where: str) -> dict[str, Any] | PrmError:
    try:
        return _row(line, where)
    except PrmError as error:
        return error


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line.rstrip("\r\n"))  # else what is cut short errs at column 1 of a next line
        if "\\ud" in line.lower():
            json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise PrmError(
            f"{where}: not JSON ({error.msg} at column {error.colno}); one object a line is needed, jq -c makes that"
        ) from None
    except RecursionError:
        raise PrmError(f"{where}: nested too deeply to be read; drop the row") from None
    except UnicodeEncodeError as error:
        raise PrmError(
            f"{where}: holds half a character (a lone \\u{ord(error.object[error.start]):04x}); mend the text or drop the row"
        ) from None
    if not isinstance(row, dict):
        raise PrmError(f"{where}: must be a JSON object, not {_kind(row)}")
    return row


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
