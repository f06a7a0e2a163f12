"""Tree search: walk down by an upper confidence bound, draw ways on where it ends, back their values up.

At a node with N visits the next is the child with the highest Q + explore * sqrt(N) / (1 + n) / c: Q the mean of
the values backed up through it, n its visits, c the number of its siblings and itself. It is PUCT (Silver et al.
2017) with the prior 1 / c, for want of the policy's own: children were drawn from it. A leaf is worth what the PRM
says, without rollouts.

A node has as many children as it matters which one is taken, as in AlphaLLM (Tian et al. 2024, arXiv 2404.12253):
clip(floor(alpha * I) + 1, fewest, most) with I = max |v(child) - v(node)|. What begins alike is one node (their
state merging, by text). A tree in which every way is finished is followed by a new one, as long as the budget lasts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from prm.engines import Engine
from prm.records import Problem
from prm.search import Found, Path, Stepwise
from prm.search._draw import Lane
from prm.search._rounds import Ask, Method, run, value


@dataclass(frozen=True)
class Config(Stepwise):
    """explore: how much the bound favours what was seldom visited. alpha: children per unit of I. fewest, most:
    draws from one node.
    """

    explore: float = 1.0
    alpha: float = 8.0
    fewest: int = 2
    most: int = 8

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.fewest <= self.most:
            raise ValueError(f"fewest: {self.fewest} must be at least 1 and at most most ({self.most})")
        for name in ("explore", "alpha"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative; 0 turns it off")


@dataclass
class Node:
    """A begun solution. own: its value by the PRM; total, visits: of what was backed up; draws: made from it,
    copies included.
    """

    path: Path
    own: float
    parent: Node | None = None
    children: dict[str, Node] = field(default_factory=dict)
    visits: int = 0
    total: float = 0.0
    draws: int = 0

    def wanted(self, config: Config) -> int:
        """How many draws more this node should have."""
        matters = max((abs(child.own - self.own) for child in self.children.values()), default=0.0)
        return min(config.most, max(config.fewest, math.floor(config.alpha * matters) + 1)) - self.draws

    def closed(self, config: Config) -> bool:
        """Nothing more is to be drawn here or below."""
        return self.path.finished or (
            self.wanted(config) < 1 and all(child.closed(config) for child in self.children.values())
        )

    def back_up(self, value: float) -> None:
        node = self
        while node is not None:
            node.visits, node.total, node = node.visits + 1, node.total + value, node.parent


def search(problems: Sequence[Problem], engine: Engine, prm, config: Config) -> list[Found]:
    return run(method, problems, engine, prm, config, config.choose)


def method(config: Config, lane: Lane) -> Method:
    while True:
        root = Node(Path(), 1.0)
        while not root.closed(config):
            leaf = _leaf(root, config)
            n = leaf.wanted(config)
            ways = leaf.path.times(n) if not leaf.draws else [leaf.path.fresh()] * n
            leaf.draws += n
            for path in (yield [Ask(way) for way in ways]):
                if path is not None and path.text not in leaf.children:
                    child = leaf.children[path.text] = Node(path, value(path, config), leaf)
                    child.back_up(child.own)


def _leaf(root: Node, config: Config) -> Node:
    """Where to draw next: down the highest bound among what is not closed, to a node that wants children."""
    node = root
    while node.wanted(config) < 1:
        node = max((c for c in node.children.values() if not c.closed(config)), key=lambda c: _bound(c, config))
    return node


def _bound(child: Node, config: Config) -> float:
    parent = child.parent
    return child.total / child.visits + config.explore * math.sqrt(parent.visits) / (1 + child.visits) / len(
        parent.children
    )
