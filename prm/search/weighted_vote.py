"""Weighted vote: independent solutions until the budget is spent; the answer whose solutions' values add up to
most is chosen.

Li et al. 2023, "Making Language Models Better Reasoners with Step-Aware Verifier" (arXiv 2206.02336). The same
draws as best-of-N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm.engines import Engine
from prm.records import Problem
from prm.search import Common, Found
from prm.search._rounds import run
from prm.search._whole import method


@dataclass(frozen=True)
class Config(Common):
    """Nothing of its own: the number of votes is what the budget holds."""


def search(problems: Sequence[Problem], engine: Engine, prm, config: Config) -> list[Found]:
    return run(method, problems, engine, prm, config, "vote", distinct=False)
