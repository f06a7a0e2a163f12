"""Prefix values: how do the solutions end that begin with these steps?

    PrefixTree.of(group, oracle)    from the samples alone: samples of one problem share their first steps
    expand(trees, ...)              with K rollouts from each distinct prefix

A node is a distinct beginning of the problem's solutions, cut where a step ends; the root is "". With the oracle's
verdicts v_1 .. v_m on the m completions of a prefix, and n of them distinct:

    value   V = mean_i v_i              Math-Shepherd's soft estimate (Wang et al. 2024, arXiv 2312.08935)
    hard    1[some v_i >= 1/2]          its hard estimate: some completion comes out well
    drop    V(parent) - V               how much the step lost
    z       (V - mean) / deviation      among the prefixes that go on from the same parent, this one included

A copy of a completion enters V (it is as probable as it is frequent) but not n: a policy that always writes one text
has told one thing. Confidence comes from the posterior Beta(1 + n V, 1 + n (1 - V)), the uniform prior's. The end of a
solution needs no rollouts: its outcome is known, and its interval has no width.

Not as published: Math-Shepherd divides by all completions drawn, so that one without an answer is a failure. Here those
whose answer cannot be read (cut off, as a rule) are silence and not among the m: that max_tokens
ran out says nothing of the prefix. One right of four with three cut off is V = 1, theirs 1/4; n = 1 keeps its weight low.
Where wrong prefixes run on longer than right ones, this V is too kind to them.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from prm import answers
from prm.engines import Engine, Sampling
from prm.oracles import OutcomeOracle
from prm.progress import progress
from prm.records import Answer, Group, Problem, Sample

CHUNK = 1024  # prefixes an engine is given at once: many batches, yet few enough rollouts to hold with all their tokens
GRID = 1000  # points on which the posterior is integrated: three digits of its interval


@dataclass(frozen=True, slots=True)
class Outcome:
    """A completed solution (prefix and completion) that the oracle could judge."""

    text: str
    value: float
    confidence: float


@dataclass(frozen=True)
class Node:
    """A prefix. parent: None of the root. ends: a sample ends here; `known` if none goes on from here."""

    prefix: str
    parent: str | None
    children: tuple[str, ...]
    ends: bool
    outcomes: tuple[Outcome, ...]

    @property
    def known(self) -> bool:
        return self.ends and not self.children

    @cached_property
    def n(self) -> int:
        """Distinct completions that were judged."""
        return len({outcome.text for outcome in self.outcomes})

    @cached_property
    def value(self) -> float | None:
        """V, or None without a judged completion."""
        return math.fsum(o.value for o in self.outcomes) / len(self.outcomes) if self.outcomes else None

    @property
    def hard(self) -> float | None:
        return float(any(o.value >= 0.5 for o in self.outcomes)) if self.outcomes else None

    @property
    def interval(self) -> tuple[float, float]:
        """The posterior's 95 %; the prior's where nothing was judged."""
        if self.known and self.value is not None:
            return self.value, self.value
        return beta_interval(self.n * (self.value or 0.0), self.n)

    @cached_property
    def weight(self) -> float:
        """(1 - the interval's width) * the oracle's mean confidence; 0 where nothing was judged."""
        if not self.outcomes:
            return 0.0
        low, high = self.interval
        return (1 - (high - low)) * math.fsum(o.confidence for o in self.outcomes) / len(self.outcomes)


@dataclass(frozen=True)
class PrefixTree:
    """One problem's prefixes, by their texts; every prefix comes after its parent."""

    group: Group
    nodes: Mapping[str, Node]

    @classmethod
    def of(cls, group: Group, oracle: OutcomeOracle) -> PrefixTree:
        """The tree of a problem's samples, without a rollout; samples without steps are not in it."""
        outcomes: dict[str, list[Outcome]] = {"": []}
        parents: dict[str, str | None] = {"": None}
        children: dict[str, dict[str, None]] = {"": {}}  # ordered sets
        ends = set()
        for at, (value, confidence) in enumerate(oracle.score(group)):
            path = ["", *_prefixes(group, at)]
            for parent, prefix in itertools.pairwise(path):
                if prefix not in parents:
                    parents[prefix], outcomes[prefix], children[prefix] = parent, [], {}
                    children[parent][prefix] = None
            ends |= {path[-1]} - {""}
            if value is not None and len(path) > 1:
                for prefix in path:
                    outcomes[prefix].append(Outcome(path[-1], value, confidence))
        return cls(group, {p: Node(p, parents[p], tuple(children[p]), p in ends, tuple(outcomes[p])) for p in parents})

    def drop(self, prefix: str) -> float | None:
        """How much the last step of a prefix other than "" lost: in [-1, 1], None where either value is unknown."""
        node = self.nodes[prefix]
        before = self.nodes[node.parent].value
        return None if node.value is None or before is None else before - node.value

    def z(self, prefix: str) -> float | None:
        """A prefix other than "" among its siblings, by the deviation of all; 0 where all are equal, None without another."""
        own = self.nodes[prefix].value
        values = [
            v for name in self.nodes[self.nodes[prefix].parent].children if (v := self.nodes[name].value) is not None
        ]
        if own is None or len(values) < 2:
            return None
        mean = math.fsum(values) / len(values)
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
        return (own - mean) / deviation if deviation > 1e-9 else 0.0

    def path(self, at: int) -> list[Node]:
        """The nodes at which the steps of the group's sample number `at` end."""
        return [self.nodes[prefix] for prefix in _prefixes(self.group, at)]


# (problem id, prefix) -> the whole solutions drawn from there, without token ids
Rollouts = MutableMapping[tuple[str, str], tuple[Sample, ...]]


def expand(
    trees: Sequence[PrefixTree],
    wanted: Sequence[Collection[str]],
    engine: Engine,
    sampling: Sampling,
    oracle: OutcomeOracle,
    read: answers.Config,
    drawn: Rollouts,
) -> list[PrefixTree]:
    """The trees with `sampling.samples` rollouts from each of the prefixes that `wanted` names for them: an expanded
    node's outcomes are its rollouts', as in Math-Shepherd, and the others keep what the samples that pass say.

    A prefix is expanded once, however many samples share it, and neither where its outcome is known nor if `drawn` has
    it already; what is drawn is added there. What is drawn from a prefix depends on the seed, the problem's id and the
    prefix alone. read: how the samples' answers were read; a rollout's is clustered with them.
    """
    opened = [[p for p in dict.fromkeys(names) if not t.nodes[p].known] for t, names in zip(trees, wanted, strict=True)]
    asked = [(t.group.problem, p) for t, names in zip(trees, opened) for p in names]
    _draw([pair for pair in asked if (pair[0].id, pair[1]) not in drawn], engine, sampling, drawn)
    rolled = [[drawn[t.group.problem.id, p] for p in names] for t, names in zip(trees, opened)]
    with answers.open_pool(read) as pool:
        rows = [row for t, lists in zip(trees, rolled) for row in _numbered(t.group, lists)]
        told = iter(answers.read_answers(rows, read, pool))
    grown = []
    for t, names, lists in zip(trees, opened, rolled):
        told_t = [next(told) for _ in range(len(t.group.samples) + sum(map(len, lists)))]
        grown.append(_with_rollouts(t, names, lists, told_t[len(t.group.samples) :], oracle))
    return grown


def _draw(asked: Sequence[tuple[Problem, str]], engine: Engine, sampling: Sampling, drawn: Rollouts) -> None:
    chunks = [asked[at : at + CHUNK] for at in range(0, len(asked), CHUNK)]
    for chunk in progress(chunks, what=f"{sampling.samples} rollouts from each of {len(asked)} prefixes"):
        problems = [replace(problem, id=f"{problem.id}/{_digest(prefix)}") for problem, prefix in chunk]
        rows = iter(engine.sample(problems, sampling, [prefix for _, prefix in chunk]))
        for problem, prefix in chunk:
            drawn[problem.id, prefix] = tuple(_whole(problem, prefix, next(rows)) for _ in range(sampling.samples))


def _whole(problem: Problem, prefix: str, row: Sample) -> Sample:
    """The solution that a rollout completes. Nothing more may be what the policy had to say: then the prefix is it."""
    ended = row.reason == "empty" and row.finish == "stop"
    return Sample(problem.id, row.index, prefix + row.text, finish=row.finish, reason="" if ended else row.reason)


def _numbered(group: Group, lists: Sequence[Sequence[Sample]]) -> Iterator[Sample]:
    """The samples first, so that their clusters keep their numbers; then the rollouts under numbers of their own."""
    yield from group.samples
    first = 1 + max((s.index for s in group.samples), default=-1)
    for i, row in enumerate(row for rows in lists for row in rows):
        yield replace(row, index=first + i)


def _with_rollouts(
    t: PrefixTree,
    names: Sequence[str],
    lists: Sequence[Sequence[Sample]],
    told: Sequence[Answer],
    oracle: OutcomeOracle,
) -> PrefixTree:
    verdicts = iter(oracle.score(t.group, told)[len(t.group.samples) :])
    nodes = dict(t.nodes)
    for name, rows in zip(names, lists):
        judged = [(row.text, *next(verdicts)) for row in rows]
        nodes[name] = replace(nodes[name], outcomes=tuple(Outcome(*o) for o in judged if o[1] is not None))
    return PrefixTree(t.group, nodes)


@lru_cache(maxsize=1 << 16)
def beta_interval(good: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The equal-tailed interval of Beta(1 + good, 1 + n - good), by the midpoint rule."""
    middles = [(i + 0.5) / GRID for i in range(GRID)]
    logs = [good * math.log(x) + (n - good) * math.log(1 - x) for x in middles]
    top = max(logs)
    mass = [math.exp(value - top) for value in logs]
    total, below, ends, tails = math.fsum(mass), 0.0, [], [(1 - level) / 2, (1 + level) / 2]
    for i, m in enumerate(mass):
        while len(ends) < 2 and (below + m) / total >= tails[len(ends)]:
            ends.append((i + (tails[len(ends)] * total - below) / m) / GRID)
        below += m
    return ends[0], ends[1]


def _prefixes(group: Group, at: int) -> list[str]:
    return [group.samples[at].text[:end] for end in group.steps[at].ends]


def _digest(prefix: str) -> str:
    return hashlib.blake2b(prefix.encode(), digest_size=8).hexdigest()
