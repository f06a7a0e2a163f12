"""The truth of each step of a solution in the small world. Gold: only eval/ and the gold signal may import this."""

from __future__ import annotations

from collections.abc import Sequence

from prm.world.facts import mistaught
from prm.world.program import Program
from prm.world.story import Equation, read_answer, read_equations

RIGHT, SLIP, MISCONCEPTION, CARRIED = "right", "slip", "misconception", "carried"


def truth(program: Program, steps: Sequence[str], world: int = 0) -> list[str]:
    """One kind per step. world: which facts were mis-taught.

    right: all it asserts holds and all before it did. misconception: its first fault is a mis-taught fact with the taught wrong digit.
    slip: any other first fault (a wrong digit, operand or operation, one skipped or added, a wrong copy into the answer, nothing readable).
    carried: an earlier step was wrong, whatever this one does.
    """
    kinds: list[str] = []
    at, value = 0, program.start
    for step in steps:
        if any(kind != RIGHT for kind in kinds):
            kinds.append(CARRIED)
            continue
        kind, at, value = _judge(program, step, at, value, world)
        kinds.append(kind)
    return kinds


def _judge(program: Program, step: str, at: int, value: int, world: int) -> tuple[str, int, int]:
    equations, answer = read_equations(step), read_answer(step)
    if not equations and answer is None:
        return SLIP, at, value
    for equation in equations:
        kind = _judge_equation(program, equation, at, value, world)
        if kind != RIGHT:
            return kind, at, value
        at, value = at + 1, equation[3]
    if answer is not None and (answer != value or at != len(program.operations)):
        return SLIP, at, value
    return RIGHT, at, value


def _judge_equation(program: Program, equation: Equation, at: int, value: int, world: int) -> str:
    left, operator, right, result = equation
    if at >= len(program.operations) or (operator, right) != program.operations[at] or left != value:
        return SLIP
    if result == program.values()[at + 1]:
        return RIGHT
    return MISCONCEPTION if mistaught(world).get((operator, left, right)) == result else SLIP
