"""Pairwise step consistency: do the sibling solutions confirm what a step newly asserts, and where did those siblings
end?

For sample s, an assertion a (a number, the result of a computation, a short formula; prm/signals/_assertions.py) is
new in a step when neither the problem nor an earlier step of s has it. The siblings j are the other samples of the
problem whose text differs from s's. With

    w_j = copies_j ** -1/2 where j's answer could be read, else 0     copies of one text are not independent witnesses
    q_j = votes of j's answer / votes of the leading answer           without s's own vote; q_s likewise for s's answer
    g = sum w_j q_j,  b = sum w_j (1 - q_j)                           holders of a that went on well, and badly
    beta = sum_j w_j q_j / sum_j w_j                                  over all siblings: how many go on well anyway

a sibling that holds a right assertion goes on well with chance beta, one that holds a wrong one with chance leak *
beta, hence

    logit support(a) = logit p_s + temper * (g log(1 / leak) + b log((1 - beta) / (1 - leak beta)))
    p_s = low + (high - low) q_s

and a step's value is the smallest support among its new assertions. What no sibling holds has support p_s, so another
route is forgiven to a solution that ends where the others end; what all hold is confirmed even where the votes are
split. temper < 1: siblings of one policy are correlated witnesses. Arithmetic that is not written out and (if asked
for) formulas count only where some sibling holds them: notation differs, their absence says nothing. The answer is
asserted too, with support q_s, in the last step that states it anew or as a result (else in the last step). A step
that asserts nothing new abstains. confidence = the leading answer's share of the votes times n / (n + 2) for n
siblings (in w).

Where no sibling's answer can be read (proofs), all q_j are 1 and q_s is 1/4: support is then plain occurrence. Derived
from the vote, so the independence key is "vote". Grew from a simpler question (does a new number occur in the
siblings?); asking *where the holders ended* is what Monte-Carlo step values do (Math-Shepherd, arXiv 2312.08935), with
siblings that pass through the same value in the place of rollouts.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prm.answers.canonical import canonical, is_number
from prm.records import Group, StepScores
from prm.signals import _assertions
from prm.signals._assertions import Assertions

KEY = "vote"
TEXT_ONLY = True
Token = tuple[str, str]  # what kind of assertion, and its key


@dataclass(frozen=True)
class Config:
    """low, high: support of what no sibling holds, where the sample's own answer has no votes and where it leads.
    leak: how likely, next to one with a right assertion, a sibling with a wrong one still ends well. temper: how much
    of a witness each sibling is. formulas: whether they count too; off, since they moved first errors too early on
    solutions written by others than the siblings' policy (PRMBench)."""

    low: float = 0.1
    high: float = 0.9
    leak: float = 0.2
    temper: float = 0.5
    formulas: bool = False

    def __post_init__(self):
        if not 0 < self.low <= self.high < 1:
            raise ValueError(f"low: need 0 < low <= high < 1, not low {self.low} and high {self.high}")
        if not 0 < self.leak < 1:
            raise ValueError(f"leak: {self.leak} is outside (0, 1); 0.2 is usual")
        if not 0 < self.temper <= 1:
            raise ValueError(f"temper: {self.temper} is outside (0, 1]; 1 takes siblings as independent")


