"""Independent whole solutions: what best-of-N and the weighted vote draw."""

from __future__ import annotations

from prm.search import Common, Path
from prm.search._draw import Lane
from prm.search._rounds import Ask, Method


def method(config: Common, lane: Lane) -> Method:
    """As many at once as the budget holds for certain; most end sooner than they may, so there are a few rounds."""
    while True:
        yield [Ask(Path(), whole=True)] * max(1, lane.left // config.max_tokens)
