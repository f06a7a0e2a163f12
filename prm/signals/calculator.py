r"""A calculator: does the arithmetic that a step states come out?

    "3 \times \$4 = \$12, and 12 + 5 = 18"    3 * 4 = 12 true, 12 + 5 = 18 false: the step is called wrong

Needs no sibling and no vote: an independence key of its own. The two verdicts weigh differently. A false equation is an
error wherever it stands, but reading prose can go wrong: value `false`, confidence 1. A true one says nothing of
whether it was the right thing to compute: value `true`, confidence `faint`. A step whose equations are unreadable, or
repeat earlier ones, abstains, so a carried error (right arithmetic on a wrong earlier value) is never charged here.

Where in doubt, no verdict. Judged is only `expression = number or expression` in plain numbers, whole on both sides
(no letters, powers, roots, factorials, mixed numbers or unbalanced brackets touch it), with these allowances:
integers under + - * must agree exactly; otherwise within one unit of the last decimal written, or 2 % (inputs may be
rounded; 5 % where the text says about or round); a percentage may be written as a share; the sign may be dropped (5 -
8 = 3); "3 * 4 = 12 + 5 = 17" is read as the running total it is; sums of unlike units (1 hour + 20 minutes), and
steps that speak of something false, wrong or not equal get no "false". The tolerances were set by what writers do,
before any labelled solution was scored with them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prm.records import Group, StepScores
from prm.signals import _assertions, _code, _expressions

KEY = "calculation"
TEXT_ONLY = True
_SYMBOLS = "0123456789.+-*/()% \t\n"
_WINDOW = 300  # characters on either side of an equals sign that are looked at
_EQUALS = re.compile(r"(?<![<>!:=~])=(?!=)")
_LAST_WORD = re.compile(r"([A-Za-z]+)\s*\Z")
_VARIABLE = re.compile(r"(?<![A-Za-z\\])(?![aI]\b|(?<=[\d)\s])[xX]\s*[\d($\\])[A-Za-z](?![A-Za-z])")
_NEXT_WORD = re.compile(r"\s*([A-Za-z]+)")
_JOINING = re.compile(
    "of|times|plus|minus|by|over|than|half|twice|double|triple|more|less|per|percent|mod|divided", re.IGNORECASE
)
_COUNTING = re.compile("mod|r|remainder|million|billion|thousand|hundred|dozen|k|th|st|nd|rd|pm|am", re.IGNORECASE)
_ROUGH = re.compile(r"≈|approx|about|round|nearest|roughly|almost|\\sim|\.\.\.|\\l?dots", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:not|false|wrong|incorrect|mistake|error|contradict\w*|impossible|instead|mod|modulo|base)\b|n't\b"
    r"|\\n(?:eq?|ot)\b|≠|\\[pb]?mod|≡|\\equiv",
    re.IGNORECASE,
)
_KINDS = """second seconds sec secs s, minute minutes min mins, hour hours hr hrs h, day days, week weeks, month months,
year years, am, pm, cent cents ¢, dollar dollars usd, penny pennies, nickel nickels, dime dimes, quarter
quarters, inch inches in, foot feet ft, yard yards, mile miles, mm millimeter millimeters, cm centimeter
centimeters, m meter meters metre metres, km kilometer kilometers, gram grams g, kg kilogram kilograms,
ounce ounces oz, pound pounds lb lbs, cup cups, pint pints, quart quarts, gallon gallons, ml milliliter
milliliters, liter liters litre litres l, dozen dozens, pair pairs"""
_UNITS = {unit: kind.split()[0] for kind in _KINDS.split(",") for unit in kind.split()}


@dataclass(frozen=True)
class Config:
    """false, true: belief in a step with a false equation, and in one whose equations are all true. faint: the
    confidence of the latter."""

    false: float = 0.05
    true: float = 0.6
    faint: float = 0.25

    def __post_init__(self):
        if not 0 <= self.false < 0.5 < self.true <= 1:
            raise ValueError(f"false: need 0 <= false < 0.5 < true <= 1, not {self.false} and {self.true}")
        if not 0 <= self.faint <= 1:
            raise ValueError(f"faint: {self.faint} is outside [0, 1]; 0 lets true equations say nothing")


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample. Linear in the texts' lengths."""
    return [
        _sample(sample.problem_id, sample.index, steps.cut(sample.text), config)
        for group in groups
        for sample, steps in zip(group.samples, group.steps)
    ]


def _sample(problem_id: str, index: int, steps: list[str], config: Config) -> StepScores:
    seen: set[str] = set()
    values, weights = [], []
    for step in steps:
        verdicts = [holds for spelled, holds in equations(step) if spelled not in seen and not seen.add(spelled)]
        values.append(config.false if False in verdicts else config.true if verdicts else None)
        weights.append(1.0 if False in verdicts else config.faint if verdicts else 0.0)
    values = [value if weight else None for value, weight in zip(values, weights)]
    return StepScores(problem_id, index, "calculator", KEY, tuple(values), tuple(weights))


def equations(text: str) -> Iterator[tuple[str, bool]]:
    """(the equation as read, whether it holds) of each one in a step that can be judged beyond doubt."""
    text = _code.without(text)
    rough, denied = bool(_ROUGH.search(text)), bool(_DENIED.search(text))
    for line in _lines(text):
        mixed = _unlike_units(line)
        plain = _assertions.plain(_VARIABLE.sub("\\\\var ", line))  # 2x is no 2
        for sign in _EQUALS.finditer(plain):
            left, right = (
                _left(plain[max(0, sign.start() - _WINDOW) : sign.start()]),
                _right(plain[sign.end() : sign.end() + _WINDOW]),
            )
            if not left or not right or not (_worked(left) or _worked(right)):
                continue
            holds = _holds(left, right, rough)
            if holds or (holds is False and not denied and not mixed):
                yield f"{left}={right}", holds


