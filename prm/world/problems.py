"""Problems of the small world, and the references that only eval/ and the gold signal may ask for."""

from __future__ import annotations

import random

from prm.records import Problem
from prm.world.program import Program, draw
from prm.world.story import tell


def generate(n: int, seed: int, shortest: int = 3, longest: int = 5) -> list[Problem]:
    """n problems of shortest..longest operations; the same (n, seed) gives the same problems, a larger n only adds."""
    return [
        Problem(f"world-{seed}-{i}", tell(program, rng)) for i, program, rng in _programs(n, seed, shortest, longest)
    ]


def programs(n: int, seed: int, shortest: int = 3, longest: int = 5) -> dict[str, Program]:
    """problem id -> program. Gold: for `prm.references` alone."""
    return {f"world-{seed}-{i}": program for i, program, _ in _programs(n, seed, shortest, longest)}


def _programs(n: int, seed: int, shortest: int, longest: int):
    for i in range(n):
        rng = random.Random(f"world/{seed}/{i}")
        yield i, draw(rng, shortest, longest), rng
