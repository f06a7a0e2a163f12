"""Step beam search: of all ways on from the kept solutions, keep the most valuable.

Snell et al. 2024, "Scaling LLM Test-Time Compute Optimally" (arXiv 2408.03314), BFS-V. Here a search that ends
before the budget does is begun anew, with fresh draws, and all its solutions are chosen among.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm.engines import Engine
from prm.records import Problem
from prm.search import Found, Path, Stepwise
from prm.search._draw import Lane
from prm.search._rounds import Ask, Method, run, value


@dataclass(frozen=True)
class Config(Stepwise):
    """beams: solutions kept at each step. width: ways on drawn from each; at the first step beams * width are drawn."""

    beams: int = 4
    width: int = 4

    def __post_init__(self):
        super().__post_init__()
        for name in ("beams", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive; 2 to 8 are usual")


def search(problems: Sequence[Problem], engine: Engine, prm, config: Config) -> list[Found]:
    return run(method, problems, engine, prm, config, config.choose)


def method(config: Config, lane: Lane) -> Method:
    while True:
        kept = [Path()] * config.beams
        while kept:
            grown = yield [Ask(way) for path in kept for way in path.times(config.width)]
            best = best_distinct(grown, config)[: config.beams]
            kept = [path for path in best if not path.finished]


def best_distinct(grown: Sequence[Path | None], config: Stepwise) -> list[Path]:
    """The paths, each text once, the most valuable first; of equal ones the first drawn."""
    different = {path.text: path for path in reversed(grown) if path is not None}
    return sorted(reversed(different.values()), key=lambda path: value(path, config), reverse=True)
