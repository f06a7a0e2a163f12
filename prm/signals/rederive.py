"""Re-derivation: is a step's number what the engine's model finds when it is asked for that quantity by other routes?

A step of free text that says in words what it computes (prm/signals/_quantities.py) is turned into a question: the
problem, what the earlier steps came to, and a sentence with a gap in the number's place; neither the step's expression
nor its value. Routes (prm/signals/_prompts.py) put that question in different ways, each answered `samples` times:

    premises, method    always
    equation            where those two do not both lead to the step's number
    operands            then too, for steps that state operands but no arithmetic that can be read

Routes are witnesses that err independently, each right with chance p and otherwise at one of nine other numbers (naive
Bayes, as in prm/signals/_routes.py). With s_r(v) the share of route r's answers that equal v, and n routes heard,

    p = (8 + max_v sum_r s_r(v)) / (10 + n)                 Beta(8, 2): a policy worth asking is right 4 times in 5
    P(v) = softmax_v( log(9 p / (1 - p)) sum_r s_r(v) )
    value(step) = min over its quantities of P(the number stated),

the weight is P's largest minus its second largest, and numbers never named make up ten. Routes that disagree, so that
none of the numbers leads on more than half of them, mean abstaining.

A quantity abstains too where fewer than two routes were answered, and where the arithmetic stated is false: a
calculation shows that for nothing (KEY "calculation", another witness), what is asked here is whether the set-up is
right. A step abstains where it has no quantity, or an open one and none refuted. The earlier results are given, not
checked: a step that follows from a wrong earlier number is right given its premises, and only the step that first went
wrong is at fault.

What a model gets wrong whichever way it is asked, all routes confirm: they vary the wording and the method, not the
model. Unlike the small world's routes they cannot be kept from passing through the suspect computation, since from
words alone none knows which that is.

Questions that agree in the earlier results and in the words of the target are asked once a problem. Numbers are equal
as everywhere (prm.answers), and where one is the other rounded to the decimals it is written with. `provenance` says
how each quantity of a step fared.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from prm.answers.canonical import canonical, is_number
from prm.answers.extract import extract
from prm.progress import progress
from prm.records import Group, Problem, Sample, StepScores
from prm.signals import _prompts, _quantities
from prm.signals._quantities import Quantity
from prm.signals._routes import PRIOR_RIGHT, PRIOR_WRONG

KEY = "reask"
FIRST, FURTHER = ("premises", "method"), ("equation", "operands")
CHUNK = 128  # questions asked at a time, so that the bar moves
FEWEST = 2  # routes without which nothing is said
Verdict = tuple[float | None, float, str]  # value, weight, how it came about


@dataclass(frozen=True)
class Config:
    """samples: answers a route. max_tokens: of one answer. answer: whether the solution's final answer is asked for
    too, as a quantity of the last step."""

    samples: int = 2
    max_tokens: int = 512
    answer: bool = True

    def __post_init__(self):
        if self.samples < 1:
            raise ValueError(f"samples: {self.samples} is not positive; 2 to 4 are usual")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens: {self.max_tokens} is not positive; give room for a short derivation, 512")


@dataclass
class _Question:
    """What is asked of one quantity, and what came back: route -> the numbers it led to, answered or not."""

    problem: str
    quantity: Quantity
    stated: set[Fraction]
    answers: dict[str, list[Fraction]]

    def settled(self) -> bool:
        """Whether the first routes lead to the one number that was stated."""
        leaders = [_leader(self.answers[route]) for route in FIRST]
        return len(self.stated) == 1 and all(v is not None and _same(v, *self.stated) for v in leaders)


def label(groups: Sequence[Group], config: Config, context) -> list[StepScores]:
    """One StepScores a sample."""
    questions: dict[str, _Question] = {}
    rows = []
    for group in groups:
        for sample, steps, answer in zip(group.samples, group.steps, group.answers):
            final = answer.text if config.answer else ""
            read = _quantities.read(group.problem.text, steps.cut(sample.text), final)
            rows.append((sample, [[(q, _pose(group.problem, q, questions)) for q in step] for step in read]))
    _ask(questions, FIRST, config, context)
    _ask({name: q for name, q in questions.items() if not q.settled()}, FURTHER, config, context)
    return [_score(sample, steps, questions) for sample, steps in rows]


def _pose(problem: Problem, quantity: Quantity, questions: dict[str, _Question]) -> str:
    """The id of the question about this quantity, which is added to the others if it is new; "" if it is not asked."""
    if not quantity.target or quantity.holds is False:
        return ""
    about = [*quantity.keys, "", *sorted(_quantities.words(quantity.target))]
    name = f"rederive/{problem.id}/{hashlib.blake2b(repr(about).encode(), digest_size=6).hexdigest()}"
    asked = questions.setdefault(name, _Question(problem.text, quantity, set(), {}))
    asked.stated.add(Fraction(canonical(quantity.value)))
    return name


def _ask(questions: dict[str, _Question], routes: Sequence[str], config: Config, context) -> None:
    problems, of = [], {}
    for name, question in questions.items():
        for route in routes:
            if text := _prompt(name, question, route):
                problems.append(Problem(f"{name}/{route}", text))
                of[problems[-1].id] = (question, route)
                question.answers[route] = []
    if not problems:
        return
    sampling = replace(context.recipe.sampling, samples=config.samples, max_tokens=config.max_tokens)
    chunks = [problems[at : at + CHUNK] for at in range(0, len(problems), CHUNK)]
    for chunk in progress(chunks, what=f"re-deriving {len(questions)} quantities"):
        for sample in context.engine().sample(chunk, sampling):
            question, route = of[sample.problem_id]
            question.answers[route] += _number(sample)


def _prompt(name: str, question: _Question, route: str) -> str:
    """The route's prompt; "" where the quantity does not take this route."""
    quantity = question.quantity
    operands = sorted(set(quantity.operands))
    if route == "operands":
        if len(operands) < 2 or quantity.holds is not None:
            return ""
        random.Random(name).shuffle(operands)
    return _prompts.rederive(route, question.problem, quantity.facts, quantity.target, operands)


