"""Signals: one problem's samples, steps and answers -> a value per step. One file each, with

KEY     the independence key: two signals with one key are one witness
label(groups: Sequence[Group], config, context) -> list[StepScores]     one a sample, in the groups' order
TEXT_ONLY = True    where texts are all it reads: `prm label` takes it, and `context` may be None
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prm.engines import Engine
    from prm.recipe import Recipe


class Context:
    """What a signal may need beyond its groups. Signals that read only text ignore it, so tests pass None.

    It lives as long as one `prm run`: what is costly to make (a model, a table) is made on first use and kept.
    """

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self._made: dict[Hashable, Any] = {}

    def cached(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """`make()` on the first call with this key, the same object afterwards."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def engine(self) -> Engine:
        """The recipe's engine, opened on first use."""
        plugin = self.recipe.engine
        return self.cached("engine", lambda: plugin.module.open_engine(plugin.config))

    def close(self) -> None:
        """Closes the engine if it was opened and lets go of the rest."""
        engine = self._made.get("engine")
        self._made.clear()
        if engine is not None:
            engine.close()
