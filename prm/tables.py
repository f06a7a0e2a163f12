"""Tables: rows of a JSONL file, of a Parquet file, or of a data set (a hub id or a folder), one at a time."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from prm import jsonl
from prm.errors import PrmError

Row = Mapping[str, Any]
_BATCH = 256  # rows of a Parquet file in memory at once


def rows(
    source: str,
    path: str,
    subset: str | None = None,
    split: str = "train",
    revision: str | None = None,
    streaming: bool = False,
    columns: Collection[str] | None = None,
) -> Iterator[tuple[int, Row | PrmError]]:
    """(row number from 1, the row or what is wrong with that row alone).

    source: "jsonl", "parquet" or "hub"; path: the file, for "hub" an id or a folder of data files. subset, split, revision,
    streaming (read as it comes, nothing is stored): of "hub". columns: all that is asked of a Parquet file, None for every one.
    Raises PrmError for what cannot be opened, or read on.
    """
    if source == "hub":
        return enumerate(_data_set(path, subset, split, revision, streaming), 1)
    if source == "parquet":
        return enumerate(_parquet(path, columns), 1)
    return jsonl.try_rows(path)


def _parquet(path: str, columns: Collection[str] | None) -> Iterator[Row | PrmError]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise PrmError(f"{path}: no such file; check the path")
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            wanted = None if columns is None else [name for name in there if name in columns]
            if columns is not None and (missing := [name for name in columns if name not in there]):
                raise PrmError(no_column(path, missing[0], there))
            done = 0
            for batch in file.iter_batches(_BATCH, columns=wanted):
                yield from _decoded(batch, f"{path} row", done + 1)
                done += batch.num_rows
    except pa.ArrowInvalid as error:
        raise PrmError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
    except OSError as error:
        raise PrmError(f"{path}: cannot be read ({str(error).splitlines()[0]}); is the file whole?") from None


def _decoded(batch, where: str, first: int) -> Iterator[Row | PrmError]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:  # some row of these: one by one, the others are kept
        for i in range(batch.num_rows):
            try:
                (row,) = batch.slice(i, 1).to_pylist()
            except UnicodeDecodeError as error:
                row = PrmError(f"{where} {first + i}: not UTF-8 text ({error.reason}); mend or drop the row")
            yield row


def _data_set(path: str, subset: str | None, split: str, revision: str | None, streaming: bool) -> Iterator[Row]:
    import datasets

    try:
        yield from datasets.load_dataset(path, subset, split=split, revision=revision, streaming=streaming)
    except (
        Exception
    ) as error:  # the hub's client raises dozens of kinds: no network, no such data set, no such split, gated
        raise PrmError(
            f"{path}: the data set cannot be read ({type(error).__name__}: {_first_line(error)}); "
            "check its name, subset and split, or download it and use a file"
        ) from error


def no_column(path: str | os.PathLike, name: str, there: Collection[str]) -> str:
    return f"{path}: no column '{name}'; name one of those there are: {', '.join(map(str, there)) or 'none'}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no more is said"])[0]
