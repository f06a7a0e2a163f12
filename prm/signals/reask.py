"""Re-asking by another route: is a step's result what the policy itself says when the same quantity is asked differently?

For each fact q = (operator, left, right) that a step asserts, routes to q (prm/world/routes.py) are put to the policy as new problems, one after
another until its answers settle the digit (prm/signals/_routes.py has the model). With P_q(d) the belief in digit d,

    value(step) = min over its facts of P_q(asserted digit),    weight = the largest P_q minus the second largest

The vote over the original question plays no part, so a misconception that all samples share is still outvoted by routes that don't meet it: an
independence key of its own. The answer's line is right where it repeats the last result (weight 1). Steps that assert nothing checkable
abstain; so does a fact that fewer than `fewest` routes answered, or whose routes do not agree (`agree`).

Provenance says of each fact how many routes were heard, how many answers met the computation in doubt and what it cost; `report` adds it up and
warns where routes are none. Only problems of the small world can be re-posed by these routes; for free text see `rederive`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from prm.records import Group, Problem, Sample, StepScores
from prm.signals._routes import Inquiry, inquire
from prm.world.facts import Fact
from prm.world.routes import containing_routes, routes
from prm.world.story import read_answer, read_equations

KEY = "reask"
VERSION = 3
MANY = 0.05  # of all answers: more that meet the computation in doubt are worth a warning
_TOLD = re.compile(r"(\d[-+*]\d)=\d: (\d+) routes of (\d+) answers, (\d+) met it, (\d+) tokens")
_Verdict = tuple[float | None, float]


@dataclass(frozen=True)
class Config:
    """first, most: answers asked for before stopping early, and at most. certain: the belief that stops it. agree: a fact whose
    likeliest digit is believed less is left unjudged. fewest: so is one with fewer routes heard. max_tokens: of one answer.

    For controls: only so many `routes` a fact; the share `suspect` of facts is asked by routes that contain the computation in doubt;
    without `guard` answers that meet it count as witnesses.
    """

    first: int = 3
    most: int = 24
    certain: float = 0.999
    agree: float = 0.9
    fewest: int = 3
    max_tokens: int = 96
    routes: int | None = None
    suspect: float = 0.0
    guard: bool = True

    def __post_init__(self):
        if not 1 <= self.first <= self.most:
            raise ValueError(f"first: {self.first} must be at least 1 and at most `most` ({self.most})")
        for name in ("certain", "agree", "suspect"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is outside [0, 1]")
        for name in ("fewest", "max_tokens", "routes"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive")


def label(groups: Sequence[Group], config: Config, context) -> list[StepScores]:
    """One StepScores a sample. Each fact is asked once a run, whichever shard meets it first: its answers depend on its name alone."""
    known: dict[Fact, Inquiry] = context.cached(("reask", config), dict)
    texts = [(sample, steps.cut(sample.text)) for group in groups for sample, steps in zip(group.samples, group.steps)]
    new = {fact for _, steps in texts for step in steps for fact, _ in _claims(step)} - known.keys()
    known.update(_ask(sorted(new), config, context))
    judged = {fact: _Judged(one, config) for fact, one in known.items()}
    return [_score(sample, steps, judged) for sample, steps in texts]


def report(rows: Iterable[StepScores]) -> dict:
    """facts: how many were asked; answers, tokens: spent on them; met: share of answers that met the computation in doubt; tokens_apart: what
    it would cost were nothing shared between problems; warnings."""
    facts: dict[str, tuple[int, ...]] = {}
    apart: dict[tuple[str, str], int] = {}
    for row in rows:
        for told in row.provenance:
            for fact, *numbers in _TOLD.findall(told):
                facts[fact] = tuple(map(int, numbers))
                apart[row.problem_id, fact] = int(numbers[-1])
    answers = sum(asked for _, asked, _, _ in facts.values())
    met = sum(met for *_, met, _ in facts.values()) / answers if answers else 0.0
    warnings = []
    if met > MANY:
        warnings.append(
            f"{met:.0%} of the re-asked answers contain the computation in doubt: these routes are no other witness; use routes without it"
        )
    if facts and max(heard for heard, *_ in facts.values()) < 3:
        warnings.append("no fact was heard by three routes: too few to outvote one that errs; add routes")
    tokens = sum(tokens for *_, tokens in facts.values())
    return {
        "facts": len(facts),
        "answers": answers,
        "tokens": tokens,
        "met": met,
        "tokens_apart": sum(apart.values()),
        "warnings": warnings,
    }


def _claims(step: str) -> list[tuple[Fact, int]]:
    """The facts that a step asserts, with the digits it gives them."""
    return [((op, left, right), result) for left, op, right, result in read_equations(step)]


def _ask(facts: list[Fact], config: Config, context) -> dict[Fact, Inquiry]:
    sampling = replace(context.recipe.sampling, samples=1, max_tokens=config.max_tokens)

    def sample(problems: list[Problem]) -> list[Sample]:
        return context.engine().sample(problems, sampling)

    asked = {fact: _routes(fact, config) for fact in facts}
    return inquire(asked, sample, config.first, config.most, config.certain, config.guard)


def _routes(fact: Fact, config: Config):
    """A fact's routes in an order of its own, so that the first few are of every kind."""
    rng = random.Random(f"routes/{fact}")
    suspect = rng.random() < config.suspect
    made = containing_routes(fact) if suspect else routes(fact)
    return rng.sample(made, len(made))[: config.routes]


class _Judged:
    """A fact's belief, or none; and how it came about, in words."""

    def __init__(self, one: Inquiry, config: Config):
        belief, heard = one.belief(), len(one.answers)
        settled = heard >= max(1, min(config.fewest, config.routes or config.fewest)) and max(belief) >= config.agree
        self.belief = belief if settled else None
        operator, left, right = one.fact
        self.name = f"{left}{operator}{right}"
        self.told = f"{heard} routes of {one.asked} answers, {one.met} met it, {one.tokens} tokens"

    def verdict(self, digit: int) -> _Verdict:
        if self.belief is None:
            return None, 0.0
        first, second = sorted(self.belief, reverse=True)[:2]
        return self.belief[digit], first - second

    def words(self, digit: int) -> str:
        return f"{self.name}={digit}: {self.told}"


def _score(sample: Sample, steps: list[str], judged: dict[Fact, _Judged]) -> StepScores:
    verdicts, told, last = [], [], None
    for step in steps:
        claims, answer = _claims(step), read_answer(step)
        last = claims[-1][1] if claims else last
        copied = [(float(answer == last), 1.0)] if answer is not None and last is not None else []
        verdicts.append(_worst([judged[fact].verdict(digit) for fact, digit in claims] + copied))
        told.append("; ".join(judged[fact].words(digit) for fact, digit in claims))
    values, weights = zip(*verdicts) if verdicts else ((), ())
    return StepScores(sample.problem_id, sample.index, "reask", KEY, values, weights, tuple(told))


def _worst(verdicts: list[_Verdict]) -> _Verdict:
    """(value, weight) of a step from those of what it asserts; it abstains with the first that does."""
    return min(verdicts, key=lambda v: (v[0] is not None, v), default=(None, 0.0))
