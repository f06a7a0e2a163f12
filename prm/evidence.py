r"""Evidence by independence: how reliable is each key, estimated without gold, and what a step's log-odds come to.

Dawid & Skene (1979), with keys for raters and one addition: errors come in two classes. A step is

    R  right          E  wrong, and every key may see it          B  wrong, hidden in the policy's own blind spot

Keys in SHARED all rest on what the policy says when a problem is put as it stands: what it was mis-taught, its samples agree on, its
probabilities are high for and its judgement approves. Given "wrong" their misses come together, so they are no independent witnesses; given
the class they are taken to be. Any other key (another route, a calculator, execution) speaks of B as of E.

What a key says of a step, s = w logit(v) of its pooled signals (`prm.labels`), need not be a probability: s is cut into levels l by
its sign and at quantiles of either side. With p_kc(l) = P(level l of key k | class c), p_kB = p_kE where k is not in SHARED,

    d_kc(l) = clip(log p_kR(l) - log p_kc(l), -L, L)                         0 for a silent key
    odds(right) = -log sum_{c in E, B} (pi_c / pi_R) exp(-sum_k d_kc)

EM finds pi and p. Samples of one problem share their errors, so a problem counts as one observation, however many steps it
has. Each p_kc has a Dirichlet prior of PRIOR problems in which s means what it states (v = sigmoid(s); in B the keys in SHARED state what
they do of a right step); EM starts where that reading of the other keys puts it (of all, where none of these speaks).

Interval and weight: log p_kc(l) with counts a of A in all has variance psi1(a) - psi1(A) (Beta posterior; psi1 trigamma), d_kc the sum of two.
The odds' variance adds, over keys, the square of d_kc's sd averaged over c by P(c | wrong), and that of log pi_R / (1 - pi_R). With sd its root

    weight = 2 sigmoid(max(0, |odds| - 1.96 sd)) - 1        0 where the 95 % interval holds even odds

What it cannot know:
- One key alone has no reliability without gold: `fit` raises Unidentified, labels use the recipe's trust and the manifest says so.
- A lone key outside SHARED against shared ones: its false alarms and the policy's hidden errors look the same. The prior then decides, that is
  the key is taken at its word. A careless calculator beside nothing but the vote is believed; a third key (re-asking) puts it right.
- Keys that share a blind spot but are declared as different ones outside SHARED count twice: `prm.witnesses` reports pairs that miss together.
- Silence is taken to say nothing. A key that is silent where it is in doubt (`reask` where its routes disagree) leaves its hardest steps to the
  others, and what the policy gets wrong systematically is called right there: an arm's `needs` gives such steps no label.
- Symmetry: that most keys beat chance is assumed. Where the fit says otherwise it raises Unidentified.
L limits what one key can bring: 7 leaves a key that is right 998 times of 1,000 its say against the vote, 4 (the default) does not.
The constants were set before any label was measured. B's own p for keys in SHARED (not R's) was chosen on the small world of
recipes/demo.yaml, where it has the higher posterior (-3922 against -3935 on 1,500 problems) and finds more of the hidden errors.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SHARED = frozenset({"vote", "policy", "judge"})
DISSENTS, ASSENTS = (0.5,), (0.1, 0.4)  # quantiles of s < 0 and s >= 0 where levels end: five levels at most
PRIOR = 10.0  # problems
NEVER = 1e-9  # of a class that the keys cannot tell from another
STEPS = 200_000  # to fit on at most
ROUNDS = 1000
Z = 1.96


class Unidentified(Exception):
    """The reliabilities cannot be told from these steps; the message says why."""


@dataclass(frozen=True)
class Witness:
    """A key. edges: upper ends of its levels but the last, in log-odds; right, seen, hidden: P(level | R), P(level | E),
    P(level | B); sd: of the log-likelihood ratios of R to E and to B, a pair a level."""

    edges: tuple[float, ...]
    right: tuple[float, ...]
    seen: tuple[float, ...]
    hidden: tuple[float, ...]
    sd: tuple[tuple[float, float], ...]

    def ratios(self, s: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """log-likelihood ratios of `s`, right to seen and right to hidden, and their standard deviations."""
        level = bisect_left(self.edges, round(s, 1))
        return tuple(math.log(self.right[level] / of[level]) for of in (self.seen, self.hidden)), self.sd[level]


@dataclass(frozen=True)
class Fit:
    """classes: pi_R, pi_E, pi_B. sd: of log pi_R / (1 - pi_R). witnesses: by key. steps, problems: what it was fitted on."""

    classes: tuple[float, float, float]
    sd: float
    witnesses: dict[str, Witness]
    steps: int
    problems: int

    def odds(self, said: Mapping[str, float], clip: float) -> tuple[float, float]:
        """log-odds that the step is right, and their sd. said: s by key, silent keys left out; a key unknown to the fit
        never spoke while it was made and adds nothing."""
        told = [self.witnesses[k].ratios(s) for k, s in said.items() if k in self.witnesses]
        right, *wrong = map(math.log, self.classes)
        against = [pi - right - sum(max(-clip, min(clip, d[c])) for d, _ in told) for c, pi in enumerate(wrong)]
        total = max(against) + math.log(sum(math.exp(a - max(against)) for a in against))
        shares = [math.exp(a - total) for a in against]
        variance = sum(sum(share * one for share, one in zip(shares, sd)) ** 2 for _, sd in told)
        return -total, math.sqrt(self.sd**2 + variance)


@dataclass(frozen=True)
class Said:
    """What keys say of N steps. said: s (N, K), NaN where a key is silent; groups: the steps' problems (N,), as numbers."""

    keys: tuple[str, ...]
    said: np.ndarray
    groups: np.ndarray

    @property
    def problems(self) -> int:
        return len(set(self.groups.tolist()))


