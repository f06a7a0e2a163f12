"""All that a run's report says, from the run's own files and the references: the content of summary.json.

Arms and rows: the arm `prm` gives prm_bon and prm_vote (ours), `orm` gives orm_vote (outcome model on the same data),
`gold` gives gold_prm_bon and gold_prm_vote (ceiling). Any other arm, signal or published PRM adds rows of its own and
never the verdict's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval import choices, gate, label_quality, published, reposed, who
from eval.titles import ARMS
from prm import recipe as recipes
from prm import references
from prm.errors import PrmError
from prm.records import Group
from prm.store import Run


@dataclass(frozen=True)
class Row:
    """One way of choosing. accuracy_P: a problem each; None where the run has no such arm or log-probabilities."""

    key: str
    name: str
    role: str
    accuracy_P: np.ndarray | None


@dataclass(frozen=True)
class Held:
    """The held-out split: its groups, what is right, and each arm's scores. asked: the same problems as they were re-posed, or None."""

    groups: list[Group]
    gold: Mapping[str, references.Reference]
    judged: list[choices.Judged]
    scores: Mapping[str, choices.Scores]
    asked: list[choices.Judged] | None = None


def read(run: Run, recipe: recipes.Recipe) -> Held:
    """Raises PrmError where the run is not complete or the references lack a problem."""
    for stage in run.stages():
        if not run.complete(stage):
            raise PrmError(f"{run.path}: stage {stage} is not complete; give the same `prm run` command again")
    groups, gold = list(run.groups("test")), references.load(recipe, "test")
    answers = {id: reference.answer for id, reference in gold.items()}
    judged = choices.judge(groups, answers, recipe.answers)
    scores = {
        arm: choices.by_problem(run.rows(f"scores.{arm}.test"))
        for arm in recipe.arms
        if f"scores.{arm}.test" in run.folders
    }
    asked = choices.judge(reposed.groups(run), answers, recipe.answers) if recipe.repose else None
    return Held(groups, gold, judged, scores, asked)


def summarise(path: str | Path, published_paths: Sequence[str | Path] = ()) -> tuple[dict, Held]:
    """(summary.json's content, what it was made from). Numbers that do not exist are None."""
    run, recipe = Run(path), recipes.of_run(path)
    held = read(run, recipe)
    rows = _rows(run, recipe, held, published.load(published_paths))
    table = intervals(rows)
    verdict = _claim({row.key: row.accuracy_P for row in rows})
    quality = _quality(run, recipe, held.gold)
    stages = [{"name": name, **_facts(run, name)} for name in run.stages()]
    samples = max((len(g.samples) for g in held.groups), default=0)
    auroc = lambda name: {kind: q["overall"] for kind, q in quality[name]["auroc"].items()} if name in quality else {}
    return clean(
        {
            "name": recipe.name,
            "problems": len(held.groups),
            "samples": samples,
            "seconds": round(sum(stage["seconds"] for stage in stages), 1),
            "seeds": [recipe.seed],
            "n": len(held.groups),
            **{row["key"]: row["accuracy"] for row in table},
            "label_auroc": auroc("labels prm"),
            "prm_step_auroc": auroc("PRM prm"),
            "verdict": verdict.text,
            "because": verdict.because,
            "improves": verdict.improves,
            "intervals": {row["key"]: row["difference"] for row in table},
            "rows": table,
            "curve": choices.curve(
                held.judged, held.scores.get("prm"), recipe.arms["prm"].reduce if "prm" in recipe.arms else "min"
            ),
            "quality": quality,
            "witnesses": who.reports(run, recipe),
            "rejected": {
                f"{stage['name']}: {why}": count for stage in stages for why, count in stage.pop("reasons").items()
            },
            "stages": stages,
        }
    ), held


def intervals(rows: Sequence[Row]) -> list[dict]:
    """The table: a row's accuracy, how many problems it knows, its paired difference to majority with bounds."""
    majority = next(row.accuracy_P for row in rows if row.key == "majority")
    blank = np.full(len(majority), np.nan)
    columns = [blank if row.accuracy_P is None else row.accuracy_P for row in rows]
    table = []
    for row, column in zip(rows, columns):
        difference = gate.difference([column], [majority])
        known = column[~np.isnan(column)]
        table.append(
            {
                "key": row.key,
                "name": row.name,
                "role": row.role,
                "n": len(known),
                "accuracy": float(known.mean()) if len(known) else None,
                "difference": None if row.key == "majority" or not len(known) else list(difference),
            }
        )
    return table


def _claim(accuracy: Mapping[str, np.ndarray | None]) -> gate.Verdict:
    """What the release gate says of this one world."""
    of = {
        key: None if accuracy.get(key) is None else [accuracy[key]] for key in ("prm_vote", "orm_vote", "gold_prm_vote")
    }
    return gate.judge(of["prm_vote"], [accuracy["majority"]], of["orm_vote"], of["gold_prm_vote"])


