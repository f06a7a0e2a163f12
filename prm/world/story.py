"""Programs as English, solutions as English, and solutions back into what they assert.

    Mia has 7 shells. She finds 5 more. She loses 3. How many?

    Mia finds 5 more, so 7 + 5 = 2
    Then 2 - 3 = 9
    The answer is 9

Only the last digit is kept, everywhere in this world. A step is a line; it may hold one operation or two, in few words or many, whatever
its truth: neither its place nor its form tells right from wrong.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection

from prm.world.program import Program

PEOPLE = {"Mia": "She", "Ana": "She", "Zoe": "She", "Eva": "She", "Tom": "He", "Ben": "He", "Leo": "He", "Max": "He"}
THINGS = ("shells", "coins", "cards", "beads", "nuts", "keys")
PHRASES = {
    "+": ("finds {} more", "buys {} more", "gets {} more", "adds {}"),
    "-": ("loses {}", "sells {}", "gives away {}", "drops {}"),
    "*": ("makes {} times as many", "has {} times as many", "trades for {} times as many"),
}
HELD_OUT_PHRASES = ("adds {}", "drops {}", "trades for {} times as many")  # problems drawn with `seen` lack them
_EQUATION = re.compile(r"(\d) ([+\-*]) (\d) = (\d)")
_ANSWER = re.compile(r"The answer is (\d)")
_OPERATION = {re.sub(r"\\{\\}", r"(\\d)", re.escape(p)): op for op, phrases in PHRASES.items() for p in phrases}

Equation = tuple[int, str, int, int]


def tell(program: Program, rng: random.Random, leave_out: Collection[str] = ()) -> str:
    """The problem's text, in phrases other than those to leave out."""
    person = rng.choice(sorted(PEOPLE))
    sentences = [f"{person} has {program.start} {rng.choice(THINGS)}."]
    for op, right in program.operations:
        phrase = rng.choice([phrase for phrase in PHRASES[op] if phrase not in leave_out])
        sentences.append(f"{PEOPLE[person]} {phrase.format(right)}.")
    return " ".join([*sentences, "How many?"])


def read_problem(text: str) -> Program:
    """The program that a problem's text tells. ValueError where the text isn't of this world."""
    sentences = [s.strip() for s in text.split(".")]
    start = re.fullmatch(r"\w+ has (\d) \w+", sentences[0])
    if not start or sentences[-1] != "How many?":
        raise ValueError(f"not a problem of the small world: {text[:80]!r}")
    return Program(int(start[1]), tuple(_read_operation(s) for s in sentences[1:-1]))


def _read_operation(sentence: str) -> tuple[str, int]:
    for pattern, operator in _OPERATION.items():
        if match := re.fullmatch(rf"(?:She|He) {pattern}", sentence):
            return operator, int(match[1])
    raise ValueError(f"not an operation of the small world: {sentence!r}")


def solve(problem: str, equations: list[Equation], rng: random.Random) -> list[str]:
    """A solution's steps that assert the given equations, one or two a step, and the last one's result as the answer."""
    person = problem.split(" ", 1)[0]
    told = [s.strip().split(" ", 1)[1] for s in problem.split(".")[1:-1]]
    lines, at = [], 0
    while at < len(equations):
        take = 2 if at + 1 < len(equations) and rng.random() < 0.25 else 1
        lines.append(_line(person, told[at : at + take], equations[at : at + take], rng))
        at += take
    return [*lines, f"The answer is {equations[-1][3]}"]


def _line(person: str, told: list[str], equations: list[Equation], rng: random.Random) -> str:
    maths = " and ".join(f"{left} {op} {right} = {result}" for left, op, right, result in equations)
    form = rng.choice(("brief", "told", "long"))
    if form == "brief":
        return f"{rng.choice(('So', 'Then', 'Now'))} {maths}"
    if form == "told":
        return f"{person} {' and '.join(told)}, so {maths}"
    return f"Next {person} {' and then '.join(told)}. That makes {maths}"


def read_equations(step: str) -> list[Equation]:
    """What a step asserts: (left, operator, right, result) in order; empty for the answer's line."""
    return [(int(left), op, int(right), int(result)) for left, op, right, result in _EQUATION.findall(step)]


def read_answer(step: str) -> int | None:
    """The digit of "The answer is 9", or None where the step doesn't state one."""
    match = _ANSWER.search(step)
    return int(match[1]) if match else None
