"""A recipe's file: YAML, `key=value` overrides and values left to the user, read into one plain mapping.

Values left to the user are named under `given` and used as ${name}: with `given: {pool: null}` and `path: ${pool}` in the
file, `prm run FILE pool=mine.jsonl` fills them in; null means that the user must.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from prm import config
from prm.errors import PrmError


def read(path: Path, overrides: Sequence[str], unfilled: Collection[str] = ()) -> dict[str, Any]:
    """The file's mapping with the overrides applied and ${name} filled in, but for the sections `unfilled`, which the
    caller does not need. Raises PrmError."""
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        near = ", ".join(sorted(str(p) for p in folder.glob("*.yaml"))) if folder.is_dir() else ""
        raise PrmError(f"{path}: no such recipe" + (f"; there: {near}" if near else "; check the path"))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PrmError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); convert it to UTF-8") from None
    mapping = _parse(text, str(path))
    if not isinstance(mapping, dict):
        raise PrmError(
            f"{path}: a recipe is a mapping of sections (name, problems, engine, ...); see recipes/demo.yaml"
        )
    given = mapping.pop("given", None) or {}
    if not isinstance(given, dict):
        raise PrmError(f"{path}: given: must be a mapping of names to defaults or null, not {given!r}")
    for override in overrides:
        _override(mapping, given, override)
    where = f"{path}:"
    return {k: v if k in unfilled else _fill(v, given, config.at(where, k)) for k, v in mapping.items()}


def shipped(name: str) -> Path:
    """A recipe that comes with the package: of the checkout, or where an installation put it."""
    checkout = Path(__file__).parent.parent / "recipes" / name
    return checkout if checkout.is_file() else Path(sysconfig.get_path("data")) / "share" / "prm" / "recipes" / name


def of_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """The mapping that overrides alone make."""
    mapping: dict[str, Any] = {}
    for override in overrides:
        _override(mapping, {}, override)
    return mapping


def _override(mapping: dict, given: dict, override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise PrmError(f"'{override}': an override is key=value, such as train.epochs=2")
    parsed = _parse(value, f"'{override}'")
    if key in given:
        given[key] = parsed
        return
    *sections, last = key.split(".")
    for section in sections:
        mapping = mapping.setdefault(section, {})
        if not isinstance(mapping, dict):
            raise PrmError(
                f"'{override}': '{section}' is {mapping!r} in the recipe, not a mapping; override it as a whole"
            )
    mapping[last] = parsed


def _fill(value: Any, given: Mapping[str, Any], where: str) -> Any:
    """${name} in every string becomes the value given for it."""
    if isinstance(value, dict):
        return {key: _fill(item, given, config.at(where, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, given, where) for item in value]
    if not isinstance(value, str):
        return value
    for name in re.findall(r"\$\{(\w+)\}", value):
        if name not in given:
            raise PrmError(f"{where}: ${{{name}}} is not declared; add it under `given` in the recipe")
        if given[name] is None:
            raise PrmError(f"{where}: needs a value; add {name}=... to the command")
        value = value.replace(f"${{{name}}}", str(given[name]))
    return value


class _Loader(yaml.SafeLoader):
    """YAML where 1e-3 is a number (YAML 1.1 wants 1.0e-3) and a key given twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # a SafeLoader: builds plain values only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise PrmError(
            f"{where}{line}: not YAML ({getattr(error, 'problem', None) or error}); check the indentation and quotes"
        ) from None