def certainty(odds: float, sd: float) -> float:
    """The weight of a label: how far the nearer end of its 95 % interval is from even odds, in [0, 1]."""
    return math.tanh(max(0.0, abs(odds) - Z * sd) / 2)


def gather(steps: Iterable[tuple[str, Mapping[str, float]]], most: int = STEPS) -> Said:
    """(problem id, s by key) of each step, as arrays; after `most` steps it stops at the problem's end."""
    import numpy as np

    keys: dict[str, int] = {}
    numbers: dict[str, int] = {}
    rows, columns, values, groups = [], [], [], []
    for problem, said in steps:
        if len(groups) >= most and problem not in numbers:
            break
        for key, s in said.items():
            rows.append(len(groups))
            columns.append(keys.setdefault(key, len(keys)))
            values.append(s)
        groups.append(numbers.setdefault(problem, len(numbers)))
    made = np.full((len(groups), len(keys)), np.nan)
    made[rows, columns] = values
    order = sorted(keys)
    return Said(tuple(order), made[:, [keys[k] for k in order]], np.array(groups, int))


def fit(table: Said) -> Fit:
    """Reliabilities by EM. Raises Unidentified where fewer than two keys speak or most come out worse than chance."""
    import numpy as np

    if len(table.keys) < 2:
        raise Unidentified("one key alone: nothing independent to measure it by")
    edges = [_edges(column) for column in table.said.T]
    levels = [np.searchsorted(e, np.round(column, 1), side="left") for column, e in zip(table.said.T, edges)]
    levels = np.where(np.isnan(table.said), -1, np.stack(levels, 1))  # -1: silent
    patterns, place, count = np.unique(levels, axis=0, return_inverse=True, return_counts=True)
    count = count * (table.problems / len(table.said))
    start, prior = _stated(table, levels, edges)
    q = np.stack([np.bincount(place.ravel(), column) for column in start]) / np.bincount(place.ravel())
    state, reached = _maximise(q, count, patterns, prior, table.keys), -math.inf
    for _ in range(ROUNDS):
        q, height = _expect(state, count, patterns, prior)
        state = _maximise(q, count, patterns, prior, table.keys)
        if height - reached < 1e-6:
            break
        reached = height
    return _checked(state, edges, table)


def _edges(s: np.ndarray) -> tuple[float, ...]:
    import numpy as np

    spoken = np.round(s[~np.isnan(s)], 1)
    sides = (spoken[spoken < 0], DISSENTS), (spoken[spoken >= 0], ASSENTS)
    cuts = np.concatenate([np.quantile(side, at, method="lower") for side, at in sides if len(side)])
    return tuple(float(c) for c in np.unique([*cuts, -0.1]) if spoken.min() <= c < spoken.max())  # no empty level


