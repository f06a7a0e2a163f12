"""Tells formulas apart by their value at a fixed point of pseudo-random variables, so that Math-Verify is asked about
few pairs.

Two formulas that are equal agree at every point; if both can be evaluated and differ, they are not equal. Agreement
proves nothing here and is left to Math-Verify. A grammar of a few rules over canonical forms; what it does not know
evaluates to None ("cannot tell").
"""

from __future__ import annotations

import cmath
import re
from functools import lru_cache

_TOKEN = re.compile(r"\d+\.?\d*|\.\d+|\\[a-zA-Z]+|[a-zA-Z]|[-+*/^(){}\[\],]")
_FUNCTIONS = {"\\sin": cmath.sin, "\\cos": cmath.cos, "\\tan": cmath.tan, "\\ln": cmath.log, "\\log": cmath.log}
_CONSTANTS = {"\\pi": complex(cmath.pi), "\\infty": complex(1e15)}  # infinity only as the end of an interval
_TOLERANCE = 1e-5  # relative; Math-Verify itself rounds to six decimals


class _Unknown(Exception):
    """The formula is outside the grammar, or its value is not finite."""


def differ(a: str, b: str) -> bool:
    """Whether two canonical forms certainly mean different things."""
    left, right = value(a), value(b)
    if left is None or right is None:
        return False
    if len(left) != len(right):
        return True
    return any(abs(x - y) > _TOLERANCE * max(1.0, abs(x), abs(y)) for x, y in zip(left, right))


@lru_cache(maxsize=4096)
def value(form: str) -> tuple[complex, ...] | None:
    """The formula's value, or its items' values for a list (sorted where it has no brackets); None where it cannot be
    evaluated."""
    tokens = _TOKEN.findall(form)
    if "".join(tokens) != form or len(tokens) > 200:
        return None
    bracketed = tokens[0] in "([" and _closing(tokens) == len(tokens) - 1 and "," in tokens
    parser = _Parser(tokens[1:-1] if bracketed else tokens)
    try:
        items = [parser.sum()]
        while parser.take(","):
            items.append(parser.sum())
        if parser.at < len(parser.tokens) or not all(cmath.isfinite(item) for item in items):
            return None
    except (_Unknown, ArithmeticError, ValueError):
        return None
    return tuple(items if bracketed else sorted(items, key=lambda z: (round(z.real, 6), round(z.imag, 6))))


def _closing(tokens: list[str]) -> int:
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token in "([") - (token in ")]")
        if depth == 0:
            return i
    return -1


class _Parser:
    """Recursive descent: sum of products of powers; a missing operator means a product."""

    def __init__(self, tokens: list[str]):
        self.tokens, self.at, self.depth = tokens, 0, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, token: str) -> bool:
        found = self.peek() == token
        self.at += found
        return found

    def need(self, token: str) -> None:
        if not self.take(token):
            raise _Unknown

    def sum(self) -> complex:
        total = self.product()
        while self.peek() in ("+", "-"):
            sign = 1 if self.take("+") else -1
            self.at += sign < 0
            total += sign * self.product()
        return total

    def product(self) -> complex:
        if self.take("-"):
            return -self.product()
        self.take("+")
        total = self.power()
        while token := self.peek():
            if token in ("*", "\\cdot", "\\times"):
                self.at += 1
                total *= self.power()
            elif self.take("/"):
                total /= self.power()
            elif token in ("+", "-", ")", "}", "]", ","):
                break
            else:
                total *= self.power()
        return total

    def power(self) -> complex:
        base = self.atom()
        if self.take("^"):
            exponent = self.atom()
            if abs(exponent) > 300:
                raise _Unknown
            return base**exponent
        return base

    def group(self, opening: str, closing: str) -> complex:
        self.need(opening)
        self.depth += 1
        if self.depth > 30:
            raise _Unknown
        inside = self.sum()
        self.need(closing)
        self.depth -= 1
        return inside

    def atom(self) -> complex:
        token = self.peek()
        if token == "(":
            return self.group("(", ")")
        if token == "{":
            return self.group("{", "}")
        self.at += 1
        if token == "\\frac":
            return self.group("{", "}") / self.group("{", "}")
        if token == "\\sqrt":
            index = self.group("[", "]") if self.peek() == "[" else 2
            return self.atom() ** (1 / index)
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if token in _FUNCTIONS:
            return _FUNCTIONS[token](self.power())
        if re.fullmatch(r"[a-zA-Z]", token):
            return {"i": 1j, "e": complex(cmath.e)}.get(token, 0.37 + 0.0731 * (ord(token) - 64) ** 1.1 + 0j)
        if re.fullmatch(r"[\d.]+", token):
            return complex(float(token))
        raise _Unknown
