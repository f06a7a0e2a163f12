"""Problems of the small world, and the references that only eval/ and the gold signal may ask for.

Arguments, the same for both: n problems of shortest..longest operations, drawn by `seed`; the same arguments give the same problems, a larger n
only adds. world: whose held-out facts and phrases `seen` leaves out, for training a PRM that is then measured on them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from prm.records import Problem
from prm.world.facts import held_out
from prm.world.program import Program, draw
from prm.world.story import HELD_OUT_PHRASES, tell


def generate(
    n: int, seed: int, shortest: int = 3, longest: int = 5, world: int = 0, seen: bool = False
) -> list[Problem]:
    """Problems with the ids world-SEED-0, world-SEED-1, ..."""
    return [
        Problem(f"world-{seed}-{i}", tell(program, rng, leave_out=HELD_OUT_PHRASES if seen else ()))
        for i, program, rng in _programs(n, seed, shortest, longest, world, seen)
    ]


def programs(
    n: int, seed: int, shortest: int = 3, longest: int = 5, world: int = 0, seen: bool = False
) -> dict[str, Program]:
    """problem id -> program. Gold: for `prm.references` alone."""
    return {f"world-{seed}-{i}": program for i, program, _ in _programs(n, seed, shortest, longest, world, seen)}


def _programs(
    n: int, seed: int, shortest: int, longest: int, world: int, seen: bool
) -> Iterator[tuple[int, Program, random.Random]]:
    for i in range(n):
        rng = random.Random(f"world/{seed}/{i}")
        program = draw(rng, shortest, longest)
        while seen and not held_out(world).isdisjoint(program.facts()):
            program = draw(rng, shortest, longest)
        yield i, program, rng
