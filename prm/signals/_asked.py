r"""Does an answer have the form that the question asks for? By the question's words alone.

    "... Express your answer as a common fraction."      14(\sqrt{2} - 1), 7: no      14/3: yes
    "What is the probability that ..."                   3/2, k/4: no                 1/4: yes
    "How many ways ..."                                  -2, 5/2, \sqrt{3}: no        12: yes

Each rule reads what those who set such problems write when they mean it. The exceptions in them were found on the
training splits of GSM8K and MATH, whose answers are public and in no pool that is reported on. "not whole" leans on a
habit of those who write word problems, not on the question's words. A question to which no rule applies accuses nobody.
"""

from __future__ import annotations

import re

from prm.answers.canonical import canonical, is_number
from prm.answers.numeric import value

_LETTER = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])")
_CONTINUOUS = (
    r"square|cubic|units?|hours?|minutes?|seconds?|days?|weeks?|months?|years?|miles?|feet|foot|inch(?:es)?|yards?|"
    r"meters?|"
    r"centimeters?|kilometers?|pounds?|ounces?|grams?|kilograms?|tons?|gallons?|liters?|cups?|quarts?|pints?|percent|"
    r"degrees|dollars?|cents?|times|much|radians|more|fewer|less"
)

_GIVE = r"(?:find|compute|determine|give|enter|as|is|what|write)(?: \w+){0,4}"


def misfit(question: str, answer: str) -> str:
    """Why the answer is not what the question asks for; "" where nothing speaks against it."""
    form = canonical(answer)
    if not form:
        return ""
    asked = " ".join(re.sub(r"\[asy\].*?\[/asy\]", " ", question, flags=re.DOTALL).lower().split())
    if any(form.count(a) > form.count(b) for a, b in ("{}", "}{")):
        return "a bracket is left open"
    for applies, fits, why in _RULES:
        if re.search(applies, asked) and not fits(form, asked):
            return why
    return ""


def _whole(form: str) -> bool:
    return form.isdecimal()


def _counted(form: str, asked: str) -> bool:
    """A count is a whole number; a formula is let pass where the question has letters for it or asks for some form."""
    return (
        _whole(form)
        or bool(re.search(r"in terms of|express|nearest|average|\$[a-z]\$", asked))
        and not form.startswith("-")
    )


def _round(form: str, asked: str) -> bool:
    """Word problems whose numbers are all whole come out whole; that is how they are made. Formulas and decimals in the
    question lift the rule."""
    worded = not re.search(
        r"\\|\$[a-z(]|\d\$|\d\.\d|average|probability|ratio|fraction|nearest|decimal|percent|%", asked
    )
    return not worded or not is_number(form) or _whole(form)


def _chance(form: str, asked: str) -> bool:
    if _LETTER.search(form):
        return "in terms of" in asked
    found = value(form)
    return found is None or (len(found) == 1 and abs(found[0].imag) < 1e-9 and -1e-9 <= found[0].real <= 1 + 1e-9)


def _digits_of_base(form: str, asked: str) -> bool:
    base = re.search(r"(?:answer|result|sum|product|difference|quotient|number) in base[ $]*(\d{1,4})", asked)
    return not base or int(base.group(1)) > 10 or not form.isdecimal() or all(int(d) < int(base.group(1)) for d in form)


def _real(form: str) -> float | None:
    """The value of a form that is one real number without letters; None for anything else."""
    found = None if _LETTER.search(form) else value(form)
    return found[0].real if found and len(found) == 1 and abs(found[0].imag) < 1e-9 else None


def _not_below_zero(form: str, asked: str) -> bool:
    found = _real(form)
    return found is None or found > -1e-9


def _own_letters(form: str, asked: str) -> bool:
    """A formula speaks of what the question speaks of."""
    if re.search(r"\benter|\bletters?\b|\bgraph|\boption", asked):
        return True
    return all(
        letter.lower() in "eixyzcn" or re.search(rf"(?<![a-z]){letter.lower()}(?![a-z])", asked)
        for letter in _LETTER.findall(form)
    )


