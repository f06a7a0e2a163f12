"""The release gate: "improves" is said only where the PRM's weighted vote beats what it has to beat, and never on one seed.

Worlds are drawn anew by each seed (facts, policy, problems, PRM), with the same number of samples a problem for every way of choosing. Then

    improves  <=>  at least five seeds, and the 95 % interval of (ours - majority) and of (ours - outcome model on the same data) both lie above 0

Intervals come from resampling worlds, and problems within them, with replacement; each problem is compared with itself.
Random and systematic errors are shown apart by whoever calls this (METHODS: "the claim we may make").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NO_GAIN = "no evidence of gain over voting"
IMPROVES = "improves"
SEEDS = 5
DRAWS = 2000


@dataclass(frozen=True)
class Verdict:
    """text: IMPROVES or NO_GAIN; because: in words. over_majority, over_outcome: (mean, low, high) of the paired differences."""

    text: str
    because: str
    over_majority: tuple[float, float, float]
    over_outcome: tuple[float, float, float] | None

    @property
    def improves(self) -> bool:
        return self.text == IMPROVES


Worlds = Sequence[Sequence[float]]  # an accuracy a problem, in each world


def judge(ours: Worlds | None, majority: Worlds, outcome: Worlds | None, ceiling: Worlds | None = None) -> Verdict:
    """outcome: of the outcome model trained on the same data; ceiling: of the PRM trained on gold. Any but majority None where there is none."""
    if not ours:
        return Verdict(NO_GAIN, "There is no PRM (arm `prm`) to compare.", (float("nan"),) * 3, None)
    over_majority = difference(ours, majority)
    over_outcome = None if outcome is None else difference(ours, outcome)
    because = f"Weighted by our PRM the vote differs from majority by {points(over_majority)}"
    because += (
        " and there is no outcome model to compare. "
        if outcome is None
        else (f" and from the outcome model trained on the same data by {points(over_outcome)}. ")
    )
    if ceiling is not None and difference(ceiling, majority)[1] <= 0:
        because += "The PRM trained on gold does not beat majority either: this test cannot tell good labels from bad. "
    seeds = len(ours)
    if seeds < SEEDS:
        because += f"Seeds: {seeds}; the claim needs the same on {SEEDS} (`make ablation`)."
    above = over_majority[1] > 0 and over_outcome is not None and over_outcome[1] > 0
    text = IMPROVES if above and seeds >= SEEDS else NO_GAIN
    return Verdict(text, because.strip(), over_majority, over_outcome)


def difference(rows: Worlds, baseline: Worlds, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high) of row minus baseline, worlds weighing the same; NaN on either side leaves a problem out. All NaN
    where there is no world, or one without a problem."""
    gaps = [np.asarray(row, float) - np.asarray(base, float) for row, base in zip(rows, baseline, strict=True)]
    gaps = [gap[~np.isnan(gap)] for gap in gaps]
    if not gaps or not all(len(gap) for gap in gaps):
        return (float("nan"),) * 3
    rng = np.random.default_rng(seed)
    within = np.array([[gap[rng.integers(0, len(gap), len(gap))].mean() for gap in gaps] for _ in range(DRAWS)])
    drawn = rng.integers(0, len(gaps), (DRAWS, len(gaps))) if len(gaps) > 1 else np.zeros((DRAWS, 1), int)
    means = np.take_along_axis(within, drawn, axis=1).mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(np.mean([gap.mean() for gap in gaps])), float(low), float(high)


def points(interval: Sequence[float]) -> str:
    """An interval in words: "+9.4 points (95 % interval +7.1 to +11.7)"."""
    mean, low, high = (100 * x for x in interval)
    return f"{mean:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
