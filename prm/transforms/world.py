"""The small world's problems in other words: renamed, complemented, each operation by its inverse.

Everything is counted modulo 10, so with x' = 10 - x (modulo 10)

    x + b = x - b'        x * b = -(x * b')        (x + b)' = x' - b        (x * b)' = x' * b

Each re-posed problem tells a chain of the same length that starts at x or at x', swaps operations for their inverses at random and keeps
track of the sign; names, things and phrases are drawn anew. Rewriting computes nothing but the operands' complements. The same step meets up to
four different facts, and a vote over re-posed problems is no longer a vote over one misconception.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from prm.records import Problem
from prm.transforms import AnswerMap, Reposed
from prm.world.facts import RIGHT_OPERANDS
from prm.world.program import Program
from prm.world.story import read_problem, tell

TRIES = 4  # draws for each re-posed problem wanted: short chains have few rewrites, and equal texts count once
_INVERSE = {"+": "-", "-": "+"}


@dataclass(frozen=True)
class Config:
    """Nothing to set."""


def repose(problem: Problem, n: int, seed: int, config: Config) -> list[Reposed]:
    """At most n rewrites; [] for a text that is not of the small world."""
    try:
        program = read_problem(problem.text)
    except ValueError:
        return []
    rng, made = random.Random(f"{seed}/{problem.id}"), {}
    for _ in range(TRIES * n):
        if len(made) == n:
            break
        rewritten, negated = _rewrite(program, rng)
        text = tell(rewritten, rng)
        if text != problem.text and text not in made:
            made[text] = "negate_mod10" if negated else "same"
    return [
        Reposed(Problem(f"{problem.id}/{i}", text), problem.id, AnswerMap(name))
        for i, (text, name) in enumerate(made.items())
    ]


def _rewrite(program: Program, rng: random.Random) -> tuple[Program, bool]:
    """(a program, whether its answer is the complement of the original's)."""
    negated = rng.random() < 0.5
    start, operations = -program.start % 10 if negated else program.start, []
    for operator, right in program.operations:
        inverted = rng.random() < 0.5 and 10 - right in RIGHT_OPERANDS[operator]
        if operator == "*":
            negated ^= inverted
        elif negated ^ inverted:  # either alone turns + into -, both together leave it
            operator = _INVERSE[operator]
        operations.append((operator, 10 - right if inverted else right))
    return Program(start, tuple(operations)), negated
