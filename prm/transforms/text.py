"""Word problems in English, told otherwise: other names, another order of the facts, another currency.

    rename    people's first names swapped for others of the same pronouns, everywhere; the answer stays   _rename.py
    reorder   facts that stand alone change places; the answer stays                                        _reorder.py
    rescale   every sum of money times a whole number c; the answer is divided by c                         _rescale.py

Each applies only under the conditions its file states, which a reader of the text could check; in doubt it does not
apply, so most problems have few such variants and some none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from prm.records import Problem
from prm.transforms import AnswerMap, Reposed
from prm.transforms._rename import rename
from prm.transforms._reorder import reorder
from prm.transforms._rescale import rescale

VERSION = 2
BY = ("rename", "reorder", "rescale")
_TRIES = 8  # draws a problem that may repeat what was made before


@dataclass(frozen=True)
class Config:
    """by: what may be done. A text is made by each of them alone, in turn, and then by all of them together.
    factors: what `rescale` may multiply by."""

    by: tuple[str, ...] = BY
    factors: tuple[int, ...] = (2, 3, 5, 10)

    def __post_init__(self):
        if not self.by or set(self.by) - set(BY):
            raise ValueError(f"by: {', '.join(self.by) or 'empty'}; take some of {', '.join(BY)}")
        if not self.factors or min(self.factors) < 2:
            raise ValueError(f"factors: {list(self.factors)}; give whole numbers above 1, such as [2, 3, 5, 10]")


def repose(problem: Problem, n: int, seed: int, config: Config) -> list[Reposed]:
    """At most n variants of distinct texts; ids are "ID~text0", "ID~text1", ..."""
    made: dict[str, AnswerMap] = {}
    for draw, by in enumerate(_ways(config.by)):
        if len(made) == n:
            break
        text, factor = _told(problem.text, by, random.Random(f"{seed}\0{draw}\0{problem.id}"), config)
        if text != problem.text:
            made.setdefault(text, AnswerMap("scale", f"1/{factor}") if factor != 1 else AnswerMap("same"))
    variants = enumerate(made.items())
    return [Reposed(replace(problem, id=f"{problem.id}~text{i}", text=t), problem.id, m) for i, (t, m) in variants]


def _ways(by: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for _ in range(_TRIES):
        yield from ((name,) for name in by)
        if len(by) > 1:
            yield by


def _told(text: str, by: tuple[str, ...], rng: random.Random, config: Config) -> tuple[str, int]:
    """(the text, the factor of its answer); the text as it was where nothing applies."""
    factor = 1
    if "reorder" in by:
        text = reorder(text, rng)
    if "rescale" in by:
        text, factor = rescale(text, rng.choice(config.factors))
    if "rename" in by:
        text = rename(text, rng)
    return text, factor
