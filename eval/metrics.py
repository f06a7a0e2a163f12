"""The numbers of every report: ranking, calibration, first errors. numpy alone, no records. Paired intervals: eval/gate.py.

Shape suffixes: _K steps of all samples in one row, _P problems. Where a number has no meaning (no wrong
step, an empty bin, no problem) it is NaN, never 0.
"""

from __future__ import annotations

import numpy as np


def auroc(values_K, right_K, groups_K=None) -> float:
    """Chance that a right step outranks a wrong one, a tie counting half; NaN if either kind is missing.

    groups_K: with it only pairs of one group are compared (every such pair weighs the same), so that what merely tells
    easy problems from hard ones earns nothing.
    """
    values = np.asarray(values_K, float)
    right = np.asarray(right_K, bool)
    groups = np.zeros(len(values), int) if groups_K is None else np.unique(groups_K, return_inverse=True)[1]
    if len(values) == 0:
        return float("nan")
    order = np.lexsort((values, groups))
    values, right, groups = values[order], right[order], groups[order]
    starts_group = np.flatnonzero(np.r_[True, np.diff(groups) != 0])
    starts_tie = np.flatnonzero(np.r_[True, (np.diff(groups) != 0) | (np.diff(values) != 0)])
    lengths = np.diff(np.r_[starts_tie, len(values)])
    rank = np.repeat(starts_tie + (lengths - 1) / 2, lengths) - starts_group[groups]
    positives = np.bincount(groups, right)
    negatives = np.bincount(groups) - positives
    wins = np.bincount(groups, rank * right) - positives * (positives - 1) / 2
    pairs = (positives * negatives).sum()
    return float(wins[positives * negatives > 0].sum() / pairs) if pairs else float("nan")


def reliability(values_K, right_K, bins: int = 10) -> dict[str, np.ndarray]:
    """Equal-width bins of the belief: `count`, mean `belief` and share `right` of each (NaN where a bin is empty)."""
    values, right = np.asarray(values_K, float), np.asarray(right_K, bool)
    index = np.minimum((values * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        belief = np.bincount(index, values, bins) / count
        share = np.bincount(index, right, bins) / count
    return {"count": count, "belief": belief, "right": share}


def ece(values_K, right_K, bins: int = 10) -> float:
    """Expected calibration error: the gap between belief and share right, averaged over the bins by their counts."""
    table = reliability(values_K, right_K, bins)
    used = table["count"] > 0
    if not used.any():
        return float("nan")
    gaps = np.abs(table["belief"] - table["right"])[used]
    return float(np.average(gaps, weights=table["count"][used]))


def brier(values_K, right_K) -> float:
    """Mean squared distance of the belief from what was true (1 right, 0 wrong)."""
    values, right = np.asarray(values_K, float), np.asarray(right_K, float)
    return float(np.mean((values - right) ** 2)) if len(values) else float("nan")


def first_error(values, threshold: float) -> int:
    """Index of the first step believed at `threshold` or less; -1 if there is none. None accuses nobody."""
    return next((i for i, value in enumerate(values) if value is not None and value <= threshold), -1)


def first_error_f1(predicted_S, labels_S) -> dict[str, float]:
    """ProcessBench's score (Zheng et al. 2024, arXiv 2412.06559) of solutions S: the first wrong step's index or -1.

    acc_error: share of the wrong solutions whose first wrong step was found exactly; acc_correct: share of the right
    ones passed as right; f1: their harmonic mean.
    """
    predicted, labels = np.asarray(predicted_S, int), np.asarray(labels_S, int)
    wrong = labels >= 0
    hit = predicted == labels
    n_error, n_correct = int(wrong.sum()), int((~wrong).sum())
    acc_error = float(hit[wrong].mean()) if n_error else float("nan")
    acc_correct = float(hit[~wrong].mean()) if n_correct else float("nan")
    total = acc_error + acc_correct
    f1 = 0.0 if total == 0 else 2 * acc_error * acc_correct / total
    return {"n_error": n_error, "n_correct": n_correct, "acc_error": acc_error, "acc_correct": acc_correct, "f1": f1}
