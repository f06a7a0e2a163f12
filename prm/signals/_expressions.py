"""Expressions of + - * / over numbers: parse and evaluate.

Values are compared by `key`: spellings of one value ("1,200.00", "1200") share a key, decimals agree after rounding.
"""

from __future__ import annotations

import ast
import math
import operator
import re

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


LONGEST = 200  # characters of an expression; a longer one is a loop or a table
LARGEST = 1e15  # floats hold whole numbers up to here; a longer int may not become one at all


def key(value: float) -> str:
    """Equal for spellings of one value; decimals after rounding to what people write. The sign is left out: 2 - (-4)
    and -4 - 2 are one difference to those who go on with it."""
    value = abs(value)
    if not math.isfinite(value):
        return "beyond counting"
    if abs(value - round(value)) < 1e-9 and abs(value) < LARGEST:
        return str(round(value))
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}" if abs(value) < 1e6 else f"{value:.6g}"


def parse(expression: str) -> ast.expr | None:
    """The tree of an expression of + - * / over numbers; None for anything else. Brackets left open at either end are
    dropped."""
    if len(expression) > LONGEST:
        return None
    spelled = re.sub(r"(\d+(?:\.\d+)?|\.\d+)%", r"(\1/100)", re.sub(r"\s+", "", expression))
    excess = spelled.count("(") - spelled.count(")")
    spelled = spelled[excess:] if excess > 0 and spelled.startswith("(" * excess) else spelled
    spelled = spelled[:excess] if excess < 0 and spelled.endswith(")" * -excess) else spelled
    try:
        return ast.parse(re.sub(r"(?<![\d.])0+(?=\d)", "", spelled), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def evaluate(node: ast.expr) -> float | None:
    """The value of a tree; None where it has none (division by zero) or one beyond 1e15."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        value = float(node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = evaluate(node.operand)
        value = None if inner is None else -inner
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = evaluate(node.left), evaluate(node.right)
        missing = (
            left is None or right is None or (not isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)) and right == 0)
        )
        value = None if missing else _OPERATORS[type(node.op)](left, right)
    else:
        return None
    return value if value is not None and abs(value) < LARGEST else None


def parts(tree: ast.expr) -> list[ast.expr]:
    """Every operation in the tree."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]


def leaves(tree: ast.expr) -> list[float]:
    """The numbers in the tree."""
    return [float(n.value) for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, (int, float))]
