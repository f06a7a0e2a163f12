"""How well step scores (a signal's, a label set's, a PRM's: all are `StepScores`) tell right steps from wrong ones.

truth: the kinds of each sample's steps by (problem id, sample index): "right", or what is wrong with it: "slip"
(random),
"misconception" (systematic), "carried" (an earlier step was wrong), or "wrong" where no more is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from eval import metrics
from prm.errors import PrmError
from prm.records import StepScores

THRESHOLD = 0.5  # a step believed at this or less is called wrong: by principle, never tuned
# name in a report -> which wrong steps are set against the right ones; () is all of them
KINDS = {"all": (), "random": ("slip",), "systematic": ("misconception",)}


def quality(rows: Iterable[StepScores], truth: Mapping[tuple[str, int], Sequence[str]]) -> dict:
    """One source's rows against the truth.

    Returns {"source", "key", "steps", "coverage" (share of the steps with a value), "auroc": {kind: {"overall",
    "within" (pairs of one problem only), "first_error" (steps after a sample's first wrong one left out)}}, "ece",
    "brier", "reliability", "first_error" (ProcessBench's F1: a sample's first step believed at THRESHOLD or less)}. Abstentions count in coverage alone. NaN where there is nothing to compare. Raises
    PrmError where a row's steps are not the truth's.
    """
    rows = list(rows)
    values, kinds, problems, early = _flatten(rows, truth)
    known = ~np.isnan(values)
    coverage = float(known.mean()) if len(known) else float("nan")
    values, kinds, problems, early = values[known], kinds[known], problems[known], early[known]
    right = kinds == "right"
    bins = metrics.reliability(values, right)
    return {
        "source": rows[0].source if rows else "",
        "key": rows[0].key if rows else "",
        "steps": int(len(known)),
        "coverage": coverage,
        "auroc": {name: _views(values, kinds, problems, early, wrong) for name, wrong in KINDS.items()},
        "ece": metrics.ece(values, right),
        "brier": metrics.brier(values, right),
        "reliability": {name: column.tolist() for name, column in bins.items()},
        "first_error": _first_errors(rows, truth),
    }


def _first_errors(rows: Sequence[StepScores], truth: Mapping[tuple[str, int], Sequence[str]]) -> dict[str, float]:
    judged = [(row.values, truth[row.problem_id, row.index]) for row in rows if row.values]
    labels = [next((i for i, kind in enumerate(kinds) if kind != "right"), -1) for _, kinds in judged]
    return metrics.first_error_f1([metrics.first_error(values, THRESHOLD) for values, _ in judged], labels)


def _views(values, kinds, problems, early, wrong) -> dict[str, float]:
    right = kinds == "right"
    kept = right | np.isin(kinds, wrong) if wrong else np.ones(len(kinds), bool)
    first = kept & early
    return {
        "overall": metrics.auroc(values[kept], right[kept]),
        "within": metrics.auroc(values[kept], right[kept], problems[kept]),
        "first_error": metrics.auroc(values[first], right[first]),
    }


def _flatten(rows, truth):
    """Values (NaN: abstained), kinds, problem numbers and "no earlier step is wrong" of all steps in one line."""
    values, kinds, problems, early = [], [], [], []
    numbers: dict[str, int] = {}
    for row in rows:
        if not row.values:
            continue  # a sample without steps has nothing to be right or wrong about
        true = truth.get((row.problem_id, row.index))
        if true is None or len(true) != len(row.values):
            raise PrmError(
                f"{row.source}: {row.problem_id} sample {row.index} has {len(row.values)} steps, the truth "
                f"{0 if true is None else len(true)}; score and judge the same cuts"
            )
        values += [float("nan") if value is None else value for value in row.values]
        kinds += true
        problems += [numbers.setdefault(row.problem_id, len(numbers))] * len(true)
        first = next((i for i, kind in enumerate(true) if kind != "right"), len(true))
        early += [i <= first for i in range(len(true))]
    return np.array(values, float), np.array(kinds, str), np.array(problems, int), np.array(early, bool)
