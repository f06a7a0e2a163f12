"""Labels: what several signals say of a step -> one soft label and one training weight, with provenance.

Signals with one independence key are one witness (ten signals that all look at one vote are not ten votes), so
evidence is averaged within a key and added across keys. For a step, with trust t_s (the recipe's), confidence c_s and
value v_s of each signal s that speaks (where reliability is "estimated", the last two lines are `prm.evidence`'s, with
w_k clip(logit(v_k), -L, L) as what key k says, and its weight in the place of 1 - prod_k):

    within key k    w_k = sum_s (t_s c_s)^2 / sum_s t_s c_s          copies of a signal change neither w_k ...
                    v_k = sum_s t_s c_s v_s / sum_s t_s c_s          ... nor v_k
    across keys     logit(label) = sum_k w_k clip(logit(v_k), -L, L)
                    weight = min(cap, 1 - prod_k (1 - min(w_k, 1))) * (1 - gate * (max_k v_k - min_k v_k))

A step on which no signal speaks has no label (None, weight 0), nor has one on which none of those speaks that are needed. A hard agreement
filter drops whole classes, so the gate here is soft and what falls under `min_weight` is counted by class (`counts`).
Dynamic weights that depend on the model's own predictions belong to training (prm/loss.py).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from prm.errors import PrmError
from prm.evidence import Fit, certainty
from prm.records import StepScores

Label = tuple[float | None, float, str]  # value, weight, provenance
SILENT: Label = (None, 0.0, "")
DROPPED = "dropped "  # what a dropped step's provenance starts with
MOST = 700.0  # log-odds beyond which exp overflows; only a trust in the hundreds gets there


@dataclass(frozen=True)
class Config:
    """reliability: "trust" (the recipe's), or "estimated" (each key's, from the train split, without gold: prm/evidence.py).
    steps: "all", or "last" (only the final step has a label: an outcome model's data). after_error: what becomes of
    a step once an earlier one is wrong: "own" (judged by its own evidence), "wrong" (cannot be right any more: running
    minimum), "drop" (says nothing: its weight is multiplied by the earlier labels, the chance that none was wrong).
    gate: 0 ignores disagreement between keys, 1 lets full disagreement take all weight. cap: the largest weight. clip:
    L, the largest log-odds one key may bring. min_weight: lighter labels are dropped (and counted).
    """

    reliability: str = "trust"
    steps: str = "all"
    after_error: str = "own"
    gate: float = 0.0
    cap: float = 1.0
    clip: float = 4.0
    min_weight: float = 0.0

    def __post_init__(self):
        if self.reliability not in ("trust", "estimated"):
            raise ValueError(f"reliability: {self.reliability!r} is neither trust nor estimated; choose one")
        if self.steps not in ("all", "last"):
            raise ValueError(f"steps: {self.steps!r} is neither all nor last; choose one")
        if self.after_error not in AFTER_ERROR:
            raise ValueError(f"after_error: {self.after_error!r} is unknown; choose one of {', '.join(AFTER_ERROR)}")
        for name in ("gate", "min_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is outside [0, 1]; choose a number inside")
        for name in ("cap", "clip"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive; choose a number above 0")


def combine(
    signals: Mapping[str, StepScores],
    trust: Mapping[str, float],
    config: Config,
    name: str,
    fit: Fit | None = None,
    needs: Collection[str] = (),
) -> StepScores:
    """The labels of one sample. signals: what each says of it, same sample and steps; trust: >= 0 by signal name;
    name: the label set's; fit: the keys' reliabilities, None where trust is to do; needs: signals of which one must speak
    of a step.

    Raises PrmError when signals are missing, trust is negative or the signals are not of one sample.
    """
    first = _checked(signals, trust)
    rows = [
        _step(signals, trust, i, config, fit)
        if not needs or any(_speaks(signals[n], trust[n], i) for n in needs)
        else SILENT
        for i in range(len(first.values))
    ]
    rows = AFTER_ERROR[config.after_error](rows)
    if config.steps == "last":
        rows = [SILENT] * (len(rows) - 1) + rows[-1:]
    rows = [_floor(row, config.min_weight) for row in rows]
    keys = "+".join(sorted({row.key for row in signals.values()}))
    values, weights, provenance = zip(*rows) if rows else ((), (), ())
    return StepScores(first.problem_id, first.index, name, keys, values, weights, provenance)


def counts(rows: Iterable[StepScores]) -> dict[str, int]:
    """How many steps are labelled right (>= .5) and wrong, how many of either were dropped, and how many had no label
    at all."""
    found = Counter({"right": 0, "wrong": 0, "dropped_right": 0, "dropped_wrong": 0, "unlabelled": 0})
    for row in rows:
        for value, text in zip(row.values, row.provenance):
            if value is not None:
                found["right" if value >= 0.5 else "wrong"] += 1
            else:
                found["_".join(text.split(":")[0].split()) if text.startswith(DROPPED) else "unlabelled"] += 1
    return dict(found)


def testimony(signals: Mapping[str, StepScores], trust: Mapping[str, float], i: int, clip: float) -> dict[str, float]:
    """What each key says of step i, in log-odds scaled by its strength: w_k clip(logit(v_k), -clip, clip). Silent keys are
    left out."""
    return {key: _scaled(v, w, clip) for key, (v, w) in _pooled(signals, trust, i).items()}


def _checked(signals: Mapping[str, StepScores], trust: Mapping[str, float]) -> StepScores:
    if not signals:
        raise PrmError("labels: no signal to make labels from; name at least one under signals")
    first = next(iter(signals.values()))
    for name, row in signals.items():
        if name not in trust or not 0 <= trust[name] < math.inf:
            raise PrmError(f"labels: trust of signal {name!r} is {trust.get(name)}; give a number >= 0")
        if (row.problem_id, row.index, len(row.values)) != (first.problem_id, first.index, len(first.values)):
            raise ValueError(
                f"labels: {name} speaks of sample {row.problem_id}/{row.index}, not of {first.problem_id}/{first.index}"
            )
    return first


def _step(
    signals: Mapping[str, StepScores], trust: Mapping[str, float], i: int, config: Config, fit: Fit | None
) -> Label:
    pooled = _pooled(signals, trust, i)
    if not pooled:
        return SILENT
    said = {key: _scaled(v, w, config.clip) for key, (v, w) in pooled.items()}
    if fit is None:
        odds, weight = sum(said.values()), 1 - math.prod(1 - min(w, 1.0) for _, w in pooled.values())
    else:
        odds, sd = fit.odds(said, config.clip)
        weight = certainty(odds, sd)
    spread = max(v for v, _ in pooled.values()) - min(v for v, _ in pooled.values())
    weight = min(config.cap, weight) * (1 - config.gate * spread)
    strengths = ((name, row.values[i], trust[name] * row.weights[i]) for name, row in signals.items())
    who = " ".join(f"{name}={value:.3g}@{s:.3g}" for name, value, s in strengths if value is not None and s > 0)
    return 1 / (1 + math.exp(-max(-MOST, min(MOST, odds)))), weight, who


def _pooled(signals: Mapping[str, StepScores], trust: Mapping[str, float], i: int) -> dict[str, tuple[float, float]]:
    """(v_k, w_k) of each key that speaks of step i."""
    witnesses = defaultdict(list)
    for name, row in signals.items():
        if _speaks(row, trust[name], i):
            witnesses[row.key].append((row.values[i], trust[name] * row.weights[i]))
    return {key: _witness(pairs) for key, pairs in witnesses.items()}


def _speaks(row: StepScores, trust: float, i: int) -> bool:
    return row.values[i] is not None and trust * row.weights[i] > 0


def _scaled(value: float, strength: float, clip: float) -> float:
    return strength * max(-clip, min(clip, _logit(value)))


def _witness(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    total = sum(strength for _, strength in pairs)
    value = sum(value * strength for value, strength in pairs) / total
    return min(1.0, max(0.0, value)), sum(strength**2 for _, strength in pairs) / total


def _logit(value: float) -> float:
    if value in (0.0, 1.0):
        return math.inf if value else -math.inf
    return math.log(value / (1 - value))


def _running_minimum(rows: list[Label]) -> list[Label]:
    """A step that is lowered takes the weight and the provenance of the step that lowers it."""
    lowest, capped = None, []
    for row in rows:
        if row[0] is not None and (lowest is None or row[0] <= lowest[0]):
            lowest = row
        capped.append(row if row[0] is None or lowest is row else lowest)
    return capped


def _fading(rows: list[Label]) -> list[Label]:
    """A step weighs as much as it is likely that nothing before it was wrong."""
    unspoilt, faded = 1.0, []
    for value, weight, said in rows:
        faded.append((value, weight * unspoilt, said))
        unspoilt *= 1.0 if value is None else value
    return faded


AFTER_ERROR = {"own": lambda rows: rows, "wrong": _running_minimum, "drop": _fading}


def _floor(row: Label, min_weight: float) -> Label:
    value, weight, said = row
    if value is None or (weight >= min_weight and weight > 0):
        return row
    return None, 0.0, f"{DROPPED}{'right' if value >= 0.5 else 'wrong'}: {said}"