_FRACTION = r"as an? (?:simplified |reduced )?(?:common|improper|simplified|reduced) fraction"
_MEASURE = (
    r"area|volume|length|perimeter|circumference|radius|diameter|distance|height|width|probability|degree measure"
)
_WHOLE_NUMBER = rf"(?:{_GIVE}|which|what) (?:smallest|greatest|largest|least|positive|whole|prime|non-?negative)"
_CHANCE = r"(?:what is|find|compute|determine) the probability|what is the \w+ probability"
_RULES = (
    (
        rf"{_FRACTION}(?!s)(?!.{{0,40}}(?:in terms|what|sum|compute|find))(?!.{{0,40}}\\pi)",
        lambda form, asked: (
            "/" in form and is_number(form) or "frac" in form and bool(re.search(r"\\pi|radical|sqrt", asked))
        ),
        "not a fraction",
    ),
    (r"how (?:many|much|long|far|old)\b", _round, "not whole"),
    (r"answer in interval notation|using interval notation", lambda form, asked: form[0] in "([{\\", "not an interval"),
    (r"answer in terms of \$?\\pi", lambda form, asked: "\\pi" in form or form == "0", "not in terms of pi"),
    (
        rf"^(?!.*percent).*(?:{_CHANCE})(?!.*what number)",
        lambda form, asked: _chance(form, asked) or "relatively prime" in asked,
        "no probability",
    ),
    (rf"how many (?!(?:\w+ )?(?:{_CONTINUOUS})\b)", _counted, "no count"),
    (rf"^(?!.*probability|.*average).*{_GIVE} number of (?!(?:{_CONTINUOUS})\b)", _counted, "no count"),
    (
        rf"^(?!.*probability|.*average|.*value).*{_WHOLE_NUMBER} (?:\w+ )?(?:integer|whole number|prime)(?!s)",
        lambda form, asked: not is_number(form) or re.fullmatch(r"-?\d+", form) is not None,
        "no integer",
    ),
    (
        rf"(?:what is|find|compute|determine|what was|what will be) the (?:\w+ ){{0,2}}(?:{_MEASURE})\b",
        _not_below_zero,
        "below zero",
    ),
    (
        r"^(?!.*probability|.*how|.*sum|.*product).*(?:tens|units|ones|hundreds|thousands) digit of",
        lambda form, asked: not is_number(form) or form.isdecimal() and len(form) == 1,
        "no digit",
    ),
    (
        r"(?:answer|result|sum|product|difference|quotient|number) in base[ $]*\d",
        _digits_of_base,
        "not in the base asked for",
    ),
    (
        r"relatively prime positive integers.*(?:find|what is|compute|determine)",
        lambda form, asked: _whole(form),
        "no integer",
    ),
    (
        r"remainder (?:when|obtained|if)[^.?]* (?:is divided by|by) \$?\d+\$?[.?]",
        lambda form, asked: not is_number(form) or _whole(form),
        "no remainder",
    ),
    (
        rf"^(?!.*how many).*{_GIVE} ordered pair(?!s)",
        lambda form, asked: form.count(",") == 1 or "," not in form and "=" in form,
        "no pair",
    ),
    (rf"^(?!.*how many).*{_GIVE} ordered triple(?!s)", lambda form, asked: form.count(",") == 2, "no triple"),
    (r"degree measure|in degrees|how many degrees", lambda form, asked: "\\pi" not in form, "not in degrees"),
    (
        r"polynomial in \$?([a-z])|answer in terms of \$?([a-z])\$?[ .,]",
        lambda form, asked: bool(_LETTER.search(form)) or "constant" in asked,
        "no formula",
    ),
    (
        r"nearest (?:whole|integer|hundred|thousand|cent|tenth|hundredth)",
        lambda form, asked: is_number(form) or not re.search(r"sqrt|pi", form),
        "not rounded",
    ),
    (r"", _own_letters, "a letter that the question does not have"),
)
