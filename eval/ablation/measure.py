"""What one world's run shows: for each row an accuracy a problem, the labels' quality, and what they cost.

A row is an arm of the recipe (votes weighted by its PRM), or a way of choosing that needs no PRM. Everything is measured on the test split, but
for the labels, which are measured where they train.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from eval import choices, label_quality, metrics, reposed
from eval.summary import clean, truth_of
from prm import recipe as recipes
from prm import references
from prm.records import StepScores
from prm.signals import reask
from prm.store import Run
from prm.world.facts import held_out, mistaught
from prm.world.story import HELD_OUT_PHRASES, read_equations

RIGHT = 0.5  # a label of this or more is of the class right, as training takes it (prm/loss.py)


def measure(path: Path) -> dict:
    """The world's numbers, plain data: {"seed", "problems", "samples", "rollouts", "rows", "strata", "held_out", "costs", "tokens",
    "warnings"}; accuracies are lists, one a problem."""
    run, recipe = Run(path), recipes.of_run(path)
    groups, gold = list(run.groups("test")), references.load(recipe, "test")
    answers = {id: reference.answer for id, reference in gold.items()}
    judged = choices.judge(groups, answers, recipe.answers)
    asked = choices.judge(reposed.groups(run), answers, recipe.answers) if recipe.repose else None
    truth = {split: truth_of(run, split, references.load(recipe, split)) for split in recipe.problems}
    rows = _votes(groups, judged, asked)
    for name in recipe.signals_of("test"):
        rows[f"signal {name}"] = _signal(run, recipe, name, judged, truth["test"])
    for arm in recipe.arms:
        rows[arm] = _arm(run, recipe, arm, judged, truth)
        if asked and arm in recipe.repose.arms:
            scores = choices.by_problem(reposed.scores(run, arm))
            rows[f"{arm} over re-asked problems"] = _weighted(asked, scores, recipe.arms[arm].reduce)
    return clean(
        {
            "seed": recipe.seed,
            "problems": len(judged),
            "samples": recipe.sampling.samples,
            "rollouts": _rollouts_each(recipe),
            "rows": rows,
            "strata": _strata(recipe, groups, gold),
            "held_out": _held_out(run, recipe, groups, truth["test"]),
            "costs": _costs(run, recipe),
            "tokens": _drawn(run, len(judged)),
            "warnings": _warnings(run),
        }
    )


def _votes(groups, judged, asked) -> dict[str, dict]:
    """The ways of choosing that need no PRM."""
    samples = [sample for group in groups for sample in group.samples]
    rows = {
        "one sample": {"vote": choices.one_sample(judged).tolist()},
        "majority": {"vote": choices.by_majority(judged).tolist()},
        "oracle": {"vote": choices.any_right(judged).tolist()},
        "log-probability": _weighted(judged, choices.logprob_scores(samples), "last"),
    }
    if asked:
        rows["re-asked vote"] = {"vote": choices.by_majority(asked).tolist()}
        rows["re-asked oracle"] = {"vote": choices.any_right(asked).tolist()}
    return rows


def _signal(run: Run, recipe: recipes.Recipe, name: str, judged, truth: Mapping) -> dict:
    """A vote weighted by the signal itself, which the test split's steps had to be asked for; no PRM."""
    made = list(run.rows(f"signal.{name}.test"))
    quality = {**_auroc(label_quality.quality(made, truth)), **_precision(made, truth)}
    return {
        **_weighted(judged, choices.by_problem(made), "product"),
        "labels": quality,
        "cost": _tokens(run, recipe, name, "test") / max(1, _judged(made)),
    }


def _arm(run: Run, recipe: recipes.Recipe, arm: str, judged, truth: Mapping[str, Mapping]) -> dict:
    scores, split = list(run.rows(f"scores.{arm}.test")), recipe.arms[arm].problems
    made = list(run.rows(f"labels.{arm}.{split}"))
    return {
        **_weighted(judged, choices.by_problem(scores), recipe.arms[arm].reduce),
        "prm": _auroc(label_quality.quality(scores, truth["test"])),
        "labels": {**_auroc(label_quality.quality(made, truth[split])), **_precision(made, truth[split])},
        "cost": _cost(run, recipe, arm, made),
    }


def _weighted(judged, scores: choices.Scores, reduce: str) -> dict[str, list]:
    return {
        "vote": choices.by_vote(judged, scores, reduce).tolist(),
        "bon": choices.by_best(judged, scores, reduce).tolist(),
    }


def _auroc(quality: Mapping) -> dict:
    return {
        **{kind: views["overall"] for kind, views in quality["auroc"].items()},
        **{f"{kind}_within": views["within"] for kind, views in quality["auroc"].items()},
        "first_error": quality["auroc"]["all"]["first_error"],
        "f1": quality["first_error"]["f1"],
    }


def _precision(rows: Sequence[StepScores], truth: Mapping[tuple[str, int], Sequence[str]]) -> dict[str, float]:
    """precision: the labelled steps whose class is the true one (a step after an error counts as wrong); coverage: of all steps."""
    told = [
        (value >= RIGHT) == (kind == "right")
        for row in rows
        for value, weight, kind in zip(row.values, row.weights, truth[row.problem_id, row.index] if row.values else ())
        if weight > 0
    ]
    steps = sum(len(row.values) for row in rows)
    return {"precision": float(np.mean(told)) if told else float("nan"), "coverage": len(told) / steps, "n": len(told)}


