"""Who said what: the fit behind a label set's reliabilities, and what each independence key contributed, for manifest, `prm show` and report.

Everything is read from at most `evidence.STEPS` steps: whole shards in one fixed shuffled order, as data sets come sorted.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from prm import config as configs
from prm import evidence, labels
from prm.evidence import SHARED, Fit, Said, Unidentified, Z, trigamma

if TYPE_CHECKING:
    import numpy as np

    from prm.store import Folder

LINKED = 0.3  # residual correlation from which two keys are called dependent; hard problems alone make some
FEW = 0.01  # of the labels
TOGETHER = 2.0  # times as many misses in common as independence makes


def fitted(signals: Mapping[str, Folder], trust: Mapping[str, float], config: labels.Config) -> tuple[Fit | None, str]:
    """The reliabilities of the keys behind `signals`; (None, why) where they cannot be told and trust must do."""
    steps = ((row, said) for row, said, _ in _steps(signals, None, trust, config))
    try:
        return evidence.fit(evidence.gather(steps)), ""
    except Unidentified as error:
        return None, str(error)


def report(
    signals: Mapping[str, Folder],
    made: Folder,
    trust: Mapping[str, float],
    config: labels.Config,
    fit: Fit | None,
    why: str = "",
) -> dict[str, Any]:
    """Plain numbers of one label set.

    Returns {"reliability": "estimated" or "trust", "why", "steps", "keys": {key: {"signals", "coverage", "says_wrong",
    "overruled" (of the labelled steps it spoke of, where the label says otherwise), "right", "miss": P(says right | right),
    P(says right | wrong), each [estimate, low, high] of a 95 % Beta interval, or null}}, "pairs": {"a+b": {"both" (share of steps),
    "agree", "linked" (correlation beyond what the fit explains), "missed", "expected" (both say right of a wrong step; if
    independent)}}, "alone": share of the labelled steps of which only keys in SHARED speak (null if there are no others), "rests_on":
    {number of keys: labelled steps}, "classes": {"right", "seen", "hidden"} or null, "fit"}.
    """
    import numpy as np

    values: list[float] = []

    def kept() -> Iterator[tuple[str, dict[str, float]]]:
        for problem, said, value in _steps(signals, made, trust, config):
            values.append(math.nan if value is None else value)
            yield problem, said

    table = evidence.gather(kept())
    label = np.array(values[: len(table.said)])
    spoke = ~np.isnan(table.said)
    wrong = None if fit is None else 1 - _belief(table, fit, config.clip)
    of_key: dict[str, list[str]] = {}
    for name, folder in signals.items():
        of_key.setdefault(next((row.key for row in folder.rows()), ""), []).append(name)
    judged = spoke[~np.isnan(label)]
    rests = np.bincount(judged.sum(1)) if len(label) else []
    lone = np.array([key not in SHARED for key in table.keys], bool)
    return {
        "reliability": "trust" if fit is None else "estimated",
        "why": why,
        "steps": len(label),
        "keys": {key: {"signals": of_key[key], **_key(table, key, label, wrong)} for key in table.keys},
        "pairs": {f"{a}+{b}": _pair(table, a, b, fit, wrong) for a, b in combinations(table.keys, 2)},
        "alone": float((~judged[:, lone].any(1)).mean()) if lone.any() and len(judged) else None,
        "rests_on": {str(n): int(count) for n, count in enumerate(rests) if count},
        "classes": None if fit is None else dict(zip(("right", "seen", "hidden"), fit.classes)),
        "fit": configs.plain(fit),
    }


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Plain sentences; empty where nothing is suspicious."""
    keys, told = report["keys"], []
    if set(keys) == {"gold"}:
        return told  # the ceiling needs nobody to confirm it
    if keys and set(keys) <= SHARED:
        told.append(
            f"all labels rest on {', '.join(keys)}: on what the policy answers when asked directly; "
            "they are blind to errors it makes systematically"
        )
    if len(keys) == 1:
        told.append(f"one key alone, {next(iter(keys))}: nothing independent confirms it")
    if report["why"] and len(keys) > 1:
        told.append(f"reliabilities not estimated, the recipe's trust stands: {report['why']}")
    for name, pair in report["pairs"].items():
        a, b = name.split("+")
        if {a, b} <= SHARED:
            continue  # known to go together, and fitted so
        linked = pair["linked"] is not None and pair["linked"] > LINKED
        together = pair["missed"] is not None and pair["missed"] > max(0.05, TOGETHER * pair["expected"])
        if linked or together:
            told.append(f"{a} and {b} are not independent witnesses: {_why(pair, linked)}")
    lone = [k for k in keys if k not in SHARED]
    if report["reliability"] == "estimated" and len(lone) == 1 and len(keys) > 1:
        told.append(
            f"no key but {lone[0]} can see what the policy gets wrong systematically: there it is taken at its word"
        )
    if (report.get("alone") or 0) > FEW:
        who = " and ".join(lone)
        told.append(
            f"{report['alone']:.0%} of the labels rest on what the policy says when asked directly, where {who} is silent; if it is silent "
            "where it is in doubt, those are its worst (an arm's `needs` leaves them out)"
        )
    told += [
        f"{key} comes out no better than chance: it is right of {k['right'][0]:.0%} of right steps and misses "
        f"{k['miss'][0]:.0%} of wrong ones"
        for key, k in keys.items()
        if k["miss"] and k["miss"][0] >= k["right"][0]
    ]
    return told


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """A table a key, one a pair, and the warnings."""
    how = "reliabilities estimated without gold" if report["reliability"] == "estimated" else "the recipe's trust"
    yield f"  who said what ({how}, {report['steps']:,} steps)"
    yield f"  {'key':<14}{'speaks':>8}{'says wrong':>12}{'right|right':>13}{'right|wrong':>20}{'overruled':>11}  signals"
    for key, k in report["keys"].items():
        yield (
            f"  {key:<14}{_share(k['coverage']):>8}{_share(k['says_wrong']):>12}{_share(k['right'] and k['right'][0]):>13}"
            f"{_interval(k['miss']):>20}{_share(k['overruled']):>11}  {', '.join(k['signals'])}"
        )
    for name, pair in report["pairs"].items():
        yield (
            f"  {name:<22} both speak {_share(pair['both'])}, agree {_share(pair['agree'])}; "
            f"miss together {_share(pair['missed'])}, if independent {_share(pair['expected'])}"
        )
    total = sum(report["rests_on"].values())
    rests = [f"{n} key{'s' * (n != '1')}: {_share(c / total)}" for n, c in report["rests_on"].items()]
    yield f"  labels rest on {', '.join(rests) or 'nothing'}"
    yield from (f"  ! {text}" for text in warnings(report))