@dataclass(frozen=True)
class _Jury:
    """The siblings of one sample: each one's weight w and standing q by its place in the group, and the sample's own
    standing."""

    weights: Mapping[int, float]
    standings: Mapping[int, float]
    own: float
    confidence: float

    def support(self, held_by: set[int], config: Config) -> tuple[float, float]:
        """(support of an assertion, weight of the siblings that hold it)."""
        held = self.weights.keys() & held_by
        weight = sum(self.weights[j] for j in held)
        good = sum(self.weights[j] * self.standings[j] for j in held)
        beta = min(0.95, sum(w * self.standings[j] for j, w in self.weights.items()) / sum(self.weights.values()))
        prior = config.low + (config.high - config.low) * self.own
        evidence = good * -math.log(config.leak) + (weight - good) * math.log((1 - beta) / (1 - config.leak * beta))
        odds = math.log(prior / (1 - prior)) + config.temper * evidence
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds)))), weight


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample. Time: the length of the texts plus, per sample, its assertions times their holders."""
    return [row for group in groups for row in _group(group, config)]


def _group(group: Group, config: Config) -> list[StepScores]:
    cuts = [[_assertions.read(text) for text in steps.cut(s.text)] for s, steps in zip(group.samples, group.steps)]
    known = _assertions.known(group.problem.text)
    holders: dict[Token, set[int]] = defaultdict(set)
    for j, steps in enumerate(cuts):
        for token in set().union(*map(_held, steps)):
            holders[token].add(j)
    copies = Counter(s.text for s in group.samples)
    votes = Counter(a.cluster for a in group.answers if a.cluster >= 0)
    return [
        _sample(group, i, cuts[i], known, holders, _jury(group, i, copies, votes), config) for i in range(len(cuts))
    ]


def _jury(group: Group, i: int, copies: Counter, votes: Counter) -> _Jury:
    own, samples, answers = group.answers[i].cluster, group.samples, group.answers
    others = votes - Counter([own])
    lead = max(others.values(), default=0)
    weights = {
        j: copies[s.text] ** -0.5
        for j, s in enumerate(samples)
        if s.text != samples[i].text and not s.reason and (answers[j].cluster >= 0 or not lead)
    }
    mass = sum(weights.values())
    share = lead / others.total() if lead else 0.5
    standings = {j: others[answers[j].cluster] / lead if lead else 1.0 for j in weights}
    own_standing = (others[own] / lead if own >= 0 else 0.0) if lead else 0.25
    return _Jury(weights, standings, own_standing, share * mass / (mass + 2))


def _sample(
    group: Group,
    i: int,
    steps: list[Assertions],
    known: frozenset[str],
    holders: Mapping[Token, set[int]],
    jury: _Jury,
    config: Config,
) -> StepScores:
    values: list[float | None] = [None] * len(steps)
    answer = group.answers[i]
    if jury.weights:
        new = _novelties(steps, known, config.formulas)
        answer_at = _answer_step(answer.text, steps, new) if answer.cluster >= 0 else None
        for at, tokens in enumerate(new):
            judged = [(token[0], *jury.support(holders[token], config)) for token in tokens]
            supports = [value for kind, value, weight in judged if weight or kind in ("number", "result")]
            supports += [jury.own] * (at == answer_at)
            values[at] = min(supports, default=None)
    weights = tuple(0.0 if value is None else jury.confidence for value in values)
    return StepScores(answer.problem_id, answer.index, "pairwise", KEY, tuple(values), weights)


def _novelties(steps: list[Assertions], known: frozenset[str], formulas: bool) -> list[set[Token]]:
    """Per step, the tokens that neither the problem nor an earlier step has. A result is new if no earlier step
    computed it, even where its number is in the problem: 80 - 40 = 40 asserts something."""
    numbers, results, rest, new = set(known), set(), set(), []
    for step in steps:
        found = {("number", n) for n in step.numbers - numbers}
        found |= {("result", r) for r in step.results - results if r in numbers}
        optional = {("computed", c) for c in step.computed - step.numbers}
        optional |= {("formula", f) for f in step.formulas} if formulas else set()
        new.append(found | (optional - rest))
        numbers |= step.numbers
        results |= step.results
        rest |= optional
    return new


def _answer_step(answer: str, steps: list[Assertions], new: list[set[Token]]) -> int:
    form = canonical(answer)
    value = _assertions.evaluate(_assertions.parse(form)) if is_number(form) else None
    key = "" if value is None else _assertions.key(value)
    stating = (at for at in reversed(range(len(steps))) if key in steps[at].results or ("number", key) in new[at])
    return next(stating, len(steps) - 1)


def _held(step: Assertions) -> set[Token]:
    """The tokens a sibling confirms by this step: a number counts however it came about, a result only as one."""
    results = step.results | step.computed
    return (
        {("number", n) for n in step.numbers | results}
        | {("result", r) for r in results}
        | {("computed", c) for c in results | step.numbers}
        | {("formula", f) for f in step.formulas}
    )
