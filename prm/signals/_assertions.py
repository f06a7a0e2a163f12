r"""What a step of a written solution asserts that another solution could confirm: numbers, results of computations,
short formulas.

    "So 3 \times \$4 = \$12"    numbers 3, 4, 12; result 12
    "\frac{1}{2} x = 5"         numbers 1, 2, 5; computed 0.5

Numbers are keys, not floats: spellings of one value ("1,200.00", "1200") share a key, decimals agree after rounding.
"""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass

from prm.answers.canonical import canonical

_MARKER = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*)?(?:\*\*)?(?:Step[ \t]+\d{1,3}\b[:.]?|\d{1,3}[.)](?=[ \t*]))", re.MULTILINE | re.IGNORECASE
)
_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s*\{[^{}]*\}")
_FRAC = re.compile(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_SHORT_FRAC = re.compile(r"\\[dtc]?frac\s*(\d)\s*(\d)")
_SIGNS = (
    ("\\times", "*"),
    ("\\cdot", "*"),
    ("×", "*"),
    ("·", "*"),
    ("\\div", "/"),
    ("÷", "/"),
    ("−", "-"),
    ("–", "-"),
    ("{,}", ","),
    ("\\%", "%"),
    ("\\approx", "="),
    ("≈", "="),
    ("\\$", ""),
    ("$", " "),
    ("\\left", ""),
    ("\\right", ""),
    ("\\,", ""),
    ("\\!", ""),
    ("**", " "),
    ("€", ""),
    ("£", ""),
    ("\\(", " "),
    ("\\)", " "),
    ("\\[", " "),
    ("\\]", " "),
    ("\\boxed", " "),
    ("&", " "),
)
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)")
_TIMES_X = re.compile(r"(?<=\d)\s*[xX]\s*(?=\d)")
_PER_UNIT = re.compile(r"/\s*[A-Za-z]+")
_UNITS = re.compile(
    r"(?<=[\d)%])[ ]*(?:\([A-Za-z][^()=\d]{0,40}\)|[A-Za-z][A-Za-z' ]{1,40}(?![\w(\\]))[ ]*(?=[-+*/=)])"
)
_LITERAL = r"\d+(?:\.\d+)?%?|\.\d+%?"
_EXPRESSION = re.compile(
    rf"(?<![\w.^_\\])\(*-?(?:{_LITERAL})\)*(?:\s*[-+*/]\s*\(*-?(?:{_LITERAL})(?![a-zA-Z^_\\({{])\)*)*"
)
_NUMBER = re.compile(rf"(?<![\w.^_])(?:{_LITERAL})")
_FORMULA = re.compile(
    r"\\\((.{1,120}?)\\\)|(?<![\\$])\$([^$\n]{1,120})\$|\\\[(.{1,400}?)\\\]|\$\$(.{1,400}?)\$\$", re.DOTALL
)
_RELATION = re.compile(r"(?<![<>!\\])=|\\(?:approx|implies|Rightarrow|iff|equiv|leq?|geq?)(?![a-zA-Z])|\\\\")
_WORDS = {w: i for i, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())}
_WORDS |= {
    "twice": 2,
    "double": 2,
    "doubled": 2,
    "half": 0.5,
    "thrice": 3,
    "triple": 3,
    "tripled": 3,
    "dozen": 12,
    "quarter": 0.25,
    "twenty": 20,
    "thirty": 30,
    "pair": 2,
    "couple": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "once": 1,
    "first": 1,
    "second": 2,
}
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
LONGEST_FORMULA = 40


@dataclass(frozen=True, slots=True)
class Assertions:
    """numbers: keys of all numbers written. results: keys of what an equation with arithmetic on its left states on
    its right. computed: keys of what the arithmetic comes to, every bracket and partial sum of it included. formulas:
    canonical short formulas with a letter."""

    numbers: frozenset[str]
    results: frozenset[str]
    computed: frozenset[str]
    formulas: frozenset[str]


