"""Pairwise step consistency: do the sibling solutions confirm what a step newly asserts, and if not, at which step did
the error enter?

Steps are aligned by what they assert (a number, the result of a computation, however spelled, in prose or in code;
prm/signals/_assertions.py). For sample s, an assertion is new in a step when neither the problem nor an earlier step
of s has it. The siblings j are the other samples of the problem whose text differs from s's. With

    w_j = copies_j ** -1/2 where j's answer could be read, else 0     copies of one text are not independent witnesses
    q_j = votes of j's answer / votes of the leading answer           without s's own vote; q_s likewise for s's answer
    g = sum w_j q_j,  b = sum w_j (1 - q_j)                           holders of a that went on well, and badly
    beta = sum_j w_j q_j / sum_j w_j                                  over all siblings: how many go on well anyway

a sibling that holds a right assertion goes on well with chance beta, one that holds a wrong one with chance leak *
beta, so how far an assertion is confirmed, and a step by its least confirmed new assertion, is

    h(a) = sigmoid(temper * (g log(1 / leak) + b log((1 - beta) / (1 - leak beta)))),   0 where no sibling holds a

The answer is asserted too, with h at most q_s, in the last step that states it anew or as a result (else in the last
step). temper < 1: siblings of one policy are correlated witnesses. Arithmetic that is not written out counts only where
some sibling holds it: its absence says nothing. r(step) is the same of routes, the numbers that a value is computed
from: 250 * 2 = 500 is a wrong turn where siblings come to 500 only as 125 + 125 + 250. Other routes are common among
right solutions, so r is a separate and fainter witness, and says nothing of a value that no sibling computes.

First errors are told from carried ones by comparing whole stories: no error, or the first one at step e
(prm/signals/_stories.py: P(none) and P(e), from all h and r, which step uses which, the steps' lengths and p_s). p_s,
how likely s is right by its answer alone, is (votes + 1) / (votes + strongest + rest / 2 + 2), again without s's own:
next to the votes of the strongest other answer, scattered ones count half.

value of the prime suspect argmax_e P(e) = P(none): if there was an error, it is charged with all of it; value of any
other step = 1 - P(e = t). A step that asserts nothing new abstains unless it is the suspect. weight = the leading
answer's share of the votes times n / (n + 2) for n siblings (in w) times P(no error before t): carried steps weigh
little.

Where no sibling's answer can be read (proofs), all q_j are 1, q_s is 1/4 and p_s 1/2: plain occurrence. Derived from
the vote, so the independence key is "vote". Grew from a simpler question (does a new number occur in the siblings?);
asking *where the holders ended* is what Monte-Carlo step values do (Math-Shepherd, arXiv 2312.08935), with siblings
that pass through the same value in the place of rollouts.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prm.answers.canonical import canonical, is_number
from prm.records import Group, StepScores
from prm.signals import _assertions, _expressions, _stories
from prm.signals._assertions import Assertions

KEY = "vote"
VERSION = 6
TEXT_ONLY = True
Token = tuple[str, str]  # what kind of assertion, and its key


@dataclass(frozen=True)
class Config:
    """leak: how likely, next to one with a right assertion, a sibling with a wrong one still ends well. temper: how
    much of a witness each sibling is. novel, bred, missed: chance that no good sibling holds what a step asserts, if
    it is right, right but computed from such a value, wrong (or carried). novel_route, missed_route: chance that no
    good sibling computes it from the same numbers, if right, if wrong (or carried).

    Set by argument within what labelled solutions of problems that ProcessBench does not hold show: PARC, PRMBench,
    those that come with GSM8K, and the pools' own samples with the first errors that a published PRM sees in them.
    There the shares without a good holder were .02 to .17 (right), .15 to .7 (right, from such a value), .4 to .86
    (wrong), of routes to a value that has one .01 to .4 (right) and .05 to .6 (wrong); first-error F1 hardly moves
    between those ends."""

    leak: float = 0.2
    temper: float = 0.5
    novel: float = 0.1
    bred: float = 0.5
    missed: float = 0.8
    novel_route: float = 0.2
    missed_route: float = 0.6

    def __post_init__(self):
        for name in ("leak", "novel", "bred", "missed", "novel_route", "missed_route"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is outside (0, 1); choose a chance inside")
        if not 0 < self.temper <= 1:
            raise ValueError(f"temper: {self.temper} is outside (0, 1]; choose a number inside")


@dataclass(frozen=True)
class _Jury:
    """The siblings of one sample: each one's weight w and standing q by its place in the group, and the sample's own
    standing q_s and p_s."""

    weights: Mapping[int, float]
    standings: Mapping[int, float]
    own: float
    right: float
    confidence: float

    def confirms(self, held_by: set[int], config: Config) -> float | None:
        """h of an assertion; None where none of these siblings holds it."""
        held = self.weights.keys() & held_by
        if not held:
            return None
        weight = sum(self.weights[j] for j in held)
        good = sum(self.weights[j] * self.standings[j] for j in held)
        beta = min(0.95, sum(w * self.standings[j] for j, w in self.weights.items()) / sum(self.weights.values()))
        evidence = good * -math.log(config.leak) + (weight - good) * math.log((1 - beta) / (1 - config.leak * beta))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, config.temper * evidence))))


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample. Time: the length of the texts plus, per sample, its assertions times their holders and
    its steps squared."""
    return [row for group in groups for row in _group(group, config)]


