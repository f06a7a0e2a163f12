"""Boundary precision, recall and F1, in tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Places = Sequence[int]  # ascending tokens before which a text is cut
WITHIN = (0, 1, 3)  # tokens; 0 is exact


def hits(found: Places, true: Places, within: int) -> int:
    """The most pairs (found, true) at most `within` tokens apart, each place in one pair: the earliest that fits, which is optimal for intervals of one size."""
    i = j = count = 0
    while i < len(found) and j < len(true):
        if abs(found[i] - true[j]) <= within:
            count, i, j = count + 1, i + 1, j + 1
        elif found[i] < true[j]:
            i += 1
        else:
            j += 1
    return count


def counts(found: Sequence[Places], true: Sequence[Places], within: int) -> np.ndarray:
    """(N, 3) int: hits, places found, true places of each text."""
    return np.array([(hits(f, t, within), len(f), len(t)) for f, t in zip(found, true, strict=True)]).reshape(-1, 3)


def f1(table: np.ndarray) -> float:
    """Of all texts together (micro): 2 hits / (found + true); 0 where nothing is found, NaN where there is nothing to find either."""
    hit, found, true = table.sum(0)
    return float(2 * hit / (found + true)) if found + true else float("nan")


def scores(found: Sequence[Places], true: Sequence[Places]) -> dict[str, float]:
    exact = counts(found, true, 0)
    hit, n_found, n_true = exact.sum(0)
    made = {"f1": f1(exact), "f1_within1": f1(counts(found, true, 1)), "f1_within3": f1(counts(found, true, 3))}
    return made | {
        "precision": float(hit / n_found) if n_found else float("nan"),
        "recall": float(hit / n_true) if n_true else float("nan"),
    }


def interval(table: np.ndarray, other: np.ndarray | None = None, draws: int = 2000) -> tuple[float, float]:
    """95 % of the exact F1, or of its difference from another segmenter's on the same texts, over resampled texts."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(table), size=(draws, len(table)))

    def sampled(one: np.ndarray) -> np.ndarray:
        sums = one[drawn].sum(1)
        return 2 * sums[:, 0] / np.maximum(sums[:, 1] + sums[:, 2], 1)

    values = sampled(table) - (0 if other is None else sampled(other))
    return tuple(float(v) for v in np.quantile(values, (0.025, 0.975)))
