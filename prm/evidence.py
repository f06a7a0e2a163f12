r"""Evidence by independence: how reliable is each key, estimated without gold, and what a step's log-odds come to.

Dawid & Skene (1979), with keys for raters, and with one addition: a class for the policy's own blind spot. A step is

    R  right                              B  wrong, hidden: keys in SHARED speak as they do of a right step
    E  wrong, and every key may see it

Keys in SHARED all rest on what the policy says when a problem is put as it stands: what it was mis-taught, its samples agree on, its
probabilities are high for and its judgement approves. Their misses therefore come together, and given "wrong" they are no independent
witnesses; that is all the addition says. Any other key (another route, a calculator, execution) speaks of B as of E.

What a key says of a step, s = w logit(v) of its pooled signals (`prm.labels`), need not be a probability: s is cut into levels l by
its sign and at quantiles of either side, and with r_k(l) = P(l | R), e_k(l) = P(l | E) the log-likelihood ratio of a level is

    d_k(l) = clip(log r_k(l) - log e_k(l), -L, L)
    odds(right) = -log( pi_E / pi_R exp(-sum_k d_k) + pi_B / pi_R exp(-sum_{k not shared} d_k) )

where silent keys have d = 0. EM finds pi, r and e. Samples of one problem share their errors, so a problem counts as one observation,
however many steps it has. Each r_k and e_k has a Dirichlet prior of PRIOR problems in which s means what it states (v = sigmoid(s)); EM starts
where that reading of the non-shared keys puts it (of all keys, where none of these speaks).

Interval and weight: log r_k(l) with counts a of A in all has variance psi1(a) - psi1(A) (Beta posterior; psi1 trigamma); the odds' variance
adds those of d_k over keys (of shared ones times the square of E's share in "wrong") and of log pi_R / (1 - pi_R). With sd its root

    weight = 2 sigmoid(max(0, |odds| - 1.96 sd)) - 1        0 where the 95 % interval holds even odds

What it cannot know:
- One key alone has no reliability without gold: `fit` raises Unidentified, labels use the recipe's trust and the manifest says so.
- A lone key outside SHARED against shared ones: its false alarms and the policy's hidden errors look the same. The prior then decides, that is
  the key is taken at its word. A careless calculator beside nothing but the vote is believed; a third key (re-asking) puts it right.
- Keys that share a blind spot but are declared as different ones outside SHARED count twice: `prm.who` reports pairs that miss together.
- Symmetry: that most keys beat chance is assumed. Where the fit says otherwise it raises Unidentified.
The constants below were set before any label was measured, and on no data.
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
DISSENTS, ASSENTS = (0.5,), (0.1, 0.4)  # quantiles of s < 0 and of s >= 0 where levels end: five levels at most
PRIOR = 10.0  # problems
NEVER = 1e-9  # of a class that the keys cannot tell from another
STEPS = 200_000  # to fit on at most
ROUNDS = 1000
Z = 1.96


class Unidentified(Exception):
    """The reliabilities cannot be told from these steps; the message says why."""


@dataclass(frozen=True)
class Witness:
    """A key. edges: upper ends of its levels but the last, in log-odds; right, wrong: r_k and e_k, a level each; sd: of
    log r_k - log e_k."""

    edges: tuple[float, ...]
    right: tuple[float, ...]
    wrong: tuple[float, ...]
    sd: tuple[float, ...]

    def says(self, s: float) -> tuple[float, float]:
        """The log-likelihood ratio of `s`, and its standard deviation."""
        level = bisect_left(self.edges, round(s, 1))
        return math.log(self.right[level] / self.wrong[level]), self.sd[level]


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
        ratios = {k: self.witnesses[k].says(s) for k, s in said.items() if k in self.witnesses}
        ratios = {k: (max(-clip, min(clip, d)), sd) for k, (d, sd) in ratios.items()}
        own = sum(d for k, (d, _) in ratios.items() if k not in SHARED)
        right, seen, hidden = map(math.log, self.classes)
        against = (seen - right - sum(d for d, _ in ratios.values()), hidden - right - own)
        worst = max(against)
        wrong = worst + math.log(sum(math.exp(a - worst) for a in against))
        share = math.exp(against[0] - wrong)
        variance = sum((sd * (share if k in SHARED else 1.0)) ** 2 for k, (_, sd) in ratios.items())
        return -wrong, math.sqrt(self.sd**2 + variance)


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
    levels = np.stack([_levels(column, e) for column, e in zip(table.said.T, edges)], 1)
    patterns, place, count = np.unique(levels, axis=0, return_inverse=True, return_counts=True)
    count = count * (table.problems / len(table.said))
    start, prior = _stated(table, levels, edges)
    q = np.stack([np.bincount(place.ravel(), column) for column in start]) / np.bincount(place.ravel())
    state, reached = _maximise(q, count, patterns, prior, table.keys), -math.inf
    for _ in range(ROUNDS):
        q, height = _expect(state, count, patterns, prior, table.keys)
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


def _levels(s: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """Level of each step, -1 where the key is silent."""
    import numpy as np

    return np.where(np.isnan(s), -1, np.searchsorted(edges, np.round(s, 1), side="left"))


def _stated(table: Said, levels: np.ndarray, edges: list[tuple[float, ...]]):
    """Taken at their word: the classes' chances (3, N) where EM starts, and the priors of r and e, a pair a key."""
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
    """Counts behind pi (3,) and behind r and e of each key."""
    import numpy as np

    tables = []
    for key, level, (right, wrong) in zip(keys, patterns.T, prior):
        spoken = level >= 0
        sides = (q[0] + q[2], q[1]) if key in SHARED else (q[0], q[1] + q[2])
        mass = [np.bincount(level[spoken], (side * count)[spoken], len(right)) for side in sides]
        tables.append((mass[0] + right, mass[1] + wrong))
    classes = (q * count).sum(1) + 0.5
    if SHARED.isdisjoint(keys) or SHARED.issuperset(keys):  # no key could tell B from another class
        classes = np.array([classes[0], classes[1] + classes[2], NEVER])
    return classes, tables


