r"""One spelling for answers that differ in typography only: \dfrac12 = \frac{1}{2} = 1/2 = 0.5 -> "1/2"; $1,200.00 ->
"1200".

A percent sign, a degree sign and a unit are dropped, as graders of GSM8K and MATH do. Everything here is string work
in linear time: nothing is evaluated but fractions and decimals of at most 40 digits.
"""

from __future__ import annotations

import re
from fractions import Fraction

_SPACES = re.compile(r"(?<!\\)\\[,;:! ]|\\q?quad\b|~|\\hspace\{[^{}]*\}")
_WRAPPED = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}(?:\^\{?[23]\}?)?"
)
_NOISE = re.compile(
    r"\\(?:left|right|bigl?|bigr|Bigl?|Bigr|displaystyle|boxed)(?![a-zA-Z])"
    r"|\^\s*\{?\s*\\circ\s*\}?|\\degree|°|\\?%|\\?\$|[€£¥₹]|\\[()\[\]]|(?<!\\)\\(?=\d)"  # "\15": the $ got lost
)
_BARE_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)|\\frac\s*(\d)\s*\{|\\frac\s*\{([^{}]*)\}\s*(\d)")
_QUANTITY = r"-?(?:[\d.,/]+|\d*\\frac\{\d+\}\{\d+\}|[\d.]*\\pi|[\d.]*\\sqrt\{\d+\})"
_UNIT = re.compile(
    rf"^({_QUANTITY})\s+(?!(?:and|or|plus|minus|times|to|point|mod)\b)[a-zA-Z](?:[a-zA-Z ./²³-]|\^\{{?[23]\}}?)+$"
)
_LABEL = re.compile(r"^(?:[A-Za-z][A-Za-z ]+[:=]|=)\s*(?=[-\d.\\])")  # "Total cost = 5"
_DIGITS = "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_MORE = r"and|or|to|half|halves|quarters?|\w+(?:ird|th)s?|hundred|thousand|million|point"  # the number goes on
_WORD_NUMBER = re.compile(rf"^({_DIGITS})(?: (?!(?:{_MORE})\b)[a-z]+){{0,2}}$")
_RELATED = re.compile(
    r"\b(?:greater|less|more|fewer|larger|smaller|most|least|above|below|except|multiples?|mod|by|and|or|[b-zB-Z])\b"
)
_ASSIGNED = re.compile(r"^[a-zA-Z](?:_?\{?\w\}?)?(?:\([a-zA-Z]\))?\s*=\s*([^=]+)$")
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)")
_FRACTION = re.compile(r"^(-?)(\d*)\\frac\{(-?\d+)\}\{(\d+)\}$|^(-?)\(?(-?\d+)\)?/\(?(\d+)\)?$")
_DECIMAL = re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)$")
_PLAIN = re.compile(r"^-?\d+(?:/0*[1-9]\d*)?$")
_TOWER = re.compile(r"\^[^+\-*,]{0,12}\^|\^\{?-?\d{4,}|!\s*!|\d{40,}|\d{4,}!")
_NOT_VALUE = re.compile(r":|\\(?:cup|infty|triangle|angle|overline|begin|in)(?![a-zA-Z])|/0+$|^[(\[][^()\[\]]*,")
LONGEST = 200


def canonical(answer: str) -> str:
    """The canonical form; "" for an answer with nothing in it. Rational numbers become "p/q" or "p" in lowest terms."""
    text = answer.strip().strip("*").strip()[:2000]
    text = (
        text.replace("{,}", ",")
        .replace("\\!", "")
        .replace("−", "-")
        .replace("\\dfrac", "\\frac")
        .replace("\\tfrac", "\\frac")
        .replace("\\cfrac", "\\frac")
    )
    text = _NOISE.sub("", _SPACES.sub(" ", text)).strip()
    text = re.sub(r"(?<=\d)(?:\^?\{?\s*(?:\\text\{)?(?:st|nd|rd|th)\b\}*)", " ", text)  # 12th, 12^{\text{th}}
    text = _unwrapped(text).strip(" ;:,").rstrip(".")
    if assigned := _ASSIGNED.match(text):
        text = assigned.group(1).strip()
    text = _LABEL.sub("", text)
    if unit := _UNIT.match(text):
        text = unit.group(1)
    if not text.startswith(("(", "[", "{", "\\{")):
        text = _THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)
    if re.fullmatch(r"[A-Za-z][A-Za-z' -]+", text):
        words = " ".join(text.lower().split())
        spelled = _WORD_NUMBER.match(words)
        return str(_DIGITS.split("|").index(spelled[1])) if spelled else words
    text = _said(text)
    text = re.sub(r"\s+", "", _BARE_FRACTION.sub(_braced, text))
    text = re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)
    text = re.sub(r"^(-?\d+)_\{?\d+\}?$", r"\1", text)  # a number's base: the siblings of one problem share it
    if re.fullmatch(r"\([A-Za-z]\)", text):
        return text[1]
    return _number(text)


def is_number(form: str) -> bool:
    """Whether a canonical form is a plain rational number, as `Fraction` takes it: 1/0 is none."""
    return bool(_PLAIN.match(form))


def needs_algebra(a: str, b: str) -> bool:
    """Whether two canonical forms could be equal without being the same: not two numbers, no words, nothing that would
    explode."""
    if (
        a == b
        or (is_number(a) and is_number(b))
        or any(is_number(f) and _NOT_VALUE.search(g) for f, g in ((a, b), (b, a)))
    ):
        return False
    return all(len(f) <= LONGEST and not _is_word(f) and not _TOWER.search(f) for f in (a, b))


def _is_word(form: str) -> bool:
    return " " in form or bool(re.fullmatch(r"[a-z]{2,}|[A-Za-z]", form)) and form not in ("pi", "e", "i")


def _unwrapped(text: str) -> str:
    r"""\text{...}: a joining word becomes a comma, a lone text its content, a unit nothing."""
    text = re.sub(r"\\(?:text|mbox)\s*\{\s*(?:and|or)\s*,?\s*\}", ",", text)
    without = _WRAPPED.sub("", text)
    return without if re.search(r"[\w]", re.sub(r"[\^_]\{?\d?\}?", "", without)) else _WRAPPED.sub(r"\1", text)


def _said(text: str) -> str:
    """The number of a sentence of words with a single one, "Adam loses 16"; else the text."""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
    words = re.fullmatch(r"[\w\s.,'-]+", text) and len(re.findall(r"[A-Za-z]{2,}", text)) >= 2
    alone = len(numbers) == 1 and not re.search(r"\d[A-Za-z]", text) and not _RELATED.search(text.lower())
    return numbers[0] if words and alone else text


def _braced(match: re.Match) -> str:
    top, bottom, open_top, braced_top, last = match.groups()
    if top:
        return rf"\frac{{{top}}}{{{bottom}}}"
    return rf"\frac{{{open_top}}}{{" if open_top else rf"\frac{{{braced_top}}}{{{last}}}"


def _number(text: str) -> str:
    if len(text) > 40:
        return text
    if _DECIMAL.match(text):
        return str(Fraction(text))
    if match := _FRACTION.match(text):
        sign, whole, top, bottom, sign2, top2, bottom2 = match.groups()
        top, bottom = top or top2, bottom or bottom2
        if int(bottom):
            value = int(whole or 0) + Fraction(int(top), int(bottom))
            return str(-value if sign or sign2 else value)
    return text
