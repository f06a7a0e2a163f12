"""Rows <-> Parquet. A row class's annotations are its schema: nothing is guessed from the values."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

T = TypeVar("T")
_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@functools.cache
def schema(row_type: type) -> pa.Schema:
    """str, int, float, bool, T | None, tuple[T, ...] and Mapping[str, T], as explicit Arrow types."""
    hints = typing.get_type_hints(row_type)
    return pa.schema([_field(f.name, hints[f.name]) for f in dataclasses.fields(row_type)])


def encode(rows: Sequence[T], row_type: type[T], notes: Mapping[str, Any]) -> pa.Buffer:
    """The rows as one Parquet file in memory; `notes` (JSON) go into its footer."""
    names = schema(row_type).names
    columns = [[_outward(getattr(row, name)) for row in rows] for name in names]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, schema(row_type))], schema=schema(row_type))
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"prm": json.dumps(notes)}), sink, compression="zstd")
    return sink.getvalue()


def decode(path: Path, row_type: type[T]) -> list[T]:
    table = pq.read_table(path, schema=schema(row_type), partitioning=None)
    return [
        row_type(*map(_inward, values))
        for values in zip(*(c.to_pylist(maps_as_pydicts="strict") for c in table.columns))
    ]


def count(path: Path) -> int:
    """Rows in a shard, from its footer."""
    return pq.read_metadata(path).num_rows


def column(path: Path, name: str) -> list:
    return pq.read_table(path, columns=[name], partitioning=None)[name].to_pylist()


def notes(path: Path) -> dict[str, Any]:
    """What `encode` was given beside the rows."""
    return json.loads(pq.read_metadata(path).metadata[b"prm"])


def _field(name: str, hint: Any) -> pa.Field:
    arguments = typing.get_args(hint)
    optional = typing.get_origin(hint) in (types.UnionType, typing.Union)
    if optional:
        (hint,) = [a for a in arguments if a is not type(None)]
    return pa.field(name, _type(hint), nullable=optional)


def _type(hint: Any) -> pa.DataType:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return pa.list_(_field("item", arguments[0]))
    if origin is Mapping:
        return pa.map_(pa.string(), _field("value", arguments[1]))
    return _SCALARS[hint]


def _outward(value: Any) -> Any:
    return list(value.items()) if isinstance(value, Mapping) else value


def _inward(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
