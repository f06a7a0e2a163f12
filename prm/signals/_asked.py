r"""Does an answer have the form that the question asks for? By the question's words alone.

    "... Express your answer as a common fraction."      14(\sqrt{2} - 1), 7: no      14/3: yes
    "What is the probability that ..."                   3/2, k/4: no                 1/4: yes
    "How many ways ..."                                  -2, 5/2, \sqrt{3}: no        12: yes

Each rule reads what those who set such problems write when they mean it; none was fitted. A question in which no rule
applies accuses nobody.
"""

from __future__ import annotations

import re

from prm.answers.canonical import canonical, is_number
from prm.answers.numeric import value

_LETTER = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])")
_CONTINUOUS = (
    r"square|cubic|units?|hours?|minutes?|seconds?|days?|weeks?|months?|years?|miles?|feet|foot|inch(?:es)?|yards?|meters?|"
    r"centimeters?|kilometers?|pounds?|ounces?|grams?|kilograms?|tons?|gallons?|liters?|cups?|quarts?|pints?|percent|"
    r"degrees|dollars?|cents?|times|much|radians|more|fewer|less"
)

_GIVE = r"(?:find|compute|determine|give|enter|as|is|what|write)(?: \w+){0,4}"


def misfit(question: str, answer: str) -> str:
    """Why the answer is not what the question asks for; "" where nothing speaks against it."""
    form = canonical(answer)
    if not form:
        return ""
    asked = question.lower()
    if any(form.count(a) > form.count(b) for a, b in ("{}", "}{")):
        return "a bracket is left open"
    for applies, fits, why in _RULES:
        if re.search(applies, asked) and not fits(form, asked):
            return why
    return ""


def _whole(form: str) -> bool:
    return form.isdigit()


def _counted(form: str, asked: str) -> bool:
    """A count is a whole number; a formula is let pass where the question has letters to give it in, or asks for some form."""
    return (
        _whole(form)
        or bool(re.search(r"in terms of|express|nearest|average|\$[a-z]\$", asked))
        and not form.startswith("-")
    )


def _chance(form: str, asked: str) -> bool:
    if _LETTER.search(form):
        return "in terms of" in asked
    found = value(form)
    return found is None or (len(found) == 1 and abs(found[0].imag) < 1e-9 and -1e-9 <= found[0].real <= 1 + 1e-9)


def _digits_of_base(form: str, asked: str) -> bool:
    base = re.search(r"(?:answer|result|sum|product|difference|quotient|number) in base[ $]*(\d+)", asked)
    return not base or int(base.group(1)) > 10 or not form.isdigit() or all(int(d) < int(base.group(1)) for d in form)


_RULES = (
    (
        r"(?:as|is|be) an? (?:simplified |reduced )?(?:common|improper|simplified|reduced) fraction(?!s)(?!.{0,20}in terms)",
        lambda form, asked: "/" in form and is_number(form) or "frac" in form and ("pi" in asked or "radical" in asked),
        "not a fraction",
    ),
    (
        r"answer in interval notation|using interval notation",
        lambda form, asked: form[0] in "([{\\",
        "not an interval",
    ),
    (r"answer in terms of \$?\\pi", lambda form, asked: "\\pi" in form or form == "0", "not in terms of pi"),
    (
        r"(?:what is|find|compute|determine) the probability|probability that [^.?]*\?",
        lambda form, asked: _chance(form, asked) or "probability is" in asked or "relatively prime" in asked,
        "no probability",
    ),
    (
        rf"how many (?!(?:\w+ )?(?:{_CONTINUOUS})\b)",
        _counted,
        "no count",
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
        r"(?:find|what is|compute|determine) the remainder",
        lambda form, asked: not is_number(form) or _whole(form),
        "no remainder",
    ),
    (rf"{_GIVE} ordered pair(?!s)", lambda form, asked: form.count(",") == 1, "no pair"),
    (rf"{_GIVE} ordered triple(?!s)", lambda form, asked: form.count(",") == 2, "no triple"),
    (r"degree measure|in degrees|how many degrees", lambda form, asked: "\\pi" not in form, "not in degrees"),
)
