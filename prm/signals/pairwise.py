"""Pairwise step consistency: do the sibling solutions confirm what a step newly asserts, and where did those siblings end?

For sample s, an assertion a (a number, the result of a computation, a short formula; prm/signals/_assertions.py) is new in a step when neither the
problem nor an earlier step of s has it. The siblings j are the other samples of the problem whose text differs from s's; with

    w_j = copies_j ** -1/2 where j's answer could be read, else 0        copies of one text are not independent witnesses
    q_j = votes of j's answer / votes of the leading answer              votes counted without s
    q_s = likewise for s's own answer                                    so novelty is forgiven to a solution that ends where others end

    support(a) = (sum_{j holds a} w_j q_j + alpha p_s) / (sum_{j holds a} w_j + alpha),    p_s = low + (high - low) q_s

and a step's value is the smallest support among its new assertions. Arithmetic that is not written out and formulas count only where some sibling
holds them: notation differs, so their absence says nothing. The last step also asserts the answer, support q_s (smoothed alike). A step that asserts
nothing new abstains. confidence = share of the votes that the leading answer has, times n / (n + 2) for n siblings (in w).

Where no sibling's answer can be read (proofs), all q are 1 except q_s = 1/2, and support is plain occurrence. Derived from the vote, so its
independence key is "vote". Grew from METHODS.md fact 3 (does a new number occur in the siblings?); counting *where the holders ended* is
what Monte-Carlo step values (Math-Shepherd, arXiv 2312.08935) estimate, here with siblings that pass through the same value as rollouts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from prm.answers.canonical import canonical, is_number
from prm.records import Group, StepScores
from prm.signals import _assertions
from prm.signals._assertions import Assertions

KEY = "vote"
TEXT_ONLY = True


@dataclass(frozen=True)
class Config:
    """alpha: weight of the prior in siblings. low, high: prior support of what no sibling holds, where the sample's own answer has no votes and
    where it leads. formulas: whether formulas count beside numbers."""

    alpha: float = 1.0
    low: float = 0.1
    high: float = 0.7
    formulas: bool = True

    def __post_init__(self):
        if self.alpha <= 0:
            raise ValueError(f"alpha: {self.alpha} is not positive; 1 weighs the prior like one sibling")
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"low: need 0 <= low <= high <= 1, not low {self.low} and high {self.high}")


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample. Time: the length of the texts plus, per sample, its assertions times their holders."""
    return [row for group in groups for row in _group(group, config)]


def _group(group: Group, config: Config) -> list[StepScores]:
    cuts = [[_assertions.read(text) for text in steps.cut(s.text)] for s, steps in zip(group.samples, group.steps)]
    known = _assertions.known(group.problem.text)
    holders: dict[tuple[str, str], set[int]] = defaultdict(set)
    for j, steps in enumerate(cuts):
        for step in steps:
            for token in _held(step):
                holders[token].add(j)
    copies = Counter(s.text for s in group.samples)
    votes = Counter(a.cluster for a in group.answers if a.cluster >= 0)
    return [_sample(group, i, cuts[i], known, holders, copies, votes, config) for i in range(len(cuts))]


def _sample(group: Group, i: int, steps: list[Assertions], known: frozenset[str], holders, copies: Counter, votes: Counter,
            config: Config) -> StepScores:
    own, texts, answers = group.answers[i].cluster, group.samples, group.answers
    others = votes - Counter([own])
    lead = max(others.values(), default=0)
    standing = (lambda cluster: others[cluster] / lead) if lead else (lambda cluster: 1.0)
    siblings = {j: copies[texts[j].text] ** -0.5 for j in range(len(texts))
                if texts[j].text != texts[i].text and (answers[j].cluster >= 0 or not lead)}
    mass = sum(siblings.values())
    q = (standing(own) if own >= 0 else 0.0) if lead else 0.5
    prior = config.low + (config.high - config.low) * q

    def support(token: tuple[str, str]) -> tuple[float, float]:
        held = [j for j in holders[token] if j in siblings]
        weight = sum(siblings[j] for j in held)
        good = sum(siblings[j] * standing(answers[j].cluster) for j in held)
        return (good + config.alpha * prior) / (weight + config.alpha), weight

    values: list[float | None] = []
    new = _novelties(steps, known)
    answer_at = _answer_step(group.answers[i].text, steps, new) if lead and own >= 0 else None
    for at, tokens in enumerate(new):
        supports = [value for token in tokens for value, weight in [support(token)] if weight or token[0] in ("number", "result")]
        if at == answer_at:
            supports.append(q)
        values.append(min(supports) if supports and mass else None)
    share = lead / others.total() if lead else 0.5
    confidence = share * mass / (mass + 2)
    weights = tuple(0.0 if v is None else confidence for v in values)
    return StepScores(answers[i].problem_id, answers[i].index, "pairwise", KEY, tuple(values), weights)


def _novelties(steps: list[Assertions], known: frozenset[str]) -> list[set[tuple[str, str]]]:
    """Per step, the tokens that neither the problem nor an earlier step has. A result is new if no earlier step computed it, even where
    its number is in the problem: 80 - 40 = 40 asserts something."""
    numbers, results, rest, new = set(known), set(), set(), []
    for step in steps:
        found = {("number", n) for n in step.numbers - numbers}
        found |= {("result", r) for r in step.results - results if r in numbers}
        optional = {("computed", c) for c in step.computed - step.numbers} | {("formula", f) for f in step.formulas}
        new.append(found | (optional - rest))
        numbers |= step.numbers
        results |= step.results
        rest |= optional
    return new


def _answer_step(answer: str, steps: list[Assertions], new: list[set[tuple[str, str]]]) -> int:
    """The step that first asserts the sample's answer, the last one where none is seen to."""
    form = canonical(answer)
    value = _assertions.evaluate(_assertions.parse(form)) if is_number(form) else None
    if value is not None:
        for at, tokens in enumerate(new):
            if {("number", _assertions.key(value)), ("result", _assertions.key(value))} & tokens:
                return at
    return len(steps) - 1


def _held(step: Assertions) -> set[tuple[str, str]]:
    """The tokens a sibling confirms by this step: a number counts however it came about, a result only as one."""
    results = step.results | step.computed
    return ({("number", n) for n in step.numbers | results} | {("result", r) for r in results} | {("computed", c) for c in results | step.numbers}
            | {("formula", f) for f in step.formulas})