def _group(group: Group, config: Config) -> list[StepScores]:
    cuts = [_assertions.read_solution(steps.cut(s.text)) for s, steps in zip(group.samples, group.steps)]
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
    mine = others[own] if own >= 0 else 0
    rival = max((n for cluster, n in others.items() if cluster != own), default=0)
    right = (mine + 1) / (mine + rival + (others.total() - mine - rival) / 2 + 2)
    return _Jury(weights, standings, mine / lead if lead else 0.25, right, share * mass / (mass + 2))


def _sample(
    group: Group,
    i: int,
    steps: list[Assertions],
    known: frozenset[str],
    holders: Mapping[Token, set[int]],
    jury: _Jury,
    config: Config,
) -> StepScores:
    answer = group.answers[i]
    values, weights = (None,) * len(steps), (0.0,) * len(steps)
    if jury.weights and steps:
        new = _novelties(steps, known)
        confirmed = [_confirmed(tokens, holders, jury, config) for tokens in new]
        routes = [
            _confirmed(
                {token for token in tokens if jury.weights.keys() & holders[_reached(token)]}, holders, jury, config
            )
            for tokens in _new_routes(steps)
        ]
        uses = _uses(steps, new)
        if answer.cluster >= 0:
            at = _answer_step(answer.text, steps, new)
            confirmed[at] = min(jury.own, 1.0 if confirmed[at] is None else confirmed[at])
            for row in uses[:at]:
                row[at] = True  # the answer rests on all that was said
        lengths = [len(text.strip()) for text in group.steps[i].cut(group.samples[i].text)]
        chances = _stories.Chances(config.novel, config.bred, config.missed, config.novel_route, config.missed_route)
        none, first = _stories.weigh(confirmed, routes, uses, lengths, jury.right, chances)
        suspect = max(range(len(steps)), key=first.__getitem__)
        told = any(h is not None for h in (*confirmed, *routes))  # else the suspect is only the longest step
        judged = [h is not None or (told and t == suspect) for t, h in enumerate(confirmed)]
        values = tuple((none if t == suspect else 1 - first[t]) if judged[t] else None for t in range(len(steps)))
        before = [max(0.0, 1 - sum(first[:t])) for t in range(len(steps))]
        weights = tuple(jury.confidence * before[t] if judged[t] else 0.0 for t in range(len(steps)))
    return StepScores(answer.problem_id, answer.index, "pairwise", KEY, values, weights)


def _confirmed(tokens: set[Token], holders: Mapping[Token, set[int]], jury: _Jury, config: Config) -> float | None:
    """h of a step: that of its least confirmed assertion; None without one that counts."""
    found = [(kind, jury.confirms(holders[kind, name], config)) for kind, name in tokens]
    return min(((0.0 if h is None else h) for kind, h in found if h is not None or kind != "computed"), default=None)


def _uses(steps: list[Assertions], new: list[set[Token]]) -> list[list[bool]]:
    """[e][t]: whether step t uses a value that is new in step e, or in a step between them that does so itself."""
    found = [[False] * len(steps) for _ in steps]
    for e, row in enumerate(found):
        tainted = {name for _, name in new[e]}
        for t in range(e + 1, len(steps)):
            row[t] = bool(tainted) and not tainted.isdisjoint(steps[t].numbers | steps[t].results | steps[t].computed)
            tainted |= {name for _, name in new[t]} if row[t] else set()
    return found


def _novelties(steps: list[Assertions], known: frozenset[str]) -> list[set[Token]]:
    """Per step, the tokens that neither the problem nor an earlier step has. A result is new if no earlier step
    computed it, even where its number is in the problem: 80 - 40 = 40 asserts something."""
    numbers, results, rest, new = set(known), set(), set(), []
    for step in steps:
        found = {("number", n) for n in step.numbers - numbers}
        found |= {("result", r) for r in step.results - results if r in numbers}
        optional = {("computed", c) for c in step.computed - step.numbers}
        new.append(found | (optional - rest))
        numbers |= step.numbers
        results |= step.results
        rest |= optional
    return new


def _new_routes(steps: list[Assertions]) -> list[set[Token]]:
    """Per step, the routes that no earlier step took."""
    seen, new = set(), []
    for step in steps:
        new.append({("route", route) for route in step.routes - seen})
        seen |= step.routes
    return new


def _reached(route: Token) -> Token:
    """What a route comes to, held by all who come to it by some route."""
    return "reached", route[1].partition("=")[0]


def _answer_step(answer: str, steps: list[Assertions], new: list[set[Token]]) -> int:
    form = canonical(answer)
    value = _expressions.evaluate(_expressions.parse(form)) if is_number(form) else None
    key = "" if value is None else _expressions.key(value)
    stating = (at for at in reversed(range(len(steps))) if key in steps[at].results or ("number", key) in new[at])
    return next(stating, len(steps) - 1)


def _held(step: Assertions) -> set[Token]:
    """The tokens a sibling confirms by this step: a number counts however it came about, a result only as one, a route
    as it is."""
    results = step.results | step.computed
    return (
        {("number", n) for n in step.numbers | results}
        | {("result", r) for r in results}
        | {("computed", c) for c in results | step.numbers}
        | {held for r in step.routes for held in (("route", r), _reached(("route", r)))}
    )
