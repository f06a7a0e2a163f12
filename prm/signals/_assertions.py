r"""What a step of a written solution asserts that another solution could confirm: numbers and results of computations,
in prose, LaTeX or Python code.

    "So 3 \times \$4 = \$12"    numbers 3, 4, 12; result 12
    "\frac{1}{2} of 10 = 5"      numbers 1, 2, 10, 5; computed 0.5

Numbers are keys, not floats: spellings of one value ("1,200.00", "1200") share a key, decimals agree after rounding.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from prm.signals import _code
from prm.signals._expressions import evaluate, key, leaves, parse, parts

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
_TIMES_X = re.compile(r"(?<=\d)(?:[ ]+[A-Za-z]{2,20}){0,3}\s*\b[xX]\s*(?=\d)|(?<=\d)[xX](?=\d)")  # 4 weeks x 25
_PER_UNIT = re.compile(r"/\s*[A-Za-z]+")
_NO_UNIT = "is|are|was|were|and|or|so|then|we|I|get|have|has|had|which|that|equals?|gives?|of|than"
_WORD = rf"(?!(?:{_NO_UNIT})\b)[A-Za-z][A-Za-z']{{0,20}}\b"
_UNITS = re.compile(
    rf"(?<=[\d)%])[ ]*(?:\([A-Za-z][^()=\d]{{0,40}}\)|{_WORD}(?:[ ]+{_WORD}){{0,3}}(?![(\\]))[ ]*(?=[-+*/=)])"
)
_LITERAL = r"\d+(?:\.\d+)?%?|\.\d+%?"
_EXPRESSION = re.compile(
    # brackets are bounded: a model that loops on one would make each start look to the end of the text
    rf"(?<![\w.^_\\])\({{0,9}}-?(?:{_LITERAL})\){{0,9}}(?:\s*[-+*/]\s*\({{0,9}}-?(?:{_LITERAL})(?![a-zA-Z^_\\({{])\){{0,9}})*"
)
_NUMBER = re.compile(rf"(?<![\w.^_])(?:{_LITERAL})")
_WORDS = {
    w: i
    for i, w in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
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


@dataclass(frozen=True, slots=True)
class Assertions:
    """numbers: keys of all numbers written. results: keys of what an equation with arithmetic on its left states on
    its right, or code computes. computed: keys of what the arithmetic comes to, every bracket and partial sum of it
    included. routes: the same with the numbers it came from, in no order: "12=3,4" for 3 * 4 and 4 * 3."""

    numbers: frozenset[str]
    results: frozenset[str]
    computed: frozenset[str]
    routes: frozenset[str]


def read_solution(steps: Sequence[str]) -> list[Assertions]:
    """The assertions of each step; Python code (in a fence) goes on with the names that earlier code set."""
    names: dict[str, float] = {}
    return [read(step, names) for step in steps]


def read(text: str, names: dict[str, float] | None = None) -> Assertions:
    """The assertions of one step (or of a whole text). Linear in its length."""
    results, routes = set(), set()
    for tree in _code.trees(text, {} if names is None else names):
        routes |= _routes(tree)
        results.add(key(evaluate(tree)))
    line = plain(_code.without(text))
    left_end = -1  # where the last expression with arithmetic ended
    for match in _EXPRESSION.finditer(line):
        tree = parse(match.group())
        if tree is None:
            continue
        joined = left_end >= 0 and line[left_end : match.start()].strip() == "="
        steps = _routes(tree)
        routes |= steps
        value = evaluate(tree)
        if joined and value is not None:
            results.add(key(value))
        if steps or joined:
            left_end = match.end()
    numbers = {key(float(n.rstrip("%"))) for n in _NUMBER.findall(line)}
    computed = {route.partition("=")[0] for route in routes}
    return Assertions(frozenset(numbers), frozenset(results), frozenset(computed), frozenset(routes))


def _routes(tree: ast.expr) -> set[str]:
    """What each operation of a tree comes to, and from which numbers."""
    found = ((part, evaluate(part)) for part in parts(tree))
    return {f"{key(value)}={','.join(sorted(map(key, leaves(part))))}" for part, value in found if value is not None}


def known(problem: str) -> frozenset[str]:
    """Keys of the numbers a problem states, in digits, as percentages or in words: whoever repeats them asserts
    nothing."""
    found = read(problem)
    words = {key(float(_WORDS[w])) for w in re.findall(r"[a-z]+", problem.lower()) if w in _WORDS}
    shares = {key(float(p) / 100) for p in re.findall(r"(\d+(?:\.\d+)?)\s*\\?%", problem)}
    return found.numbers | words | shares | {"0", "1", "100"}


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
