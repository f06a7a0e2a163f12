"""A problem of the small world as data."""

from __future__ import annotations

import random
from dataclasses import dataclass

from prm.world.facts import OPERATORS, RIGHT_OPERANDS, Fact, compute


@dataclass(frozen=True, slots=True)
class Program:
    """start, then operations (operator, right operand) applied one after another, keeping the last digit."""

    start: int
    operations: tuple[tuple[str, int], ...]

    def values(self) -> list[int]:
        """The running digit after each operation, the start first: len(operations) + 1 digits."""
        values = [self.start]
        for operator, right in self.operations:
            values.append(compute(operator, values[-1], right))
        return values

    def facts(self) -> list[Fact]:
        return [(op, left, right) for (op, right), left in zip(self.operations, self.values())]

    @property
    def answer(self) -> int:
        return self.values()[-1]


def draw(rng: random.Random, shortest: int, longest: int) -> Program:
    """A program of shortest..longest operations, lengths, operators and operands uniform."""
    operations = []
    for _ in range(rng.randint(shortest, longest)):
        operator = rng.choice(OPERATORS)
        operations.append((operator, rng.choice(RIGHT_OPERANDS[operator])))
    return Program(rng.randrange(10), tuple(operations))
