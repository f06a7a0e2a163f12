"""Values of steps from those of the prefixes that they end, the same with and without rollouts (prm/prefixes.py).

    soft    value = V
    hard    value = 1[some completion comes out well]
    drop    value = (1 - (V(parent) - V)) / 2           1/2 where the step lost nothing
    z       value = 1 / (1 + exp(-z))                   1/2 at the mean of the siblings; an only child abstains

weight = (1 - width of the 95 % interval of Beta(1 + n V, 1 + n (1 - V))) * the oracle's confidence, n the distinct
completions; for a drop the smaller of the step's and its parent's. The end of a solution has width 0. Where no
completion could be judged the step abstains.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from prm.oracles import VOTES
from prm.prefixes import Node, PrefixTree
from prm.records import StepScores

MODES = ("soft", "hard", "drop", "z")


def check(mode: str, oracle: str) -> None:
    """Raises ValueError that names the setting. Oracles are the votes: the signals' key is theirs."""
    for name, value, known in (("mode", mode, MODES), ("oracle", oracle, VOTES)):
        if value not in known:
            raise ValueError(f"{name}: {value!r} is unknown; choose one of {', '.join(known)}")


def scores(tree: PrefixTree, mode: str, source: str, key: str, chosen: Collection[int]) -> list[StepScores]:
    """One row a sample of the tree's problem; samples whose index is not `chosen` abstain."""
    rows = []
    for at, steps in enumerate(tree.group.steps):
        judged = [(None, 0.0)] * len(steps.ends)
        if steps.index in chosen:
            judged = [_judge(tree, node, mode) for node in tree.path(at)]
        values, weights = zip(*judged) if judged else ((), ())
        rows.append(StepScores(steps.problem_id, steps.index, source, key, values, weights))
    return rows


def _judge(tree: PrefixTree, node: Node, mode: str) -> tuple[float | None, float]:
    weight = node.weight
    if mode == "soft":
        value = node.value
    elif mode == "hard":
        value = node.hard
    elif mode == "drop":
        lost, weight = tree.drop(node.prefix), min(weight, tree.nodes[node.parent].weight)
        value = None if lost is None else (1 - lost) / 2
    else:
        z = tree.z(node.prefix)
        value = None if z is None else 1 / (1 + math.exp(-z))
    return value, 0.0 if value is None else weight
