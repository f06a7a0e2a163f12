r"""The same story in a currency of which c buy one dollar: every "$N" becomes "$cN", the answer is c times as large.

Sound by dimensions: where all sums of money are written "$N" and the answer is a sum of money, it is a function
f(sums, counts) of the dimension money, and a change of the unit gives f(c sums, counts) = c f(sums, counts), whatever
f is. Only a sum that is not written so or a constant of the currency can break this, hence a text is left alone that
has LaTeX, names a currency, coins, notes or cents, rounds, compares with a threshold, has a number where a sum may be
meant, or does not plainly ask for money (a profit in percent is none).
"""

from __future__ import annotations

import re
from fractions import Fraction

_SUM = re.compile(r"\$\s?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![\d$]|,\d|\.\d)")
_ASKS_MONEY = re.compile(
    r"how much (?:more |less )?(?:money|change|profit)\b|"
    r"how much (?:more |less )?(?:does|do|did|will|would|has|have|is|was)\b[^.?!]*"
    r"\b(?:cost|pay|paid|spend|spent|earn|earned|owe)\b|"
    r"what (?:is|was|will be) the (?:total )?(?:cost|price|profit)\b",
    re.IGNORECASE,
)
_ASKS_RATIO = re.compile(
    r"%|\b(?:percent\w*|ratios?|fractions?|proportions?|portions?|times|margins?)\b", re.IGNORECASE
)
_CURRENCY = re.compile(
    r"\\|\d\s*\$|[€£¥¢]|\b(?:dollars?|cents?|coins?|quarters?|dimes?|nickels?|penn(?:y|ies)|bucks?|bills?|notes?|"
    r"euros?|pounds?|rupees?|yen|pesos?|pence|currency|round\w*|nearest|whole|at (?:least|most)|more than|less than|"
    r"minimum|maximum|exceed\w*|over|under|above|below|up to|afford|enough|hundreds?|thousands?|millions?|k|bonus|"
    r"tax(?:es)?)\b",
    re.IGNORECASE,
)
_UNMARKED = re.compile(
    r"\b(?:costs?|pay(?:s|ing)?|paid|spend(?:s|ing)?|spent|earn(?:s|ed|ing)?|worth|prices?|priced|"
    r"sav(?:e|es|ed|ing)|owes?|at|of|is|was)"
    r"(?: (?:at|of|is|was))?\s+\d|\bfor\s+[\d.]+\s+(?:each|apiece|per)\b",
    re.IGNORECASE,
)  # a number that could be a sum without its sign


def rescale(text: str, factor: int) -> tuple[str, int]:
    """(the text with every sum times `factor`, factor), or (the text, 1) where rescaling does not apply."""
    question = re.split(r"(?<=[.!?])\s+", text.strip())[-1]
    plain = len(_SUM.findall(text)) == text.count("$") > 0 and not (_CURRENCY.search(text) or _UNMARKED.search(text))
    asks_money = question.endswith("?") and _ASKS_MONEY.search(question) and not _ASKS_RATIO.search(question)
    if not plain or not asks_money:
        return text, 1
    return _SUM.sub(lambda m: _times(m, factor), text), factor


def _times(match: re.Match, factor: int) -> str:
    """Thousands commas and cents as they were written."""
    whole, cents = match.groups()
    value = Fraction(whole.replace(",", "") + (cents or "")) * factor
    places = 0 if value.denominator == 1 and cents != ".00" else len(cents) - 1
    return f"${float(value):{',' if ',' in whole else ''}.{places}f}"
