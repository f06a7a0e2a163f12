"""Every prompt that a signal puts to an engine, in one place to read. Written for instruct models (an engine with
`chat: true`); how answers and verdicts are read back stands beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MISSING = """\
Problem:
{problem}
{facts}
In the following line one number is missing; its place is marked [?]:
{target}

{route}
Write your reasoning briefly, then end with one line: Answer: NUMBER"""

_FACTS = """
Take these results as given, even where you would have found others:
{facts}
"""

# Route -> its instruction. No route shows the expression or the value in doubt.
ROUTES = {
    "premises": "Work out the number at [?] from the problem{given}.",
    "method": (
        "Work out the number at [?] from the problem{given}, by another method than the one that comes to mind first: "
        "for instance backwards, in smaller parts, or by counting."
    ),
    "equation": (
        "Call the number at [?] x. Say in an equation what the problem{given} tell of x, solve it, and put the "
        "solution back in as a check."
    ),
    "operands": (
        "The numbers needed for [?] are these, in no particular order: {operands}. Decide from the problem how they "
        "belong together, and work out the number at [?]."
    ),
}

_COMPARE = """\
Problem:
{problem}
{begun}
{what} A:
<<<
{a}
>>>

{what} B:
<<<
{b}
>>>

{question} Check every computation and every claim of both. Neither length, style nor order matters.
Write your reasoning briefly, then end with one line: Verdict: A or Verdict: B"""

_VERDICT = re.compile(
    r"verdict\W{0,6}(?:(?:is|solution|step)\W{1,3}){0,3}(?-i:([AB]))\W*$", re.IGNORECASE | re.MULTILINE
)


def rederive(route: str, problem: str, facts: Sequence[str], target: str, operands: Sequence[str]) -> str:
    """Asks for the number at the gap of `target`. facts: earlier results, taken as given."""
    given = " and the results above" if facts else ""
    shown = _FACTS.replace("{facts}", "\n".join(f"- {fact}" for fact in facts)) if facts else ""
    asked = ROUTES[route].replace("{given}", given).replace("{operands}", ", ".join(operands))
    return _filled(_MISSING, {"route": asked, "facts": shown, "target": target, "problem": problem})


def compare(problem: str, begun: str, a: str, b: str) -> str:
    """Which of two solutions is right or nearer to it; with `begun`, which of two next steps after it."""
    shown = f"\nA solution begins:\n<<<\n{begun.strip()}\n>>>\n" if begun else ""
    what, question = ("Next step", "Which next step is correct") if begun else ("Solution", "Which solution is correct")
    question += "? If both are or neither is, which is the better founded?"
    texts = {"what": what, "question": question, "begun": shown, "a": a.strip(), "b": b.strip(), "problem": problem}
    return _filled(_COMPARE, texts)


def verdict(text: str) -> str:
    """ "A" or "B" from the last line that ends in a verdict; "" where none does."""
    found = _VERDICT.findall(text)
    return found[-1] if found else ""


def _filled(template: str, texts: dict[str, str]) -> str:
    """All places at once: braces in a problem's TeX are no places."""
    return re.sub(r"\{(\w+)\}", lambda m: texts[m[1]] if m[1] in texts else m[0], template)