def _stated(table: Said, levels: np.ndarray, edges: list[tuple[float, ...]]):
    """Taken at their word: the classes' chances (3, N) where EM starts, and the priors of p of right and wrong, a pair a key."""
    import numpy as np

    belief = lambda s: 1 / (1 + np.exp(-s))
    shared = np.isin(table.keys, list(SHARED))
    from_shared = belief(np.nansum(table.said[:, shared], 1))
    heard = ~np.isnan(table.said[:, ~shared]).all(1)
    right = np.where(heard, belief(np.nansum(table.said[:, ~shared], 1)), from_shared)
    hidden = np.where(heard & shared.any(), (1 - right) * from_shared, 0.0)
    prior = []
    for s, level, cuts in zip(table.said.T, levels.T, edges):
        spoken, v = level >= 0, belief(s)
        masses = [np.bincount(level[spoken], side[spoken], len(cuts) + 1) for side in (v, 1 - v)]
        prior.append([PRIOR * mass / mass.sum() + 0.5 for mass in masses])
    return np.stack([right, 1 - right - hidden, hidden]), prior


def _maximise(q: np.ndarray, count: np.ndarray, patterns: np.ndarray, prior, keys):
    """Counts behind pi (3,) and behind p of each key, (3, levels)."""
    import numpy as np

    tables = []
    for key, level, (right, wrong) in zip(keys, patterns.T, prior):
        spoken = level >= 0
        mass = [np.bincount(level[spoken], (side * count)[spoken], len(right)) for side in q]
        either = mass[1] + mass[2] + wrong
        tables.append(
            np.stack([mass[0] + right, *((mass[1] + wrong, mass[2] + right) if key in SHARED else (either, either))])
        )
    classes = (q * count).sum(1) + 0.5
    if SHARED.isdisjoint(keys) or SHARED.issuperset(keys):  # no key could tell B from another class
        classes = np.array([classes[0], classes[1] + classes[2], NEVER])
    return classes, tables


def _expect(state, count: np.ndarray, patterns: np.ndarray, prior) -> tuple[np.ndarray, float]:
    """The classes' chances (3, patterns), and the log posterior up to a constant."""
    import numpy as np

    classes, tables = state
    chances = np.log(classes / classes.sum())[:, None].repeat(len(count), 1)
    height = 0.5 * chances[:, 0].sum() if classes[2] > NEVER else 0.0
    for level, table, (right, wrong) in zip(patterns.T, tables, prior):
        logs = np.log(table / table.sum(1, keepdims=True))
        chances += np.where(level >= 0, logs[:, np.maximum(level, 0)], 0.0)
        shared = (table[1] != table[2]).any()
        height += right @ logs[0] + wrong @ logs[1] + (right @ logs[2] if shared else 0.0)  # the Dirichlet priors
    total = np.logaddexp.reduce(chances, 0)
    return np.exp(chances - total), float(height + count @ total)


def _checked(state, edges: list[tuple[float, ...]], table: Said) -> Fit:
    """The fit as plain numbers."""
    classes, tables = state
    witnesses = {}
    for key, cuts, counts in zip(table.keys, edges, tables):
        variance = [[trigamma(a) - trigamma(sum(side)) for a in side] for side in counts.tolist()]
        sd = tuple((math.sqrt(r + e), math.sqrt(r + b)) for r, e, b in zip(*variance))
        witnesses[key] = Witness(cuts, *(tuple((side / side.sum()).tolist()) for side in counts), sd)
    if 2 * sum(_beats_chance(w) for w in witnesses.values()) <= len(witnesses):
        raise Unidentified("most keys come out worse than chance: which side of the fit is right cannot be told")
    sd = math.sqrt(trigamma(classes[0]) + trigamma(classes[1:].sum()))
    return Fit(tuple((classes / classes.sum()).tolist()), sd, witnesses, len(table.said), table.problems)


def _beats_chance(witness: Witness) -> bool:
    """Whether a right step's level is higher than a wrong one's more often than lower."""
    below, lead = 0.0, 0.0
    for right, seen in zip(witness.right, witness.seen):
        lead += right * (below + seen / 2)
        below += seen
    return lead > 0.5


def trigamma(x: float) -> float:
    """psi1(x), x > 0: recurrence up to x >= 8, then the asymptotic series; error below 1e-9."""
    shift = 0.0
    while x < 8:
        shift += 1 / x**2
        x += 1
    return shift + 1 / x + 1 / (2 * x**2) + 1 / (6 * x**3) - 1 / (30 * x**5) + 1 / (42 * x**7)