def clean(value):
    """NaN (no such number) becomes None, which JSON can say."""
    if isinstance(value, Mapping):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _rows(run: Run, recipe: recipes.Recipe, held: Held, others: Mapping[str, choices.Scores]) -> list[Row]:
    judged, n = held.judged, max((len(p.indices) for p in held.judged), default=0)
    samples = [sample for group in held.groups for sample in group.samples]
    logprob = choices.logprob_scores(samples)
    rows = [
        Row("mean", "one sample", "base", choices.one_sample(judged)),
        Row(
            "logprob",
            f"log-probability, best of {n}",
            "base",
            choices.by_best(judged, logprob, "last") if logprob else None,
        ),
        Row("majority", f"majority of {n}", "base", choices.by_majority(judged)),
    ]
    if held.asked:
        rows.append(Row("reasked_vote", f"majority of {n} re-asked", "base", choices.by_majority(held.asked)))
    for name in _free_signals(run, recipe):
        scores = choices.by_problem(run.rows(f"signal.{name}.test"))
        rows.append(
            Row(f"signal_{name}_vote", f"signal {name}, weighted vote", "base", choices.by_vote(judged, scores, "min"))
        )
    rows += _arm(recipe, held, "orm", ARMS["orm"], "base", {"vote": "orm_vote"}, n)
    for name, scores in others.items():
        rows += _pair(judged, scores, "min", f"published_{name}", name, "published", n)
    rows += _arm(recipe, held, "prm", "ours", "ours", {"bon": "prm_bon", "vote": "prm_vote"}, n)
    rows += _over_reposed(run, recipe, held, n)
    for arm in (name for name in held.scores if name not in ("prm", "orm", "gold")):  # in the recipe's order
        title = ARMS.get(arm, f"arm {arm}")
        rows += _pair(judged, held.scores[arm], recipe.arms[arm].reduce, f"arm_{arm}", title, "base", n)
    rows += _arm(recipe, held, "gold", "trained on gold", "gold", {"bon": "gold_prm_bon", "vote": "gold_prm_vote"}, n)
    return [*rows, Row("oracle", f"any of {n} right", "limit", choices.any_right(judged))]


def _arm(recipe, held: Held, arm: str, name: str, role: str, keys: Mapping[str, str], n: int) -> list[Row]:
    titles = {"bon": f"{name}, best of {n}", "vote": f"{name}, weighted vote"}
    if arm not in held.scores:
        return [Row(key, titles[way], role, None) for way, key in keys.items()]
    ways = {"bon": choices.by_best, "vote": choices.by_vote}
    return [
        Row(key, titles[way], role, ways[way](held.judged, held.scores[arm], recipe.arms[arm].reduce))
        for way, key in keys.items()
    ]


def _over_reposed(run: Run, recipe: recipes.Recipe, held: Held, n: int) -> list[Row]:
    """Ours, voting over re-posed problems with as many samples."""
    if held.asked is None or "prm" not in recipe.repose.arms:
        return []
    scores = choices.by_problem(reposed.scores(run, "prm"))
    accuracy = choices.by_vote(held.asked, scores, recipe.arms["prm"].reduce)
    return [Row("prm_reasked_vote", f"ours, weighted vote of {n} re-asked", "ours", accuracy)]


def _pair(judged, scores: choices.Scores, reduce: str, key: str, name: str, role: str, n: int) -> list[Row]:
    return [
        Row(f"{key}_bon", f"{name}, best of {n}", role, choices.by_best(judged, scores, reduce)),
        Row(f"{key}_vote", f"{name}, weighted vote", role, choices.by_vote(judged, scores, reduce)),
    ]


def _free_signals(run: Run, recipe: recipes.Recipe) -> list[str]:
    """The signals that scored the held-out split, but for gold and majority, which have rows of their own."""
    return [
        name
        for name, signal in recipe.signals.items()
        if f"signal.{name}.test" in run.folders and signal.name not in ("gold", "majority")
    ]


def _quality(run: Run, recipe: recipes.Recipe, gold: Mapping[str, references.Reference]) -> dict[str, dict]:
    """Each source against step truth, on the test split where it scored that, else on train; {} without truth."""
    if all(reference.program is None for reference in gold.values()):
        return {}
    truths: dict[str, dict] = {}
    found = {}
    for title, stage in _sources(run, recipe):
        split = stage.rsplit(".", 1)[1]
        if split not in truths:
            truths[split] = truth_of(run, split, gold if split == "test" else references.load(recipe, split))
        found[title] = {**label_quality.quality(run.rows(stage), truths[split]), "split": split}
    return found


def _sources(run: Run, recipe: recipes.Recipe) -> Iterable[tuple[str, str]]:
    named = [(f"signal {name}", f"signal.{name}") for name in recipe.signals]
    named += [(f"labels {arm}", f"labels.{arm}") for arm in recipe.arms] + [
        (f"PRM {arm}", f"scores.{arm}") for arm in recipe.arms
    ]
    for title, stem in named:
        stage = next(
            (f"{stem}.{split}" for split in ("test", "train", *recipe.problems) if f"{stem}.{split}" in run.folders),
            None,
        )
        if stage:
            yield title, stage


def truth_of(run: Run, split: str, gold: Mapping[str, references.Reference]) -> dict[tuple[str, int], list[str]]:
    return {
        (group.problem.id, sample.index): gold[group.problem.id].kinds(steps.cut(sample.text))
        for group in run.groups(split)
        for sample, steps in zip(group.samples, group.steps)
    }


def _facts(run: Run, stage: str) -> dict:
    manifest = run.folder(stage).manifest()
    return {key: manifest[key] for key in ("seconds", "rows", "reasons")}
