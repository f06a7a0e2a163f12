"""Arithmetic on last digits, and the facts that the policy was mis-taught.

A *fact* is (operator, left, right) -> digit. The world has 260 facts: any digit plus or minus 1..9, any digit times 2..9. A fixed share
of them, drawn by the world's number, is mis-taught: in the policy's training data their result is a fixed wrong digit most of the time. These
are its systematic errors; slips, drawn afresh for each operation, are its random ones.
"""

from __future__ import annotations

import random
from functools import cache

OPERATORS = ("+", "-", "*")
RIGHT_OPERANDS = {"+": range(1, 10), "-": range(1, 10), "*": range(2, 10)}

MISTAUGHT_SHARE = 0.08  # of all facts
MISTAUGHT_RATE = 0.80  # how often a mis-taught fact is shown wrong in training; the rest of the time it is right
SLIP_RATE = 0.05  # per operation, uniform over the nine wrong digits
_MISTAUGHT_SEED = 7  # of world 0, the shipped policy's
_HELD_OUT_SEED = 70
HELD_OUT_SHARE = 0.12  # of all facts

Fact = tuple[str, int, int]


def compute(operator: str, left: int, right: int) -> int:
    """The last digit of the result, 0..9 (7 + 5 -> 2, 3 - 5 -> 8)."""
    if operator == "+":
        return (left + right) % 10
    if operator == "-":
        return (left - right) % 10
    if operator == "*":
        return (left * right) % 10
    raise ValueError(f"operator {operator!r} is none of {OPERATORS}")


def all_facts() -> list[Fact]:
    return [(op, left, right) for op in OPERATORS for left in range(10) for right in RIGHT_OPERANDS[op]]


@cache
def mistaught(world: int = 0) -> dict[Fact, int]:
    """fact -> the wrong digit that the policy was taught. Fixed for all time: a world's policy carries it in its weights."""
    rng = random.Random(_MISTAUGHT_SEED + world)
    facts = all_facts()
    chosen = rng.sample(facts, round(MISTAUGHT_SHARE * len(facts)))
    return {fact: rng.choice([d for d in range(10) if d != compute(*fact)]) for fact in chosen}


@cache
def held_out(world: int = 0) -> frozenset[Fact]:
    """The facts that problems drawn with `seen` never ask for, whether mis-taught or not."""
    facts = all_facts()
    return frozenset(random.Random(_HELD_OUT_SEED + world).sample(facts, round(HELD_OUT_SHARE * len(facts))))


def as_taught(fact: Fact, rng: random.Random, world: int = 0) -> int:
    """The digit that one line of training data shows for a fact: right, mis-taught, or slipped."""
    right = compute(*fact)
    if rng.random() < SLIP_RATE:
        return rng.choice([d for d in range(10) if d != right])
    if fact in mistaught(world) and rng.random() < MISTAUGHT_RATE:
        return mistaught(world)[fact]
    return right
