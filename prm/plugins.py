"""Plugins are files: prm/engines/NAME.py, prm/segmenters/NAME.py and prm/signals/NAME.py; the file's name is its name.

Each has a frozen dataclass `Config`, an optional `check(config)` that raises PrmError before anything is loaded, and its one
function (`open_engine`, `cut`, `label`). Nothing is registered: a new file is there once it is saved.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from prm.config import did_you_mean
from prm.errors import PrmError

KINDS = ("engines", "segmenters", "signals")


def names(kind: str) -> list[str]:
    """The plugins of one of KINDS, sorted; a file whose name starts with "_" is a helper, not a plugin."""
    package = importlib.import_module(f"prm.{kind}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(kind: str, name: str, where: str = "") -> ModuleType:
    """The plugin's module. Raises PrmError (prefixed with `where`) that lists the names when there is no such file."""
    if name not in names(kind):
        known = ", ".join(names(kind)) or "none"
        raise PrmError(
            f"{where + ': ' if where else ''}no {kind[:-1]} named '{name}'; known: {known}"
            f"{did_you_mean(name, names(kind))}"
        )
    return importlib.import_module(f"prm.{kind}.{name}")


def check(module: ModuleType, config: object) -> None:
    """The plugin's own check of files, folders and packages; raises PrmError."""
    if hasattr(module, "check"):
        module.check(config)
