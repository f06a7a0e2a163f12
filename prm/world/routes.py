"""The same quantity by another route, with an answer map: asking again so breaks the vote's loop.

A route re-poses `left operator right` as a chain of other operations: operands swapped, a step split, gone past and come back, the complement
taken. It may use arithmetic on the operands (5 = 2 + 3), never the quantity asked for. A route's digit, through its answer map, is an answer to the
question; the more routes, the less they share the misconception in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass

from prm.world.facts import RIGHT_OPERANDS, Fact
from prm.world.program import Program


@dataclass(frozen=True, slots=True)
class Route:
    """Ask `program`; its answer d means `(10 - d) % 10` where `negated`, else d."""

    program: Program
    negated: bool = False

    def answer_map(self, digit: int) -> int:
        return (10 - digit) % 10 if self.negated else digit


def routes(fact: Fact) -> list[Route]:
    """All routes to a fact's quantity, none of which asks for the fact itself on its way."""
    operator, left, right = fact
    made = {"+": _plus, "-": _minus, "*": _times}[operator](left, right)
    return [route for route in made if _askable(route.program) and _first_fact(route.program) != fact]


def containing_routes(fact: Fact) -> list[Route]:
    """A control: chains that begin with the very fact in doubt and then go nowhere and back."""
    operator, left, right = fact
    return [_chain(left, (operator, right), ("+", k), ("-", k)) for k in range(1, 10)]


def _askable(program: Program) -> bool:
    return all(right in RIGHT_OPERANDS[operator] for operator, right in program.operations)


def _first_fact(program: Program) -> Fact:
    operator, right = program.operations[0]
    return operator, program.start, right


def _chain(start: int, *operations: tuple[str, int], negated: bool = False) -> Route:
    return Route(Program(start % 10, operations), negated)


def _plus(a: int, b: int) -> list[Route]:
    swapped = [_chain(b, ("+", a)), _chain(a, ("-", 10 - b)), _chain(b, ("-", 10 - a))]
    split = [_chain(a, ("+", k), ("+", b - k)) for k in range(1, b)]
    split += [
        _chain(b, ("+", k), ("+", a - k)) for k in range(1, a) if k != a - b
    ]  # b + (a - b) = a would ask a + b next
    past = [_chain(a, ("+", k), ("-", k - b)) for k in range(b + 1, 10)]
    return swapped + split + past


def _minus(a: int, b: int) -> list[Route]:
    swapped = [_chain(a, ("+", 10 - b)), _chain(b, ("-", a), negated=True), _chain(10 - a, ("+", b), negated=True)]
    split = [_chain(a, ("-", k), ("-", b - k)) for k in range(1, b)]
    past = [_chain(a, ("+", k), ("-", b + k)) for k in range(1, 10 - b)]
    past += [_chain(a, ("-", k), ("+", k - b)) for k in range(b + 1, 10)]
    return swapped + split + past


def _times(a: int, b: int) -> list[Route]:
    swapped = [_chain(b, ("*", a)), _chain(a, ("*", 10 - b), negated=True), _chain(10 - a, ("*", b), negated=True)]
    near = [_chain(a, ("*", b - 1), ("+", a)), _chain(a, ("*", b + 1), ("-", a)), _chain(b, ("*", a - 1), ("+", b))]
    near += [_chain(b, ("*", a + 1), ("-", b)), _chain(a, ("*", b - 2), ("+", a), ("+", a))]
    split = [_chain(a, ("*", k), ("*", b // k)) for k in range(2, b) if b % k == 0]
    return swapped + near + split
