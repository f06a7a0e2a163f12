"""All worlds together: summary.json, and the table for a terminal or README.md.

For every row: vote, the mean accuracy of the weighted vote; gain, its paired difference to majority as (mean, low, high); vote_ci, that
interval laid at majority's mean; over_ours, its paired difference to ours in the same worlds; bon, best-of-N; recovered, the mean over worlds
of (vote - majority) / (ceiling - majority). Quality of the labels and their cost are means over worlds. Numbers that do not exist are None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from eval import gate
from eval.summary import clean
from eval.titles import ARMS

OURS, RIVAL, BOTH, CEILING = "prm", "re-asked vote", "prm over re-asked problems", "ceiling"
TITLES = {
    "log-probability": "log-probability, best sample (no PRM)",
    "signal logprob": "log-probability of each step (no PRM)",
    "signal pairwise": "pairwise step consistency (no PRM)",
    "signal tree": "prefix tree (no PRM)",
    "signal reask": "re-asking the test steps themselves (no PRM, new tokens for every problem)",
    **ARMS,
    "mc_drop": "Math-Shepherd, soft, steps after a first error dropped, as ours are",
    "ttrl_soft": "TTRL, with our dynamic weights",
    "soft": "ours, with our dynamic weights",
    "two_routes": "re-asked by two routes",
    "shared": "control: 58 % of the facts by routes that contain the computation in doubt",
    "suspect": "control: all routes contain the computation in doubt",
    "seen": "ours, facts and phrases held out",
    "seen_gold": "trained on gold, facts and phrases held out",
    "all": "re-asked, vote, pairwise and log-probability together, where re-asking speaks",
    "filled": "the same, and the others alone where re-asking is silent",
    "prm": "**ours: re-asked by other routes**",
    RIVAL: "the rival: vote over re-asked problems (no training)",
    BOTH: "**ours, over re-asked problems**",
    "long": "ours, trained three times as long",
    "gold": "trained on gold, as long as ours",
    "gold over re-asked problems": "the same, over re-asked problems",
    CEILING: "trained on gold, three times as long: the ceiling",
}

STRATA = {  # columns of the second table
    RIVAL: "vote over re-asked",
    OURS: "ours",
    BOTH: "ours, re-asked",
    CEILING: "ceiling",
    "seen": "ours, held out",
    "seen_gold": "on gold, held out",
}
KINDS = (
    ("systematic", "in", "ask for a mis-taught fact (systematic errors)"),
    ("systematic", "out", "ask for none (random errors)"),
    ("held-out facts", "in", "ask for a held-out fact"),
    ("held-out phrases", "in", "are told in a held-out phrase"),
)

QUALITY = ("auroc_random", "auroc_systematic", "auroc_random_within", "auroc_systematic_within", "precision")


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


def markdown(found: Mapping) -> str:
    """The table, with what it was measured on and the gate's verdict."""
    heads = ["labels, or way of choosing", f"vote of {found['samples']}", "minus majority, points [95 %]"]
    heads += ["minus ours, same worlds", f"best of {found['samples']}", "of the ceiling's gain"]
    heads += [
        "AUROC random",
        "systematic",
        "within problems: random",
        "systematic",
        "precision",
        "coverage",
        "tokens a label",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    lines += [
        f"| {_title(name, row, found)} | " + " | ".join(_cells(row)) + " |" for name, row in found["rows"].items()
    ]
    parts = ["\n".join(lines), _words(found), _strata(found), _notes(found)]
    return "\n\n".join(part for part in parts if part)


def _title(name: str, row: Mapping, found: Mapping) -> str:
    """With the number of worlds where they are fewer than the table's."""
    fewer = len(row["seeds"]) < len(found["seeds"])
    return TITLES[name] + (f" ({len(row['seeds'])} world{'s' * (len(row['seeds']) > 1)})" if fewer else "")


def _words(found: Mapping) -> str:
    """What the table was measured on, the rival, and the gate's verdict."""
    samples = found["samples"]
    base = f"One sample {_three(found['one_sample'])}, majority {_three(found['majority'])}, any of {samples} {_three(found['oracle'])}. "
    rival, over = "", found["over_rival"]
    if None not in over[BOTH]:
        rival = f"Against the vote over re-asked problems: ours over re-asked problems {_points(over[BOTH])} points"
        rival += f", ours over the problems as they stand {_points(over[OURS])}. "
    worlds = f"{len(found['seeds'])} worlds of {found['problems']:,} held-out problems, {samples} samples each. "
    return f"{worlds}{base}{rival}The gate says: **{found['gate']}**. {found['because']}"


def _strata(found: Mapping) -> str:
    """Votes by kind of problem: random and systematic errors apart, and what held-out facts and phrases do."""
    columns = [name for name in STRATA if any(name in kind for kind in found["strata"].values())]
    heads = ["problems that", "share", "majority", *(STRATA[name] for name in columns)]
    lines = [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for name, side, words in KINDS:
        if name in found["strata"]:
            kind = found["strata"][name]
            share = kind["share"] if side == "in" else 1 - kind["share"]
            majority = _three(kind["majority"][side]["vote"])
            votes = [_of_kind(kind[column][side], column) if column in kind else "" for column in columns]
            lines.append(f"| {words} | {share:.2f} | {majority} | {' | '.join(votes)} |")
    return "\n".join(lines)


def _of_kind(part: Mapping, column: str) -> str:
    """A vote, ours with its paired difference to majority."""
    told = f" ({_points(part['gain'])})" if column in (OURS, BOTH) and None not in part["gain"] else ""
    return _three(part["vote"]) + told


def _notes(found: Mapping) -> str:
    """Held-out facts step by step, costs, and what the tool warned of."""
    told = []
    if {"seen", OURS} <= found["held_out"].keys():
        known, unseen = found["held_out"][OURS], found["held_out"]["seen"]
        told.append(
            f"Steps that assert a held-out fact: AUROC of our PRM {_three(unseen.get('random'))} (random) and {_three(unseen.get('systematic'))} "
            f"(systematic) where no training problem asks for it, {_three(known.get('random'))} and {_three(known.get('systematic'))} where some do."
        )
    costs = found["costs"]
    if "reask" in costs and "mc_soft" in costs:
        told.append(
            f"Generated tokens a judged step, the same solutions, nothing shared between problems: re-asking {costs['reask']:.1f}, Monte-Carlo with "
            f"{found['rollouts']} rollouts {costs['mc_soft']:.1f}: {costs['reask'] / costs['mc_soft']:.2f} of it "
            f"({costs['reask, shared by all problems']:.1f} where the run shares a fact's answers, as it does)."
        )
    if "re-asked samples" in found["tokens"]:
        drawn = found["tokens"]
        told.append(
            f"Generated tokens a held-out problem: {drawn['samples']:.0f} for its samples, {drawn['re-asked samples']:.0f} for as many re-asked."
        )
    for warning in sorted({warning for warnings in found["warnings"].values() for warning in warnings}):
        of = sorted({stage.split(".")[1] for stage, warnings in found["warnings"].items() if warning in warnings})
        told.append(f"The tool warned of {', '.join(of)}: {warning}.")
    return " ".join(told)


def _cells(row: Mapping) -> list[str]:
    two: Callable = lambda value: "" if value is None else f"{value:.2f}"
    cost = row["tokens_per_label"]
    return [
        _three(row["vote"]),
        _points(row["gain"]),
        _points(row["over_ours"]) if row["over_ours"] != [0, 0, 0] else "",
        _three(row["bon"]),
        two(row["recovered"]),
        *(_three(row[key]) for key in QUALITY),
        two(row["coverage"]),
        "" if cost is None else f"{cost:.1f}",
    ]


def _points(interval: Sequence[float | None]) -> str:
    if None in interval:
        return ""
    mean, low, high = (100 * x for x in interval)
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