def read(text: str) -> Assertions:
    """The assertions of one step (or of a whole text). Linear in its length."""
    line = plain(text)
    results, computed = set(), set()
    left_end = -1  # where the last expression with arithmetic ended
    for match in _EXPRESSION.finditer(line):
        tree = parse(match.group())
        if tree is None:
            continue
        joined = left_end >= 0 and line[left_end : match.start()].strip() == "="
        values = [v for v in map(evaluate, _parts(tree)) if v is not None]
        computed.update(key(v) for v in values)
        value = evaluate(tree)
        if joined and value is not None:
            results.add(key(value))
        if values or joined:
            left_end = match.end()
    numbers = {key(float(n.rstrip("%"))) for n in _NUMBER.findall(line)}
    return Assertions(frozenset(numbers), frozenset(results), frozenset(computed), frozenset(_formulas(text)))


def known(problem: str) -> frozenset[str]:
    """Keys of the numbers a problem states, in digits, as percentages or in words: whoever repeats them asserts
    nothing."""
    found = read(problem)
    words = {key(float(_WORDS[w])) for w in re.findall(r"[a-z]+", problem.lower()) if w in _WORDS}
    shares = {key(float(p) / 100) for p in re.findall(r"(\d+(?:\.\d+)?)\s*\\?%", problem)}
    return found.numbers | words | shares | {"0", "1", "100"}


def key(value: float) -> str:
    """Equal for spellings of one value; decimals after rounding to what people write. The sign is left out: 2 - (-4)
    and -4 - 2 are one difference to those who go on with it."""
    value = abs(value)
    if abs(value - round(value)) < 1e-9 and abs(value) < 1e15:
        return str(round(value))
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}" if abs(value) < 1e6 else f"{value:.6g}"


def plain(text: str) -> str:
    """The text with arithmetic spelled 3*4=12: no markers of steps, LaTeX, currency, units or thousands commas."""
    line = _MARKER.sub(" ", text)
    for sign, by in _SIGNS:
        line = line.replace(sign, by)
    line = _SHORT_FRAC.sub(r"(\1)/(\2)", _TEXT.sub(" ", line))
    for _ in range(3):
        line = _FRAC.sub(r"(\1)/(\2)", line)
    line = _THOUSANDS.sub(lambda m: m.group().replace(",", ""), line)
    return _UNITS.sub(" ", _PER_UNIT.sub("", _TIMES_X.sub("*", line)))


def parse(expression: str) -> ast.expr | None:
    """The tree of an expression of + - * / over numbers; None for anything else. Brackets left open at either end are
    dropped."""
    spelled = re.sub(r"(\d+(?:\.\d+)?|\.\d+)%", r"(\1/100)", re.sub(r"\s+", "", expression))
    excess = spelled.count("(") - spelled.count(")")
    spelled = spelled[excess:] if excess > 0 and spelled.startswith("(" * excess) else spelled
    spelled = spelled[:excess] if excess < 0 and spelled.endswith(")" * -excess) else spelled
    if len(spelled) > 200:
        return None
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
        missing = left is None or right is None or (isinstance(node.op, ast.Div) and right == 0)
        value = None if missing else _OPERATORS[type(node.op)](left, right)
    else:
        return None
    return value if value is not None and abs(value) < 1e15 else None


def _parts(tree: ast.expr) -> list[ast.expr]:
    """Every operation in the tree."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]


def _formulas(text: str) -> set[str]:
    found = set()
    for match in _FORMULA.finditer(text):
        formula = next(g for g in match.groups() if g)
        sides = _RELATION.split(formula)
        for side in (*sides, *(["=".join(sides[:2])] if len(sides) == 2 else [])):
            form = canonical(side) if 0 < len(side) <= 3 * LONGEST_FORMULA else ""
            if 2 < len(form) <= LONGEST_FORMULA and re.search(r"[a-zA-Z]", form) and re.search(r"[\d^+*/\\-]", form):
                found.add(form)
    return found
