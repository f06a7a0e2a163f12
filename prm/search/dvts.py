"""Diverse verifier tree search: independent subtrees, each of which keeps its most valuable way on.

Beeching, Tunstall, Rush 2024, "Scaling test-time compute with open models": beam search with one beam in each of N
/ width subtrees, so that no subtree drives out the others. Here, as in beam search, what ends before the budget
does is begun anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm.engines import Engine
from prm.records import Problem
from prm.search import Found, Path, Stepwise
from prm.search._draw import Lane
from prm.search._rounds import Ask, Method, run
from prm.search.beam import best_distinct


@dataclass(frozen=True)
class Config(Stepwise):
    """subtrees: searched at once, each on its own. width: ways on drawn in each."""

    subtrees: int = 4
    width: int = 4

    def __post_init__(self):
        super().__post_init__()
        for name in ("subtrees", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive; 2 to 8 are usual")


def search(problems: Sequence[Problem], engine: Engine, prm, config: Config) -> list[Found]:
    return run(method, problems, engine, prm, config, config.choose)


def method(config: Config, lane: Lane) -> Method:
    while True:
        kept = [Path()] * config.subtrees
        while kept:
            grown = yield [Ask(way) for path in kept for way in path.times(config.width)]
            subtrees = [grown[at : at + config.width] for at in range(0, len(grown), config.width)]
            best = [path for mine in subtrees for path in best_distinct(mine, config)[:1]]
            kept = [path for path in best if not path.finished]
