"""The ablation's table, from summary.json, for a terminal or README.md. Which rows there are, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eval.html import difference
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
        rival = f"Against the vote over re-asked problems: ours over re-asked problems {difference(over[BOTH])} points"
        rival += f", ours over the problems as they stand {difference(over[OURS])}. "
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
    told = f" ({difference(part['gain'])})" if column in (OURS, BOTH) and None not in part["gain"] else ""
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
        difference(row["gain"]),
        difference(row["over_ours"]) if row["over_ours"] != [0, 0, 0] else "",
        _three(row["bon"]),
        two(row["recovered"]),
        *(_three(row[key]) for key in QUALITY),
        two(row["coverage"]),
        "" if cost is None else f"{cost:.1f}",
    ]


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
