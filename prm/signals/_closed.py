r"""Equations between closed expressions, as a solution states them, and whether they hold.

    "Total: \[ 19 + 8 + 16 + 8 = 41 \]"                               19+8+16+8 is 51: does not hold
    "\(\left(\frac{1 + i\sqrt3}{2}\right)^9 = \omega^9 = 1\)"         closed members of one chain compared: -1, not 1
    "x + 5 = 10"                                                     not closed: an equation to solve says nothing

Only what is certain to be read right is returned: an expression stands alone between signs of equality, formula ends or
words, its brackets close, and `prm.answers.numeric` can evaluate it. Rounded values, units that are converted, mixed
numbers, remainders and congruences are let pass, and so are running totals (3 * 4 = 12 + 5 = 17), a difference without
its sign (5 - 8 = 3) and whatever is false in a step that speaks of something false. Python code is not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from prm.answers.numeric import value
from prm.signals import _code

_SIGNS = {
    **{sign: "*" for sign in ("\\times", "\\cdot", "×", "·")},
    **{sign: "/" for sign in ("\\div", "÷")},
    **{sign: "-" for sign in ("−", "–")},
    **{sign: "\\frac" for sign in ("\\dfrac", "\\tfrac", "\\cfrac")},
    **{
        sign: " "
        for sign in ("\\left", "\\right", "\\,", "\\;", "\\:", "\\ ", "\\qquad", "\\quad", "\\displaystyle", "\\boxed")
    },
    **{sign: "" for sign in ("\\$", "€", "£", "**", "\\!")},
    "{,}": ",",
    "\\%": "%",
}
_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|textit|mbox|operatorname)\s*\{([^{}]*)\}(?:\^\{?[23]\}?)?")
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)")
_NEXT_LINE = re.compile(r"\\\\\s*(?:\[[^\]]*\])?\s*&?\s*=|&\s*=|\n\s*=")
_BREAK = re.compile(r"\\\\|&|\\(?:begin|end)\{\w+\*?\}")
_EQUALS = re.compile(r"(?<![<>!\\=:])=(?!=)")
_OTHER = re.compile(
    r"\bmod\b|\\[pb]?mod|\\equiv|\bremainder|\\neq?(?![a-zA-Z])|\bbase\b|approx|≈|\bround|\bestimat|\bsuppose|\bassum"
)
_DENIED = re.compile(  # a step in which something false may be said on purpose
    r"\b(?:false|wrong|incorrect\w*|mistake\w*|error|contradict\w*|impossible)\b|\\not(?![a-z])|≠"
    r"|(?:\bnot|n't)\s+(?:\w+\s+)?(?:equal|true|correct|right|hold|satisf|possible|match|valid|consistent|work)",
    re.IGNORECASE,
)
_JOINING = re.compile(  # words that make a number a part of what they say: 1/3 of 12 + 4
    r"\b(?:of|times|plus|minus|by|over|than|half|twice|double|triple|more|less|per|percent|divided)\s*$", re.IGNORECASE
)
_LISTED = re.compile(r"^\s*(?:\d{1,3}\.\s+|[-*]\s+)(?=\S)")  # the number or bullet of a list
_ATOM = (
    r"(?:\\(?:frac|sqrt|pi|sin|cos|tan)(?![a-zA-Z])|(?<![a-zA-Z])(?:i(?![a-zA-Z])|e(?=\s*\^))"
    r"|[-+*/^(){}\[\]%°\d.]|[^\S\n])"
)
_RUN = re.compile(_ATOM + "+")
_UNIT = re.compile(r"(?<=[\d)}%])\s*(?:/\s*)?[A-Za-z]{3,}\.?(?:\s+[A-Za-z]{2,}){0,3}(?=\s*[-+*/)=]|\s*$)")
_WORK = re.compile(r"[*/^]|\\(?:frac|sqrt|sin|cos|tan)|(?<=[\d)}%\s])\s*[-+]\s*[\d(\\]|\d\s*\(|\)\s*\(")
_END = "¦"  # where a formula ends


@dataclass(frozen=True, slots=True)
class Equation:
    """left has something to work out in it; holds: whether it comes to what right does."""

    left: str
    right: str
    holds: bool

    @property
    def spelled(self) -> tuple[str, str]:
        """Both sides without spaces."""
        return "".join(self.left.split()), "".join(self.right.split())


@lru_cache(maxsize=65536)
def equations(text: str) -> tuple[Equation, ...]:
    """The equations of one step (or of a whole text) that can be worked out, in order. Linear in the text's length."""
    found, text = [], _code.without(text)
    for line in re.split(r"\n+|(?<=[a-z)])[.,;]\s|\bor\b|\band\b", _plain(text)):
        if "=" in line and len(line) < 2000 and not _OTHER.search(line):
            found += _chain(_EQUALS.split(_LISTED.sub("", line)))
    denied = any(not equation.holds for equation in found) and _DENIED.search(text)
    return tuple(equation for equation in found if equation.holds or not denied)


def _chain(sides: list[str]) -> list[Equation]:
    found = []
    lefts, rights = [_left(side) for side in sides], [_right(side) for side in sides]
    for i, left in enumerate(lefts[:-1]):
        if left is None or not _WORK.search(left[0].lstrip(" -")):
            continue
        for j in range(i + 1, min(len(sides), i + 4)):
            if rights[j] is not None:
                holds = None if _converts(left, rights[j]) else _equal(left[0], rights[j][0])
                found += [Equation(left[0], rights[j][0], holds)] if holds is not None else []
                break
            if _END in sides[j] or re.search(r"[A-Za-z]{3,}", re.sub(r"\\[a-zA-Z]+", "", sides[j])):
                break  # words: another sentence's equation begins
    return found


