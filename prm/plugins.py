"""Plugins are files in prm/engines, prm/segmenters, prm/signals, prm/transforms and prm/formats; the file's name is its name.

Each has a frozen dataclass `Config`, an optional `check(config)` that raises PrmError before anything is loaded, and its one
function (`open_engine`, `cut`, `label`, `repose`, `read`). Nothing is registered: a new file is there once it is saved. A file of settings names
one with `{name: delimiter, by: lines}`: `build` makes a `Plugin` of that.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from prm import config as configs
from prm.errors import PrmError

KINDS = ("engines", "search", "segmenters", "signals", "transforms", "formats")


@dataclass(frozen=True)
class Plugin:
    """A plugin's file (`kind`, `name`) and its typed config."""

    kind: str
    name: str
    config: Any

    @property
    def module(self) -> ModuleType:
        return load(self.kind, self.name)

    def fitted(self, folder: Path) -> Plugin:
        """The same as it was fitted into `folder`; for plugins that learn (`needs_fit`)."""
        return replace(self, config=self.module.with_path(self.config, folder))


def needs_fit(plugin: Plugin) -> bool:
    """Whether it learns before it can be used: its module has `fit(rows, config, context, folder)` and its config names nothing fitted yet."""
    return hasattr(plugin.module, "fit") and plugin.module.needs_fit(plugin.config)


def names(kind: str) -> list[str]:
    """The plugins of one of KINDS, sorted; a file whose name starts with "_" is a helper, not a plugin."""
    package = importlib.import_module(f"prm.{kind}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(kind: str, name: str, where: str = "") -> ModuleType:
    """The plugin's module. Raises PrmError (prefixed with `where`) that lists the names when there is no such file."""
    if name not in names(kind):
        known = ", ".join(names(kind)) or "none"
        raise PrmError(
            f"{where + ': ' if where else ''}no {kind.removesuffix('s')} named '{name}'; known: {known}"
            f"{configs.did_you_mean(name, names(kind))}"
        )
    return importlib.import_module(f"prm.{kind}.{name}")


def build(kind: str, value: Any, key: str, default: str | None, where: str) -> Plugin:
    """`{key: NAME, ...config of the plugin NAME...}`; a name alone means the plugin's defaults.

    default: the name of a mapping without `key`, None where it must have one. Raises PrmError that begins with `where`.
    """
    value = {key: value} if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        raise PrmError(f"{where}: must be a mapping, not {value!r}; {{}} takes the defaults")
    rest = dict(value)
    name = rest.pop(key, default)
    if name is None:
        raise PrmError(f"{where}.{key}: missing; known: {', '.join(names(kind))}")
    name = configs.convert(str, name, f"{where}.{key}")
    module = load(kind, name, f"{where}.{key}" if key in value else where)
    return Plugin(kind, name, configs.build(module.Config, rest, where))


def check(module: ModuleType, config: object) -> None:
    """The plugin's own check of files, folders and packages; raises PrmError."""
    if hasattr(module, "check"):
        module.check(config)