def _steps(
    signals: Mapping[str, Folder], made: Folder | None, trust: Mapping[str, float], config: labels.Config
) -> Iterator[tuple[str, dict[str, float], float | None]]:
    """(problem id, s by key, label) of each step."""
    first = next(iter(signals.values()))
    shards = list(range(len(first.shards())))
    random.Random(0).shuffle(shards)
    for i in shards:
        rows = zip(*(folder.read(i) for folder in signals.values()), strict=True)
        made_rows = made.read(i) if made else None
        for at, said in enumerate(rows):
            named = dict(zip(signals, said))
            for step in range(len(said[0].values)):
                label = made_rows[at].values[step] if made_rows else None
                yield said[0].problem_id, labels.testimony(named, trust, step, config.clip), label


def _belief(table: Said, fit: Fit, clip: float) -> np.ndarray:
    """P(right) of each step, by the fit alone."""
    import numpy as np

    patterns, place = np.unique(np.round(table.said, 1), axis=0, return_inverse=True)
    odds = [fit.odds({k: float(s) for k, s in zip(table.keys, row) if not math.isnan(s)}, clip)[0] for row in patterns]
    return 1 / (1 + np.exp(-np.array(odds)))[place.ravel()]


def _key(table: Said, key: str, label: np.ndarray, wrong: np.ndarray | None) -> dict[str, Any]:
    import numpy as np

    s = table.said[:, table.keys.index(key)]
    spoke = ~np.isnan(s)
    says, judged = s[spoke] >= 0, spoke & ~np.isnan(label)
    made = {
        "coverage": float(spoke.mean()),
        "says_wrong": float(1 - says.mean()),
        "overruled": float(((s >= 0) != (label >= 0.5))[judged].mean()) if judged.any() else None,
        "right": None,
        "miss": None,
    }
    if wrong is not None:
        scale = table.problems / len(s)  # a problem is one observation
        made["right"] = _beta(scale * (1 - wrong[spoke])[says].sum(), scale * (1 - wrong[spoke])[~says].sum())
        made["miss"] = _beta(scale * wrong[spoke][says].sum(), scale * wrong[spoke][~says].sum())
    return made


