"""Best-of-N: independent solutions until the budget is spent; the one with the highest value is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm.engines import Engine
from prm.records import Problem
from prm.search import Common, Found
from prm.search._rounds import run
from prm.search._whole import method


@dataclass(frozen=True)
class Config(Common):
    """Nothing of its own: N is what the budget holds."""


def search(problems: Sequence[Problem], engine: Engine, prm, config: Config) -> list[Found]:
    return run(method, problems, engine, prm, config, "best", distinct=False)