def _plain(text: str) -> str:
    text = _BREAK.sub("\n", _NEXT_LINE.sub("=", text))
    for sign, by in _SIGNS.items():
        text = text.replace(sign, by)
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?|\\degree", "°", text)
    text = re.sub(r"\\\(|\\\[|\$\$", "\n", re.sub(r"\\\)|\\\]", f" {_END} ", text)).replace("$", " ")
    text = _TEXT.sub(lambda m: " " if re.search(r"[\d()+*/=-]", m.group(1)) else f" {m.group(1)} ", text)
    text = _THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)
    text = re.sub(r"%\s*of\s+(?=[\d(])", "% * ", text)
    return re.sub(r"(?<=\d)\s*[xX]\s+(?=[\d(])", " * ", text)


def _left(side: str) -> tuple[str, tuple[str, ...]] | None:
    """(the expression that ends the side, its units); None where what stands before it could belong to it."""
    side = side.replace(_END, " ").rstrip()
    body = _UNIT.sub(" ", side)
    match = next((run for run in _RUN.finditer(body) if run.end() == len(body)), None)
    form = match.group().strip() if match else ""
    before = body[: match.start()] if match else ""
    apart = not before or (
        re.search(r"(?:(?<!\\)\b[A-Za-z]{2,}|[:;,.'\"])\s*$", before)
        and not before[-1].isalpha()
        or (before[-1:].isalpha() and match.group()[0].isspace() and re.search(r"(?<![\\A-Za-z])[A-Za-z]{2,}$", before))
    )
    apart = apart and not _JOINING.search(before) and not re.search(r"\d,$", before)  # 3,5 is no 5
    if not form or not apart or form[0] in "+*/^)}" or (form[0] == "-" and before):
        return None
    return form, tuple(u.strip().lower() for u in _UNIT.findall(side))


def _right(side: str) -> tuple[str, str] | None:
    """(the expression that begins the side, the word behind it); None where what follows could belong to it."""
    match = _RUN.match(side)
    form = match.group().strip().rstrip(".").rstrip() if match else ""
    after = side[match.end() :] if match else ""
    ends = (
        not after
        or after[0] in _END + ".,;:!?'\""
        or (re.match(r"[A-Za-z]{2,}", after) and match.group()[-1].isspace())
    )
    if not form or not ends or form[-1] in "-+*/^({":
        return None
    word = re.match(rf"[\s{_END}]*([A-Za-z]+)", after)
    return form, word.group(1).lower() if word else ""


def _converts(left: tuple[str, tuple[str, ...]], right: tuple[str, str]) -> bool:
    """Feet and inches added, or half an hour in minutes: true, though the numbers differ."""
    (form, units), (_, word) = left, right
    if len({u.rstrip("s") for u in units}) > 1 and re.search(r"[-+]", form):
        return True
    plain = re.fullmatch(r"[\d./\s{}]*|\\frac\{\d+\}\{\d+\}", form)
    return bool(plain and units and word and all(word.rstrip("s") not in unit for unit in units))


def _equal(left: str, right: str) -> bool | None:
    """Whether two expressions come to the same, as far as the right one was rounded; None where one has no value."""
    x, y = _value(left), _value(right)
    if x is None or y is None or abs(x) > 1e12:
        return None
    gap, tolerance = abs(x - y), 1e-6 * max(1.0, abs(x), abs(y))
    if "." in left + right:
        tolerance = max(tolerance, 1e-3 * abs(x))  # operands may have been rounded before
    if digits := re.fullmatch(r"-?\s*\d*\.?(\d*)", right):
        unit = 10.0 ** -min(12, len(digits.group(1)))
        tolerance = max(tolerance, unit if abs(x - round(x.real / unit) * unit) > 1e-9 else 0.0)
    percent = "%" in left + right and min(abs(100 * x - y), abs(x - 100 * y)) <= 100 * tolerance
    if gap <= tolerance or percent:
        return True
    return None if _otherwise_meant(left, right, x, y) else False


def _otherwise_meant(left: str, right: str, x: complex, y: complex) -> bool:
    """Ways of writing that are false to the letter: a running total, a difference without its sign, a number of the
    prose before a negative one (3 countries: 3 -48)."""
    start = re.match(r"(-?\d+\.?\d*)\s*[-+*/]", right)
    if start and abs(x - float(start.group(1))) <= 1e-6 * max(1.0, abs(x)):
        return True
    unsigned = re.fullmatch(r"\d+\.?\d*\s*-\s*\d+\.?\d*", left) and abs(x + y) <= 1e-6 * max(1.0, abs(x))
    return bool(unsigned or re.search(r"\d\s+-\d", left))


@lru_cache(maxsize=65536)
def _value(form: str) -> complex | None:
    form = re.sub(r"(\d+\.?\d*|\.\d+)\s*%", r"(\1/100)", form)
    turns = re.search(r"\\(?:sin|cos|tan)", form)
    if turns and "°" not in form and "\\pi" not in form:
        return None
    form = re.sub(r"(\d+\.?\d*)\s*°", r"(\1*\\pi/180)" if turns else r"\1", form)
    if re.search(r"[%°]|\d\s*\\frac|\d\s+[\d.]", form):  # a mixed number, or two numbers side by side
        return None
    form = re.sub(r"\s+", "", form)
    form = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", re.sub(r"\\sqrt(\d)", r"\\sqrt{\1}", form))
    values = value(form) if 0 < len(form) <= 200 else None
    return values[0] if values is not None and len(values) == 1 else None
