"""Monte-Carlo prefix values: from each step, let the policy finish the solution K times and see how often it comes out
where the vote does.

Math-Shepherd (arXiv 2312.08935), soft and hard, with the vote in the place of its gold answers, and with another
denominator: the published estimate divides by all K rollouts, this one by those whose answer can be read. A rollout that
was cut off says nothing of the prefix and counts as silence, not as a failure (prm/prefixes.py); drops and sibling
z-scores are derived from the same rollouts (modes and weights: prm/signals/_prefix_values.py). Each distinct prefix of a
problem is expanded once; the end of a solution is not, nor are problems whose vote decides nothing. Signals of one run
that differ only in mode, oracle or per_problem share their rollouts. Derived from the vote: on errors that most samples
share it is inverted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prm.oracles import VOTES
from prm.prefixes import PrefixTree, expand
from prm.records import Group, StepScores
from prm.signals import _prefix_values

KEY = "vote"


@dataclass(frozen=True)
class Config:
    """rollouts: K, from each distinct prefix. mode: "soft", "hard", "drop" or "z". oracle: "majority" or "soft_vote".

    max_tokens: of a rollout; null is the recipe's. per_problem: samples of each problem, the first by index that have
    steps, whose steps are labelled; the others abstain. null labels all.
    """

    rollouts: int = 8
    mode: str = "soft"
    oracle: str = "majority"
    max_tokens: int | None = None
    per_problem: int | None = None

    def __post_init__(self):
        _prefix_values.check(self.mode, self.oracle)
        for name, usual in (("rollouts", "8 is usual"), ("max_tokens", "null"), ("per_problem", "null for all")):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: {value} is not positive; {usual}")


def label(groups: Sequence[Group], config: Config, context) -> list[StepScores]:
    """One StepScores a sample."""
    oracle, recipe = VOTES[config.oracle], context.recipe
    max_tokens = config.max_tokens or recipe.sampling.max_tokens
    sampling = replace(recipe.sampling, samples=config.rollouts, max_tokens=max_tokens)
    trees = [PrefixTree.of(group, oracle) for group in groups]
    chosen = [sorted(s.index for s in group.steps if s.ends)[: config.per_problem] for group in groups]
    drawn = context.cached(("rollouts", sampling), dict)
    wanted = [_prefixes(tree, indices) for tree, indices in zip(trees, chosen)]
    grown = expand(trees, wanted, context.engine(), sampling, oracle, recipe.answers, drawn)
    return [
        row
        for tree, indices in zip(grown, chosen)
        for row in _prefix_values.scores(tree, config.mode, "monte_carlo", KEY, set(indices))
    ]


def _prefixes(tree: PrefixTree, indices: Sequence[int]) -> list[str]:
    """The prefixes of the samples with these indices; none where the oracle has no verdict on any sample."""
    if not tree.nodes[""].outcomes:
        return []
    return [node.prefix for at, s in enumerate(tree.group.steps) if s.index in indices for node in tree.path(at)]
