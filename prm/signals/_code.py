"""Arithmetic in Python code that a solution wrote for a tool, read without running it.

    "bags = 3\\nleft = bags * 4 - 2"    names {"bags": 3, "left": 10}, expressions 3 * 4 - 2

Only assignments and expressions of numbers, known names, + - * / // % and a few functions are followed; what else a
program holds (imports, loops, solvers) is passed over, and names it would set stay unknown. Nothing is executed, so
untrusted code can do no harm, and what is followed takes time linear in the code's length.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator

from prm.signals import _expressions

_FENCED = re.compile(r"```(?P<kind>\w*)[^\n]*\n(?P<inside>.*?)(?:```|\Z)", re.DOTALL)
_PYTHON = ("python", "py")
LONGEST = 20_000
_FUNCTIONS = {"round": round, "int": int, "float": float, "abs": abs, "ceil": math.ceil, "floor": math.floor}


def trees(text: str, names: dict[str, float]) -> list[ast.expr]:
    """The arithmetic of all code in a text, as `follow` finds it."""
    blocks = _FENCED.finditer(text) if "```" in text else ()
    return [tree for m in blocks if m["kind"] in _PYTHON for tree in follow(m["inside"], names)]


def without(text: str) -> str:
    """The text without its code; what stands in other fences (a tool's output) is text."""
    return _FENCED.sub(lambda m: " " if m["kind"] in _PYTHON else m["inside"], text) if "```" in text else text


def follow(code: str, names: dict[str, float]) -> list[ast.expr]:
    """Every arithmetic expression of the code, in order, its names replaced by their values. `names` is brought up to
    date. Code that does not parse gives nothing."""
    if len(code) > LONGEST:
        return []
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = []
    for statement in _statements(tree.body):
        for target, value in _assignments(statement):
            made = _replaced(value, names)
            number = None if made is None else _expressions.evaluate(made)
            if made is not None and number is not None:
                found += [] if isinstance(made, ast.Constant) else [made]
            if isinstance(target, ast.Name):
                names.pop(target.id, None)
                if number is not None:
                    names[target.id] = number
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Straight-line statements; a function without arguments is read as if its body stood there."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef) and not statement.args.args:
            yield from _statements(statement.body)
        else:
            yield statement


def _assignments(statement: ast.stmt) -> Iterator[tuple[ast.expr | None, ast.expr]]:
    """(target, value) pairs; the target is None where the value is only shown."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
        pairs = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)
        yield from zip(target.elts, value.elts) if pairs else [(target, value)]
    elif isinstance(statement, ast.AugAssign):
        left = ast.Name(statement.target.id) if isinstance(statement.target, ast.Name) else statement.target
        yield statement.target, ast.BinOp(left, statement.op, statement.value)
    elif isinstance(statement, (ast.Expr, ast.Return)) and statement.value is not None:
        shown = statement.value
        if isinstance(shown, ast.Call) and isinstance(shown.func, ast.Name) and shown.func.id == "print":
            yield from ((None, argument) for argument in shown.args)
        else:
            yield from ((None, part) for part in (shown.elts if isinstance(shown, ast.Tuple) else [shown]))


def _replaced(node: ast.expr, names: dict[str, float]) -> ast.expr | None:
    """The expression with numbers for names and calls; None where it holds anything else."""
    if isinstance(node, ast.Constant):
        return node if type(node.value) in (int, float) and abs(node.value) < _expressions.LARGEST else None
    if isinstance(node, ast.Name):
        return ast.Constant(names[node.id]) if node.id in names else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _replaced(node.operand, names)
        return None if inner is None else ast.UnaryOp(ast.USub(), inner)
    if isinstance(node, ast.BinOp):
        left, right = _replaced(node.left, names), _replaced(node.right, names)
        return None if left is None or right is None else ast.BinOp(left, node.op, right)
    if isinstance(node, ast.Call):
        return _called(node, names)
    return None


def _called(node: ast.Call, names: dict[str, float]) -> ast.expr | None:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    inner = _replaced(node.args[0], names) if name in _FUNCTIONS and len(node.args) in (1, 2) else None
    value = None if inner is None else _expressions.evaluate(inner)
    if value is None:
        return None
    if name != "round":
        return ast.Constant(float(_FUNCTIONS[name](value)))
    digits = _replaced(node.args[1], names) if len(node.args) == 2 else ast.Constant(0)
    fits = isinstance(digits, ast.Constant) and isinstance(digits.value, int) and abs(digits.value) < 20
    return ast.Constant(float(round(value, digits.value))) if fits else None
