"""Where a text may be cut, in tokens: a place b in 1..T-1 lies before token b. Peaks of a score, runs of stable tokens, change points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LONGEST = 256  # tokens of a segment between change points: bounds the search to T x LONGEST


def peaks(score: np.ndarray, threshold: float, min_tokens: int) -> list[int]:
    """Places whose score (T,) reaches the threshold, the highest first, each at least min_tokens from those before it and from both ends."""
    kept: list[int] = []
    free = np.ones(len(score), bool)
    free[:min_tokens] = free[max(len(score) - min_tokens + 1, 0) :] = False
    for b in np.argsort(-score, kind="stable"):
        if not score[b] >= threshold:  # NaN too: behind all others
            break
        if free[b]:
            kept.append(int(b))
            free[max(0, b - min_tokens + 1) : b + min_tokens] = False
    return sorted(kept)


def stable_runs(low: Sequence[np.ndarray], high: Sequence[np.ndarray], quantile: float, min_tokens: int) -> list[int]:
    """Starts and ends of the attractors as published: runs of at least min_tokens tokens whose every `low` trace is at most its `quantile`
    within the sequence and every `high` trace at least its 1 - quantile. What is NaN is not stable."""
    stable = np.ones(len((*low, *high)[0]), bool)
    for trace in low:
        stable &= trace <= np.nanquantile(trace, quantile) if np.isfinite(trace).any() else False
    for trace in high:
        stable &= trace >= np.nanquantile(trace, 1 - quantile) if np.isfinite(trace).any() else False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], stable, [False]]).astype(np.int8)))
    runs = [(start, end) for start, end in edges.reshape(-1, 2) if end - start >= min_tokens]
    return sorted({int(place) for run in runs for place in run if 0 < place < len(stable)})


def change_points(signals: np.ndarray, penalty: float, min_tokens: int) -> list[int]:
    """Optimal partition of the signals (T, K), each standardised within the sequence: least squares around each segment's mean plus `penalty` x K a
    segment, by dynamic programming over segments of min_tokens to LONGEST tokens or twice min_tokens (Jackson et al. 2005, "optimal partitioning")."""
    x = _standardised(signals)
    tokens, k = x.shape
    longest = max(LONGEST, 2 * min_tokens)  # so that any text of min_tokens or more has a partition
    if tokens < 2 * min_tokens:
        return []
    sums, squares = np.vstack([np.zeros(k), x.cumsum(0)]), np.concatenate([[0.0], (x**2).sum(1).cumsum()])
    best, previous = np.full(tokens + 1, np.inf), np.zeros(tokens + 1, int)
    best[0] = 0.0
    for end in range(min_tokens, tokens + 1):
        starts = np.arange(max(0, end - longest), end - min_tokens + 1)
        within = squares[end] - squares[starts] - ((sums[end] - sums[starts]) ** 2).sum(1) / (end - starts)
        cost = best[starts] + within + penalty * k
        chosen = int(cost.argmin())
        best[end], previous[end] = cost[chosen], starts[chosen]
    places, end = [], int(previous[tokens])
    while end > 0:
        places.append(end)
        end = int(previous[end])
    return places[::-1]


def _standardised(signals: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 over what is defined of each signal; 0 where it is not."""
    known = np.isfinite(signals)
    count = np.maximum(known.sum(0), 1)
    x = np.where(known, signals, 0.0)
    x = np.where(known, x - x.sum(0) / count, 0.0)
    spread = np.sqrt((x**2).sum(0) / count)
    return x / np.where(spread > 0, spread, 1.0)


def two_kinds(scores: np.ndarray) -> float:
    """The threshold that splits scores into two kinds with the greatest variance between them (Otsu 1979); NaNs do not count."""
    ordered = np.sort(scores[np.isfinite(scores)])
    if len(ordered) < 2 or ordered[0] == ordered[-1]:  # one kind
        return float("inf")
    below = np.arange(1, len(ordered))
    total = ordered.cumsum()
    low, high = total[:-1] / below, (total[-1] - total[:-1]) / (len(ordered) - below)
    at = int((below * (len(ordered) - below) * (high - low) ** 2).argmax())
    return float((ordered[at] + ordered[at + 1]) / 2)
