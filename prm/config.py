"""From a mapping (a YAML section) to a frozen dataclass, strictly typed.

The annotations are the schema: int, float, str, bool, tuple[T, ...], dict[str, T], X | None and nested dataclasses. An int
is taken for a float; nothing else is converted, no key is ignored, and the error names the key and the remedy.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from prm.errors import PrmError

T = TypeVar("T")


def build(cls: type[T], mapping: Any, where: str) -> T:
    """An instance of the dataclass `cls` from `mapping`.

    where: what to call the mapping in errors, "recipes/x.yaml: train"; ending in ":" it names a whole file.
    Raises PrmError for an unknown or missing key, a value of the wrong type, or what the class's `__post_init__` refuses
    with ValueError("key: problem; remedy").
    """
    if not isinstance(mapping, Mapping):
        raise PrmError(f"{_trim(where)}: must be a mapping of keys to values, not {_shown(mapping)}")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in mapping:
        if key not in fields:
            raise PrmError(f"{at(where, key)}: unknown key; {_choices(str(key), fields)}")
    hints = typing.get_type_hints(cls)
    values = {key: convert(hints[key], value, at(where, key)) for key, value in mapping.items()}
    for name, f in fields.items():
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise PrmError(f"{at(where, name)}: missing; give it a value ({_name(hints[name])})")
    try:
        return cls(**values)
    except ValueError as error:
        raise PrmError(at(where, error)) from None


def convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotation `hint` says, or PrmError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        kinds = [a for a in arguments if a is not type(None)]
        for kind in kinds[:-1]:
            try:
                return convert(kind, value, where)
            except PrmError:
                continue  # the next member of the union may take it; the last one's error is the one raised
        return convert(kinds[-1], value, where)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else build(hint, value, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {convert(str, k, where): convert(arguments[1], v, at(where, k)) for k, v in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint in (str, bool) and isinstance(value, hint):
        return value
    raise PrmError(f"{_trim(where)}: must be {_name(hint)}, not {_shown(value)}")


def at(where: str, key: object) -> str:
    """The name of `key` inside `where`: "x.yaml: train" -> "x.yaml: train.epochs", "x.yaml:" -> "x.yaml: train"."""
    return f"{where} {key}" if where.endswith(":") else f"{where}.{key}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """ ", did you mean 'x'?" or "" when nothing is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean '{near[0]}'?" if near else ""


def plain(value: Any) -> Any:
    """A config as JSON types, for manifests and hashes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _choices(key: str, names: Iterable[str]) -> str:
    names = list(names)
    return f"known keys: {', '.join(names) or 'none'}{did_you_mean(key, names)}"


def _name(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join("null" if a is type(None) else _name(a) for a in arguments)
    if origin is tuple:
        return f"a list of {_name(arguments[0])}"
    if origin in (dict, Mapping) or dataclasses.is_dataclass(hint):
        return "a mapping"
    return {float: "a finite number", int: "an int", str: "a string", bool: "true or false"}.get(hint, str(hint))


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return f"{text if len(text) < 60 else text[:57] + '...'} ({type(value).__name__})"


def _trim(where: str) -> str:
    return where.rstrip(":")
