"""All worlds together: summary.json.

For every row: vote, the mean accuracy of the weighted vote; gain, its paired difference to majority as (mean, low, high); vote_ci, that
interval laid at majority's mean; over_ours, its paired difference to ours in the same worlds; bon, best-of-N; recovered, the mean over worlds
of (vote - majority) / (ceiling - majority). Quality of the labels and their cost are means over worlds. Numbers that do not exist are None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eval import gate
from eval.ablation.table import BOTH, CEILING, OURS, RIVAL, TITLES
from eval.summary import clean


def summarise(worlds: Sequence[Mapping]) -> dict:
    """summary.json's content, from what `measure` gave of each world. Whatever some worlds lack is of the others."""
    votes = {name: [world["rows"].get(name, {}).get("vote") for world in worlds] for name in _names(worlds)}
    here = _worlds_with(votes, OURS)
    ours, majority, outcome, ceiling = (_of(votes, name, here) for name in (OURS, "majority", "orm", CEILING))
    verdict = gate.judge(ours, majority, outcome, ceiling)
    rows = {name: _row(name, worlds, votes) for name in TITLES if name in votes}
    return clean(
        {
            "seeds": [world["seed"] for world in worlds],
            "problems": worlds[0]["problems"],
            "samples": worlds[0]["samples"],
            "rollouts": worlds[0]["rollouts"],
            "majority": _mean(votes["majority"]),
            "one_sample": _mean(votes["one sample"]),
            "oracle": _mean(votes["oracle"]),
            "gold_vote": _mean(votes.get(CEILING, ())),
            "reasked_vote": _mean(votes.get(RIVAL, ())),
            "gate": verdict.text,
            "because": verdict.because,
            "over_rival": {name: _between(votes, name, RIVAL) for name in (OURS, BOTH)},
            "rows": rows,
            "strata": {name: _stratum(name, worlds, votes) for name in worlds[0]["strata"]},
            "held_out": _held_out(worlds),
            "costs": _means([world["costs"] for world in worlds]),
            "tokens": _means([world["tokens"] for world in worlds]),
            "warnings": _warnings(worlds),
            "worlds": [_world(world) for world in worlds],
        }
    )


def _names(worlds: Sequence[Mapping]) -> list[str]:
    return list(dict.fromkeys(name for world in worlds for name in world["rows"]))


def _worlds_with(votes: Mapping[str, list], *names: str) -> list[int]:
    """The worlds that have all of these rows."""
    if any(name not in votes for name in names):
        return []
    return [i for i, row in enumerate(zip(*(votes[name] for name in names))) if all(vote is not None for vote in row)]


def _of(votes: Mapping[str, list], name: str, here: Sequence[int]) -> list | None:
    """A row in some worlds; None where one of them lacks it."""
    found = [votes[name][i] for i in here] if name in votes else [None]
    return None if any(vote is None for vote in found) else found


def _between(votes: Mapping[str, list], name: str, other: str) -> tuple[float, float, float]:
    """The paired difference of two rows, in the worlds that have both."""
    here = _worlds_with(votes, name, other)
    return gate.difference(_of(votes, name, here) or (), _of(votes, other, here) or ())


def _row(name: str, worlds: Sequence[Mapping], votes: Mapping[str, list]) -> dict:
    """Worlds that lack the row (some controls are run on the first ones alone) are left out on both sides."""
    here = _worlds_with(votes, name)
    mine, majority = ([votes[key][i] for i in here] for key in (name, "majority"))
    gold = [votes[CEILING][i] if CEILING in votes else None for i in here]
    gain, base = gate.difference(mine, majority), _mean(majority)
    rows = [worlds[i]["rows"][name] for i in here]
    labels = _means([row.get("labels") or {} for row in rows])
    bon = [row["bon"] for row in rows if row.get("bon")]
    return {
        "vote": _mean(mine),
        "vote_ci": [base + gain[1], base + gain[2]],
        "gain": list(gain),
        "over_ours": list(_between(votes, name, OURS)),
        "bon": _mean(bon) if bon else None,
        "recovered": _means([{"recovered": _recovered(*three)} for three in zip(mine, majority, gold)]).get(
            "recovered"
        ),
        "auroc_random": labels.get("random"),
        "auroc_systematic": labels.get("systematic"),
        "auroc_random_within": labels.get("random_within"),
        "auroc_systematic_within": labels.get("systematic_within"),
        "precision": labels.get("precision"),
        "coverage": labels.get("coverage"),
        "tokens_per_label": _means([{"cost": row["cost"]} for row in rows if "cost" in row]).get("cost"),
        "prm_auroc": _means([row.get("prm") or {} for row in rows]) or None,
        "seeds": [worlds[i]["seed"] for i in here],
    }


def _recovered(mine: Sequence[float], majority: Sequence[float], gold: Sequence[float] | None) -> float | None:
    """None where the ceiling itself gains nothing, or is not there."""
    if gold is None:
        return None
    ceiling = np.mean(gold) - np.mean(majority)
    return float((np.mean(mine) - np.mean(majority)) / ceiling) if ceiling > 0 else None


def _stratum(name: str, worlds: Sequence[Mapping], votes: Mapping[str, list]) -> dict:
    """Votes on the problems of a stratum and on the others: {row: {"in": (accuracy, gain), "out": ...}}, and how many there are."""
    marks = [np.array(world["strata"][name], bool) for world in worlds]
    found: dict = {"share": float(np.mean([mark.mean() for mark in marks]))}
    found["majority"] = {side: _part(votes["majority"], votes["majority"], pick) for side, pick in _sides(marks)}
    for row in (OURS, "all", "seen", "seen_gold", "gold", CEILING, RIVAL, BOTH, "orm"):
        if any(vote is None for vote in votes.get(row, [None])):
            continue
        found[row] = {side: _part(votes[row], votes["majority"], pick) for side, pick in _sides(marks)}
    return found


def _sides(marks: Sequence[np.ndarray]) -> list[tuple[str, list[np.ndarray]]]:
    return [("in", list(marks)), ("out", [~mark for mark in marks])]


def _part(votes: Sequence, majority: Sequence, pick: Sequence[np.ndarray]) -> dict:
    mine, base = ([np.array(v, float)[p] for v, p in zip(side, pick)] for side in (votes, majority))
    return {"vote": _mean(mine), "majority": _mean(base), "gain": list(gate.difference(mine, base))}


def _held_out(worlds: Sequence[Mapping]) -> dict:
    """AUROC of each PRM on steps that assert a held-out fact."""
    arms = worlds[0]["held_out"]
    return {arm: _means([world["held_out"].get(arm, {}) for world in worlds]) for arm in arms}


def _warnings(worlds: Sequence[Mapping]) -> dict[str, list[str]]:
    """What the tool warned of, by stage: in the first world that it warned in."""
    return {stage: told for world in reversed(worlds) for stage, told in world["warnings"].items()}


def _world(world: Mapping) -> dict:
    """A world by itself: every row's vote."""
    return {"seed": world["seed"], **{name: float(np.mean(row["vote"])) for name, row in world["rows"].items()}}


def _mean(worlds: Sequence[Sequence[float] | None]) -> float:
    """Over the worlds that have it; NaN where none has."""
    means = [np.nanmean(np.asarray(world, float)) for world in worlds if world is not None]
    return float(np.mean(means)) if means else float("nan")


def _means(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Means by key over the rows that have it."""
    keys = dict.fromkeys(key for row in rows for key in row)
    known = {key: [row[key] for row in rows if row.get(key) is not None] for key in keys}
    return {key: float(np.mean(values)) for key, values in known.items() if values}