def _pair(table: Said, a: str, b: str, fit: Fit | None, wrong: np.ndarray | None) -> dict[str, float | None]:
    import numpy as np

    s, t = (table.said[:, table.keys.index(k)] for k in (a, b))
    both = ~np.isnan(s) & ~np.isnan(t)
    made: dict[str, float | None] = dict.fromkeys(("both", "agree", "linked", "missed", "expected"))
    made["both"] = float(both.mean())
    if both.any():
        made["agree"] = float(((s >= 0) == (t >= 0))[both].mean())
    if fit is not None and both.any() and wrong[both].sum() > 0 and {a, b} <= fit.witnesses.keys():
        w = wrong[both] / wrong[both].sum()
        yes = s[both] >= 0, t[both] >= 0
        made["missed"] = float(w @ (yes[0] & yes[1]))
        made["expected"] = _together(fit, a, b)
        made["linked"] = _linked(fit, a, b, s[both], t[both])
    return made


def _together(fit: Fit, a: str, b: str) -> float:
    """P(both say right | wrong) by the fit."""
    return sum(share * _yes(fit, a, c) * _yes(fit, b, c) for c, share in enumerate(fit.classes) if c) / sum(
        fit.classes[1:]
    )


def _levels(fit: Fit, key: str, c: int) -> tuple[float, ...]:
    """P(level | class) of a key."""
    witness = fit.witnesses[key]
    return (witness.right, witness.seen, witness.hidden)[c]


def _yes(fit: Fit, key: str, c: int) -> float:
    """P(says right | class): the levels above s < 0."""
    return sum(p for i, p in enumerate(_levels(fit, key, c)) if i >= sum(e < 0 for e in fit.witnesses[key].edges))


def _linked(fit: Fit, a: str, b: str, s: np.ndarray, t: np.ndarray) -> float | None:
    """Correlation of the two keys' levels minus what the classes explain; None where a key always says the same."""
    import numpy as np

    rows = [np.searchsorted(fit.witnesses[k].edges, np.round(x, 1), side="left") for k, x in ((a, s), (b, t))]
    spread = np.std(rows[0]) * np.std(rows[1])
    if spread == 0:
        return None
    means = np.array([[np.dot(range(len(_levels(fit, k, c))), _levels(fit, k, c)) for c in range(3)] for k in (a, b)])
    centred = means - (means @ fit.classes)[:, None]
    explained = (np.array(fit.classes) * centred[0] * centred[1]).sum()
    return float((np.cov(rows)[0, 1] - explained) / spread)


def _beta(yes: float, no: float) -> list[float]:
    """Mean of Beta(yes + 1/2, no + 1/2) and a 95 % interval, normal on the log-odds scale (exact moments there)."""
    a, b = float(yes) + 0.5, float(no) + 0.5
    odds, sd = math.log(a / b), math.sqrt(trigamma(a) + trigamma(b))
    return [a / (a + b), *(1 / (1 + math.exp(-(odds + z * sd))) for z in (-Z, Z))]


def _why(pair: Mapping[str, float], linked: bool) -> str:
    if linked:
        return f"they go together beyond what right and wrong explain (residual correlation {pair['linked']:.2f})"
    return f"both miss {pair['missed']:.0%} of the wrong steps, {pair['expected']:.0%} if they were independent"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".removeprefix("0")


def _interval(values: list[float] | None) -> str:
    return "-" if values is None else f"{_share(values[0])} [{_share(values[1])}, {_share(values[2])}]"
