r"""What each step of a written solution computes: a number, and words for it that give neither it nor the sum away.

    "He eats 2 of them, so 12 - 2 = 10 apples are left."   target  "[?] apples are left"
                                                           value   "10"
                                                           operands 12, 2; the arithmetic holds
                                                           facts   what earlier sentences came to, "He has 12 apples."

A quantity can be asked for again (prm/signals/rederive.py) where the solution says in words what it is. Where all it
has is an expression, or words that spell the computation out ("subtract 2 from 12"), there is no target: asking would
show the route that is in doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prm.answers.canonical import canonical, is_number
from prm.signals import _assertions

GAP = "[?]"
_CALCULATED = re.compile(r"<<[^<>]*>>")
_IN_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox)\s*\{([^{}]*)\}")
_ANNOUNCED = re.compile(r":\s*\n\s*|(?<!\n)\n(?=[^A-Za-z]*(?:\n|$))")  # a formula below the words for it
_SENTENCE = re.compile(r"(?<=[a-z)\]%\d][.!?])\s+|\n+")
_VARIABLE = re.compile(r"(?<=[\d)}])(?!\s+[aAI]\b)\s*([A-Za-z])(?![A-Za-z])")  # 3x; marked, lest it be taken for a unit
_RUN = re.compile(r"[-+*/().\d%\s=]+")
_NUMBER = re.compile(r"(?<![\w.^_])(?:\d+(?:\.\d+)?|\.\d+)(?![\d^_]|\.\d)")
_CUT = tuple("+-*/)")  # what an expression begins with whose first operand is no number
_VALUE = re.compile(r"(-?(?:\d+(?:\.\d+)?|\.\d+))(%?)")
_CLAUSE = re.compile(r"[,;:]\s+|\s+(?:so|because|since|which|thus|hence|therefore)\s+", re.IGNORECASE)
_PURPOSE = re.compile(
    r"\b(?:find|calculate|compute|determine|figure|work)(?: out)?\s+((?:the|how|what|his|her|their|its)\b[^,.:;=\[]*)",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(r"\s*(?:so|thus|hence|therefore|this means|that means)\b[\s,]*", re.IGNORECASE)
_STATES = re.compile(
    r"\b(?:is|are|was|were|has|have|had|gets?|costs?|equals?|needs?|takes?|makes?|earns?|pays?|total of)\s+"
    r"(?:\w+\s+){0,2}$",
    re.IGNORECASE,
)
_SPELLED = re.compile(
    r"\b(?:add|subtract|multipl|divid|minus|plus|times|half|twice|doubl|tripl|quarters? of|thirds? of|sum of|"
    r"product of|difference|percent of|taking away|divis|combin|perform|bring|remainder|squar|cub(?:e|ing))|"
    r"[+*/=^\\<>|]|"
    r"(?<![\w'’])(?-i:[b-zB-HJ-Z])(?!\w)",
    re.IGNORECASE,
)
_EMPTY = set(
    re.findall(
        r"\w+",
        """
    the and for that this these those from with have has had was were are will would can get gets then thus hence
    therefore since because now finally first next step find calculate compute determine need needs total number
    amount answer result value equals equal gives give means which what how many much per each out all his her its
    their they she him let says know problem given
        """,
    )
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """target: a sentence with GAP in the number's place; "" where there are no words for it. value: the number as
    written. operands: the other numbers of its computation. holds: whether the arithmetic stated comes to the value,
    None where none is stated that can be read. facts: what came before it, with numbers in place, and `keys` theirs.
    """

    target: str
    value: str
    operands: tuple[str, ...]
    holds: bool | None
    facts: tuple[str, ...]
    keys: tuple[str, ...]


def read(problem: str, steps: Sequence[str], answer: str = "") -> list[list[Quantity]]:
    """The quantities of each step, in order; the last step also has the solution's answer, if that is a number."""
    seen = set(_assertions.known(problem))
    facts: list[tuple[str, str]] = []
    found: list[list[Quantity]] = []
    for step, following in zip(steps, [*steps[1:], ""]):
        here = []
        for target, value, operands, holds, said in _computed(step, following, seen):
            key = _assertions.key(float(value))
            here.append(Quantity(target, value, operands, holds, *_columns(facts)))
            facts += [(target.replace(GAP, value) or said, key)] if target or holds is not None else []
            seen.add(key)
        found.append(here)
    form = canonical(answer)
    if found and is_number(form):
        found[-1].append(Quantity(f"The answer to the problem's question is {GAP}.", form, (), None, *_columns(facts)))
    return found


def words(target: str) -> frozenset[str]:
    """What a target speaks of: its words but for those that any target may have, in lower case without a plural s."""
    return frozenset(w.rstrip("s") for w in re.findall(r"[a-z]{3,}", target.lower()) if w not in _EMPTY)