def _expect(state, count: np.ndarray, patterns: np.ndarray, prior, keys) -> tuple[np.ndarray, float]:
    """The classes' chances (3, patterns), and the log posterior up to a constant."""
    import numpy as np

    classes, tables = state
    chances = np.log(classes / classes.sum())[:, None].repeat(len(count), 1)
    height = 0.5 * chances[:, 0].sum() if classes[2] > NEVER else 0.0
    for key, level, table, before in zip(keys, patterns.T, tables, prior):
        right, wrong = (np.log(side / side.sum()) for side in table)
        spoken, heard = level >= 0, np.maximum(level, 0)
        of = (right, wrong, right if key in SHARED else wrong)
        chances += np.stack([np.where(spoken, side[heard], 0.0) for side in of])
        height += before[0] @ right + before[1] @ wrong  # the Dirichlet priors
    total = np.logaddexp.reduce(chances, 0)
    return np.exp(chances - total), float(height + count @ total)


def _checked(state, edges: list[tuple[float, ...]], table: Said) -> Fit:
    """The fit as plain numbers."""
    classes, tables = state
    witnesses = {}
    for key, cuts, (right, wrong) in zip(table.keys, edges, tables):
        sd = [
            math.sqrt(sum(trigamma(side[i]) - trigamma(side.sum()) for side in (right, wrong)))
            for i in range(len(right))
        ]
        shares = [tuple((side / side.sum()).tolist()) for side in (right, wrong)]
        witnesses[key] = Witness(cuts, *shares, tuple(sd))
    if 2 * sum(_beats_chance(w) for w in witnesses.values()) <= len(witnesses):
        raise Unidentified("most keys come out worse than chance: which side of the fit is right cannot be told")
    sd = math.sqrt(trigamma(classes[0]) + trigamma(classes[1:].sum()))
    return Fit(tuple((classes / classes.sum()).tolist()), sd, witnesses, len(table.said), table.problems)


def _beats_chance(witness: Witness) -> bool:
    """Whether a right step's level is higher than a wrong one's more often than lower."""
    below, lead = 0.0, 0.0
    for right, wrong in zip(witness.right, witness.wrong):
        lead += right * (below + wrong / 2)
        below += wrong
    return lead > 0.5


def trigamma(x: float) -> float:
    """psi1(x), x > 0: recurrence up to x >= 8, then the asymptotic series; error below 1e-9."""
    shift = 0.0
    while x < 8:
        shift += 1 / x**2
        x += 1
    return shift + 1 / x + 1 / (2 * x**2) + 1 / (6 * x**3) - 1 / (30 * x**5) + 1 / (42 * x**7)