def _cost(run: Run, recipe: recipes.Recipe, arm: str, made: Sequence[StepScores]) -> float:
    """Generated tokens a labelled step beyond the samples themselves; what is asked is shared within a problem, never between."""
    split = recipe.arms[arm].problems
    tokens = sum(_tokens(run, recipe, name, split) for name in recipe.arms[arm].signals)
    return tokens / max(1, sum(weight > 0 for row in made for weight in row.weights))


def _tokens(run: Run, recipe: recipes.Recipe, name: str, split: str) -> int:
    """What a signal's rows would cost without the run's other signals: rollouts that several share count for each of them."""
    manifest = run.folder(f"signal.{name}.{split}").manifest()
    if recipe.signals[name].name != "monte_carlo":
        return manifest.get("report", {}).get("tokens_apart", manifest["tokens"])
    drawn = {other: _rollouts(recipe, other) for other in recipe.signals if f"signal.{other}.{split}" in run.folders}
    alike = [other for other in drawn if drawn[other] == drawn[name]]
    return max(run.folder(f"signal.{other}.{split}").manifest()["tokens"] for other in alike)


def _rollouts(recipe: recipes.Recipe, name: str):
    """Which rollouts a Monte-Carlo signal draws: its config but for how they are judged. None for other signals."""
    plugin = recipe.signals[name]
    return replace(plugin.config, mode="soft", oracle="majority") if plugin.name == "monte_carlo" else None


def _costs(run: Run, recipe: recipes.Recipe) -> dict[str, float]:
    """Tokens a step that the signal judges, for Monte-Carlo and each way of re-asking, over the solutions that Monte-Carlo judges."""
    named = {name: plugin.name for name, plugin in recipe.signals.items() if f"signal.{name}.train" in run.folders}
    rollouts = [name for name, kind in named.items() if kind == "monte_carlo"]
    found, solutions = {}, None
    for name in rollouts:
        rows = [row for row in run.rows(f"signal.{name}.train") if any(value is not None for value in row.values)]
        solutions = solutions or {(row.problem_id, row.index) for row in rows}
        found[name] = _tokens(run, recipe, name, "train") / max(1, _judged(rows))
    for name in (name for name, kind in named.items() if kind == "reask"):
        rows = list(run.rows(f"signal.{name}.train"))
        rows = [row for row in rows if solutions is None or (row.problem_id, row.index) in solutions]
        told = reask.report(rows)
        found[name] = told["tokens_apart"] / max(1, _judged(rows))
        found[f"{name}, shared by all problems"] = told["tokens"] / max(1, _judged(rows))
    return found


def _rollouts_each(recipe: recipes.Recipe) -> int | None:
    """K of the recipe's Monte-Carlo signals."""
    found = [plugin.config.rollouts for plugin in recipe.signals.values() if plugin.name == "monte_carlo"]
    return max(found, default=None)


def _drawn(run: Run, problems: int) -> dict[str, float]:
    """Generated tokens a held-out problem, as it stands and as it is asked again."""
    named = {"samples": "samples.test", "re-asked samples": "samples.reposed"}
    return {
        name: run.folder(stage).manifest()["tokens"] / problems for name, stage in named.items() if stage in run.folders
    }


def _judged(rows: Sequence[StepScores]) -> int:
    return sum(value is not None for row in rows for value in row.values)


def _strata(recipe: recipes.Recipe, groups, gold: Mapping) -> dict[str, list[bool]]:
    """Which problems ask for a mis-taught fact, for a held-out fact, or in a held-out phrase."""
    world = recipe.problems["test"].world
    facts = [set(gold[group.problem.id].program.facts()) for group in groups]
    words = [phrase.split("{}")[0] for phrase in HELD_OUT_PHRASES]
    return {
        "systematic": [not mistaught(world).keys().isdisjoint(asked) for asked in facts],
        "held-out facts": [not held_out(world).isdisjoint(asked) for asked in facts],
        "held-out phrases": [any(f" {word}" in group.problem.text for word in words) for group in groups],
    }


def _held_out(run: Run, recipe: recipes.Recipe, groups, truth: Mapping) -> dict[str, dict]:
    """AUROC of every PRM on the steps that assert a held-out fact (first errors and right steps)."""
    facts = held_out(recipe.problems["test"].world)
    asserts = {
        (group.problem.id, sample.index): [_asserts(step, facts) for step in steps.cut(sample.text)]
        for group in groups
        for sample, steps in zip(group.samples, group.steps)
    }
    found = {}
    for arm in recipe.arms:
        told = [
            (value, kind)
            for row in run.rows(f"scores.{arm}.test")
            for value, kind, meets in zip(
                row.values,
                truth[row.problem_id, row.index] if row.values else (),
                asserts[row.problem_id, row.index],
            )
            if meets and value is not None
        ]
        found[arm] = {name: _auroc_of(told, wrong) for name, wrong in label_quality.KINDS.items() if wrong}
    return found


def _asserts(step: str, facts) -> bool:
    return any((operator, left, right) in facts for left, operator, right, _ in read_equations(step))


def _auroc_of(told: Sequence[tuple[float, str]], wrong: Sequence[str]) -> float:
    kept = [(value, kind == "right") for value, kind in told if kind == "right" or kind in wrong]
    return metrics.auroc([value for value, _ in kept], [right for _, right in kept])


def _warnings(run: Run) -> dict[str, list[str]]:
    """What the tool itself warned of, by stage."""
    told = {
        stage: run.folder(stage).manifest().get("report", {}).get("warnings", []) for stage in run.stages("signal.")
    }
    return {stage: warnings for stage, warnings in told.items() if warnings}