def _columns(facts: list[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(text for text, _ in facts), tuple(key for _, key in facts)


def _computed(
    step: str, following: str, seen: set[str]
) -> Iterator[tuple[str, str, tuple[str, ...], bool | None, str]]:
    """(target, value, operands, holds, what to say of it where there is no target) of each computation of a step, and
    of each number that is the only new one of a sentence."""
    sentences = _sentences(step)
    pieces = [_pieces(sentence) for sentence in sentences]
    whole = step if sum(map(len, pieces)) == 1 else ""
    concluding = [s for s in _sentences(following)[:1] if _CONCLUDES.match(s)]
    for at, sentence in enumerate(sentences):
        if not pieces[at] and (new := _lone_number(sentence, seen)):
            told = [_gapped(sentence[: new.start()], sentence[new.end() :])]
            yield _target(told, new.group()), new.group(), (), None, ""
        for before, run, after in pieces[at]:
            *parts, last = run.split("=")
            value, percent = _VALUE.fullmatch(last.strip(" ().")).groups()
            operands = tuple(_NUMBER.findall(" ".join(parts)))
            if not operands and _assertions.key(float(value)) in seen:
                continue  # says again what was said
            told = [*_purposes(before), _gapped(before, percent + after)]
            told += [t for s in sentences[at + 1 : at + 3] + concluding if (t := _restated(s, value))] + _purposes(
                whole
            )
            yield _target(told, value), value, operands, _holds(parts, value, percent), run.strip(" ;().")


def _sentences(step: str) -> list[str]:
    text = re.sub(r"\\\\|\\\]", " ; ", _CALCULATED.sub("", step))  # formulas, and lines of one, end there
    text = _VARIABLE.sub(r"_\1", _IN_TEXT.sub(r" \1 ", text))
    text = _assertions.plain(_ANNOUNCED.sub(lambda m: ": " if ":" in m.group() else " ; ", text))
    return [s for s in _SENTENCE.split(text) if s.strip()]


def _pieces(sentence: str) -> list[tuple[str, str, str]]:
    """(words before, computation, words after) of each "... = number"; the words between two go to where a comma or an
    "and" parts them."""
    runs = [m for m in _RUN.finditer(sentence) if "=" in m.group() and _VALUE.fullmatch(_end(m.group()))]
    runs = [m for m in runs if not _is_equation(sentence, m)]
    pieces, before = [], sentence[: runs[0].start()] if runs else ""
    for run, following in zip(runs, [*runs[1:], None]):
        between = sentence[run.end() : following.start() if following else len(sentence)]
        after, before_next = between, ""
        if following:
            after, _, before_next = (re.split(r"(,|;|\.|\band\b)", between, maxsplit=1) + ["", ""])[:3]
        pieces.append((before, run.group(), after))
        before = before_next
    return pieces


def _is_equation(sentence: str, run: re.Match) -> bool:
    """Whether the number only equals a formula with a letter, 8r + 10 = 42, or is a factor of one, 42 = 8r."""
    first, *others = run.group().split("=")
    lettered = (
        re.search(r"_[A-Za-z]$|[-+*/^]\s*[A-Za-z]$", sentence[: run.start()].rstrip()) or first.strip()[:1] in _CUT
    )
    return sentence[run.end() :].startswith(("_", "^")) or (bool(lettered) and len(others) == 1)


def _end(run: str) -> str:
    return run.rsplit("=", 1)[1].strip(" ().")


def _lone_number(sentence: str, seen: set[str]) -> re.Match | None:
    """The only number of the sentence that nothing before has, where a verb states it."""
    new = [m for m in _NUMBER.finditer(sentence) if _assertions.key(float(m.group())) not in seen]
    stated = len(new) == 1 and "=" not in sentence and _STATES.search(sentence[: new[0].start()])
    return new[0] if stated else None


def _holds(parts: list[str], value: str, percent: str) -> bool | None:
    """Whether every expression with an operator comes to the value, rounded as it was written."""
    trees = [_assertions.parse(part) for part in parts if re.search(r"[\d)]\s*[-+*/]", part)]
    if parts[0].strip()[:1] in _CUT:  # its left operand is a word or a letter
        trees = [_assertions.parse(part) for part in parts[1:] if re.search(r"[\d)]\s*[-+*/]", part)]
    results = [tree and _assertions.evaluate(tree) for tree in trees]
    if not results or None in results:
        return None
    unit = 10.0 ** -len(value.partition(".")[2])
    wanted = [float(value), float(value) / 100] if percent else [float(value)]
    return all(any(abs(result - w) <= 0.51 * unit for w in wanted) for result in results)


def _target(told: list[str], value: str) -> str:
    """The first of the sentences, its clause with the gap before the whole of it, that says in words what the number
    is, not how it comes about, and not the number."""
    for sentence in told:
        clause = next(part for part in _CLAUSE.split(sentence) if GAP in part)
        for said in (clause, sentence):
            if len(words(said)) >= 2 and not _SPELLED.search(said) and not _mentions(said, value):
                return _CONCLUDES.sub("", said.strip(" -;"))
    return ""


def _gapped(before: str, after: str) -> str:
    text = f"{before.strip(' ;={')} {GAP}{after if after.startswith('%') else ' ' + after.strip(' .:;=}')}"
    return re.sub(r"\s+", " ", text).strip(" .:")


def _purposes(text: str) -> list[str]:
    """ "To find the number of stripes, we ..." -> "the number of stripes: [?]"; the last one first."""
    return [f"{said.split(' we ')[0].strip()}: {GAP}" for said in reversed(_PURPOSE.findall(text))]


def _restated(sentence: str, value: str) -> str:
    """A sentence that states the value without computing, with the gap in its place; "" for any other."""
    places = _mentions(sentence, value)
    if len(places) != 1 or "=" in sentence or float(value) < 0:
        return ""
    return _gapped(sentence[: places[0].start()], sentence[places[0].end() :]).replace("{", "").replace("}", "")


def _mentions(text: str, value: str) -> list[re.Match]:
    key = _assertions.key(float(value))
    return [m for m in _NUMBER.finditer(text) if _assertions.key(float(m.group())) == key]
