"""Copeland's ranking from pairwise verdicts, and which pairs to judge when not all can be.

    score(i) = (wins_i - losses_i) / decided_i            over the pairs of i that were decided; in [-1, 1]

The form in which SERL ranks answers that a judge compares in pairs. Undecided pairs count for neither side.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

Verdict = tuple[int, int, float]  # i, j, margin: above 0 where i beats j, below 0 where j beats i, 0 undecided


def copeland(n: int, verdicts: Iterable[Verdict]) -> list[float | None]:
    """The scores of candidates 0..n-1. A verdict weighs |margin| (1 for a plain win); None for a candidate without a
    decided pair. Raises ValueError for a candidate outside the range or one that meets itself."""
    balance, weight = [0.0] * n, [0.0] * n
    for i, j, margin in verdicts:
        if i == j or not (0 <= i < n and 0 <= j < n):
            raise ValueError(f"copeland: no pair ({i}, {j}) among {n} candidates")
        for one, sign in ((i, 1), (j, -1)):
            balance[one] += sign * margin
            weight[one] += abs(margin)
    return [b / w if w else None for b, w in zip(balance, weight)]


def pairings(n: int, meets: int, allowed: Callable[[int, int], bool], rng: random.Random) -> list[tuple[int, int]]:
    """Pairs (i < j) so that each candidate meets about `meets` others, all of them where `meets` >= n - 1.

    The candidates stand on a ring in random order; the pairs at distance 1 connect them all, those at distance 2, 3,
    ... follow until everyone has met enough. Pairs not allowed are left out, others further on make up for them.
    """
    ring = rng.sample(range(n), n)
    met = [0] * n
    pairs = []
    for distance in range(1, n // 2 + 1):
        for at in range(n if 2 * distance < n else n // 2):
            i, j = sorted((ring[at], ring[(at + distance) % n]))
            if met[i] < meets and met[j] < meets and allowed(i, j):
                pairs.append((i, j))
                met[i] += 1
                met[j] += 1
    return sorted(pairs)