def _number(sample: Sample) -> list[Fraction]:
    """The number that an answer ends in, or none."""
    form = "" if sample.reason else canonical(extract(sample.text, "math"))
    return [Fraction(form)] if is_number(form) else []


def _score(sample: Sample, steps: list[list[tuple[Quantity, str]]], questions: dict[str, _Question]) -> StepScores:
    judged = []
    for step in steps:
        verdicts = [_verdict(quantity, questions.get(name)) for quantity, name in step]
        judged.append((*_worst([v[:2] for v in verdicts]), "; ".join(said for *_, said in verdicts)))
    values, weights, provenance = zip(*judged) if judged else ((), (), ())
    return StepScores(sample.problem_id, sample.index, "rederive", KEY, values, weights, provenance)


def _worst(verdicts: list[tuple[float | None, float]]) -> tuple[float | None, float]:
    """A step is as right as the worst of what it computes. One number refuted is enough to say it is wrong; to say that
    it is right, none may be open."""
    lowest = min((v for v in verdicts if v[0] is not None), default=(None, 0.0))
    return (None, 0.0) if lowest[0] is None or (lowest[0] >= 0.5 and (None, 0.0) in verdicts) else lowest


def _verdict(quantity: Quantity, question: _Question | None) -> Verdict:
    if question is None:
        return (
            None,
            0.0,
            f"{quantity.value}: not asked, {'arithmetic is false' if quantity.target else 'no words for it'}",
        )
    stated, heard = Fraction(canonical(quantity.value)), {r: a for r, a in question.answers.items() if a}
    said = f"{quantity.value}: " + ", ".join(
        f"{route} {sum(_same(v, stated) for v in answers)}/{len(answers)}"
        for route, answers in question.answers.items()
    )
    leaders = Counter(_nearest(leader, heard) for a in heard.values() if (leader := _leader(a)) is not None)
    if len(heard) < FEWEST or 2 * max(leaders.values(), default=0) <= len(heard):
        return None, 0.0, f"{said}, {'too few answers' if len(heard) < FEWEST else 'routes disagree'}"
    belief = pool(heard.values(), stated)
    first, second = sorted(belief, reverse=True)[:2]
    return belief[0], first - second, said


def pool(routes: Iterable[Sequence[Fraction]], stated: Fraction) -> list[float]:
    """P of `stated` first, then of every other number that a route led to, then of as many unnamed ones as make ten.

    routes: the numbers each route led to, at least one a route.
    """
    votes, heard = [[stated, 0.0]], 0
    for numbers in routes:
        heard += 1
        for number in numbers:
            home = next((vote for vote in votes if _same(vote[0], number)), None)
            if home is None:
                votes.append(home := [number, 0.0])
            home[1] += 1 / len(numbers)
    shares = [share for _, share in votes] + [0.0] * (10 - len(votes))
    p = (PRIOR_RIGHT + max(shares)) / (PRIOR_RIGHT + PRIOR_WRONG + heard)
    odds = [math.exp(math.log(9 * p / (1 - p)) * (share - max(shares))) for share in shares]
    return [o / sum(odds) for o in odds]


def _leader(numbers: Sequence[Fraction]) -> Fraction | None:
    """The number that most answers agree in; None where there is none or several are level."""
    counts = Counter(next(m for m in numbers if _same(m, n)) for n in numbers).most_common(2)
    return counts[0][0] if counts and (len(counts) == 1 or counts[0][1] > counts[1][1]) else None


def _nearest(number: Fraction, heard: dict[str, list[Fraction]]) -> Fraction:
    """One name for numbers that are the same."""
    return next(n for numbers in heard.values() for n in numbers if _same(n, number))


def _same(a: Fraction, b: Fraction) -> bool:
    """Equal, or one is the other rounded to the decimals (at least one, and within 1 %) that it is written with."""
    if a == b:
        return True
    places = min(_places(a), _places(b))
    return 1 <= places <= 6 and abs(a - b) <= min(Fraction(1, 2 * 10**places), max(abs(a), abs(b)) / 100)


def _places(number: Fraction) -> int:
    """Decimals of a number; 7 where it has more than six or never ends."""
    return next((k for k in range(7) if (number * 10**k).denominator == 1), 7)