def _lines(text: str) -> list[str]:
    """Lines and rows of aligned formulas; a row that begins with = goes on with the one before it."""
    joined = re.sub(r"(?:\\\\|\n)(?:\s|\\\[|&){0,20}(?==)", " ", text)
    return re.split(r"\n|\\\\(?![a-zA-Z(\[])", joined)


def _left(before: str) -> str:
    """The whole expression that ends before an equals sign; "" if what touches it makes it part of something else."""
    rest = before.rstrip(_SYMBOLS)
    segment = before[len(rest) :]
    spelled = segment.strip()
    if word := _LAST_WORD.search(rest):
        touching = rest[-1:].isalpha() and segment[:1] not in (" ", "\n", "\t")
        mixed = word[1] == "and" and re.search(r"\d\s*and\s*\Z", rest)
        if (
            touching
            or mixed
            or _JOINING.fullmatch(word[1])
            or (len(word[1]) == 1 and word[1] not in "Ia")
            or "\\" in rest[-30:].split(" ")[-1]
        ):
            return ""
    elif rest.rstrip() and rest.rstrip()[-1] not in ":;,=[({.?!<>→":
        return ""
    if rest[-1:] == "," and rest[-2:-1].isdigit() and segment[:1].isdigit():
        return ""
    spelled = re.sub(r"^[-*]\s+", "", spelled) if not rest.strip() else spelled  # the bullet of a list
    return _whole(re.sub(r"^\.\s+", "", spelled))


def _right(after: str) -> str:
    """The whole expression after an equals sign, likewise."""
    rest = after.lstrip(_SYMBOLS)
    segment = after[: len(after) - len(rest)]
    spelled = re.sub(r"[.\s]+$", "", segment)
    if word := _NEXT_WORD.match(rest):
        touching = not word.group().startswith((" ", "\n")) and segment[-1:] not in (" ", "\n")
        if (touching and len(word[1]) < 2) or _COUNTING.fullmatch(word[1]):
            return ""
    elif rest[:1] and rest[:1] not in "=,;:]}?!<>\"'’→#|":
        return ""
    if re.match(r"[:,]\d", rest) or spelled.endswith(("+", "*", "/", "-")):
        return ""
    excess = spelled.count(")") - spelled.count("(")
    return _whole(spelled[:-excess].rstrip() if excess > 0 and spelled.endswith(")" * excess) else spelled)


def _whole(spelled: str) -> str:
    """`spelled` without spaces if it is one expression and nothing else."""
    if re.search(r"[\d.%)]\s+[\d.(]|[\d.)%]\(|\)[\d.]|\d\.\d*\.|%\d", spelled) or not re.search(r"\d", spelled):
        return ""
    spelled = re.sub(r"\s+", "", spelled)
    tree = _expressions.parse(spelled) if spelled.count("(") == spelled.count(")") else None
    return spelled if tree is not None and _expressions.evaluate(tree) is not None else ""


def _worked(spelled: str) -> bool:
    return bool(_expressions.parts(_expressions.parse(spelled)))


def _holds(left: str, right: str, rough: bool) -> bool | None:
    """Whether two expressions agree, as far as writers can be held to it; None in doubt."""
    trees = _expressions.parse(left), _expressions.parse(right)
    a, b = map(_expressions.evaluate, trees)
    exact = all(_exact(tree) for tree in trees) and "%" not in left + right
    if abs(a - b) < 1e-9 * max(1.0, abs(a)):
        return True
    if _worked(right) and _close(a, _leftmost(trees[1]), 0.0):
        return None  # a running total
    scales = (1.0, 100.0, 0.01) if "%" in left + right else (1.0,)
    if exact and abs(a) != abs(b):
        return False
    place, slack = _last_place(right), (0.05 if rough else 0.02) * abs(b)
    if any(
        abs(abs(a) * scale - abs(b)) < place * (1 - 1e-6) or _close(abs(a) * scale, abs(b), slack) for scale in scales
    ):
        return True if a * b > 0 and not exact else None
    if any(
        _close(abs(a) * scale, abs(b), 0.02 * abs(b)) for scale in (60.0, 1 / 60, 100.0, 0.01, 12.0, 1 / 12, 1e3, 1e-3)
    ):
        return None  # a change of units in passing
    return None if abs(a) == abs(b) or 0 in (a, b) and not exact else False


def _exact(tree: ast.expr) -> bool:
    """Integers under + - * only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and not isinstance(node.value, int) or isinstance(node, ast.Div):
            return False
    return True


def _leftmost(tree: ast.expr) -> float:
    while isinstance(tree, ast.BinOp):
        tree = tree.left
    value = _expressions.evaluate(tree)
    return float("inf") if value is None else value


def _close(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) <= tolerance + 1e-9 * max(1.0, abs(a))


def _last_place(spelled: str) -> float:
    """One unit of the last decimal written: what rounding or cutting off may change."""
    decimals = [len(d) for d in re.findall(r"\.(\d+)", spelled)]
    return 10.0 ** -max(decimals, default=0)


def _unlike_units(line: str) -> bool:
    """Whether two units stand in a line that could have been converted into each other."""
    words = re.findall(r"[a-z¢]+", re.sub(r"\\text|\\mathrm", " ", line.lower()))
    found = {_UNITS[word] for word in words if word in _UNITS}
    signs = {"¢" in line and "cent", "$" in re.sub(r"\\[()\[\]]|\$[^$]*\$", "", line) and "dollar"} - {False}
    return len(found | signs) > 1
