"""Prefix tree: how the problem's samples that share a step's prefix ended, by the vote. Costs no sample.

The value of a step is that of the prefix it ends, as in Math-Shepherd (arXiv 2312.08935) with the samples that pass
there in the place of rollouts; most prefixes have one sample, whose answer then decides, with little weight. Modes and
weights: prm/signals/_prefix_values.py. Derived from the vote: on errors that most samples share it is inverted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm.oracles import VOTES
from prm.prefixes import PrefixTree
from prm.records import Group, StepScores
from prm.signals import _prefix_values

KEY = "vote"
TEXT_ONLY = True


@dataclass(frozen=True)
class Config:
    """mode: "soft", "hard", "drop" or "z". oracle: "majority" or "soft_vote" (prm/oracles.py)."""

    mode: str = "soft"
    oracle: str = "majority"

    def __post_init__(self):
        _prefix_values.check(self.mode, self.oracle)


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample."""
    return [row for group in groups for row in _group(group, config)]


def _group(group: Group, config: Config) -> list[StepScores]:
    tree = PrefixTree.of(group, VOTES[config.oracle])
    return _prefix_values.scores(tree, config.mode, "prefix_tree", KEY, {s.index for s in group.steps})
