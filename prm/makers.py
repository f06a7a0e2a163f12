"""How each stage makes its rows from its inputs' rows: a function a kind, which gives `make(i, *rows of shard i)` (see `stages.Stage`)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prm import answers, evidence, labels, store, train, transforms, witnesses
from prm.engines import Sampling
from prm.plugins import Plugin
from prm.progress import progress
from prm.recipe import Arm, Recipe
from prm.records import Answer, Problem, Sample, Steps, StepScores
from prm.signals import Context


def draw(rows: list[Problem], shard: int):
    return lambda i: rows[i * shard : (i + 1) * shard]


def repose(recipe: Recipe):
    """As many re-posed problems of each problem as it has samples; `meta` names the original and the answer's way back."""
    transform, n, seed = recipe.repose.transform, recipe.sampling.samples, recipe.sampling.seed

    def make(i: int, rows: list[Problem]) -> list[Problem]:
        asked = [one for problem in rows for one in transforms.asked_again(problem, n, seed, transform)]
        return [replace(one.problem, meta=transforms.as_meta(one)) for one in asked]

    return make


def sample(recipe: Recipe, sampling: Sampling, context: Context):
    def make(i: int, rows: list[Problem]) -> list[Sample]:
        samples = context.engine().sample(rows, sampling)
        expected = [(p.id, k) for p in rows for k in range(sampling.samples)]
        _same(f"engine {recipe.engine.name}", [(s.problem_id, s.index) for s in samples], expected)
        return samples

    return make


def fit(plugin: Plugin, folders: Sequence[store.Folder], context: Context):
    def make(path: Path) -> None:
        rows = [
            (by_id[s.problem_id], s)
            for problems, samples in zip(folders[::2], folders[1::2])
            for by_id in [{p.id: p for p in problems.rows()}]
            for s in samples.rows()
        ]
        plugin.module.fit(rows, plugin.config, context, path / "model")

    return make


def cut(plugin: Plugin, context: Context):
    def make(i: int, samples: list[Sample], problems: Sequence[Problem] = ()) -> list[Steps]:
        by_id = {p.id: p for p in problems}
        return plugin.module.cut([(by_id.get(s.problem_id), s) for s in samples], plugin.config, context)

    return make


def _comparer(recipe: Recipe, context: Context, stack: contextlib.ExitStack) -> answers.Comparer:
    """The run's pool of processes that compare answers, opened on first use."""
    return context.cached("answers", lambda: stack.enter_context(answers.open_pool(recipe.answers)))


def answer(recipe: Recipe, context: Context, stack: contextlib.ExitStack):
    def make(i: int, samples: list[Sample]):
        pool = _comparer(recipe, context, stack)
        return answers.read_answers(samples, recipe.answers, pool)

    return make


def carry_back(recipe: Recipe, context: Context, stack: contextlib.ExitStack):
    def make(i: int, rows: list[Problem], samples: list[Sample]) -> list[Answer]:
        pool = _comparer(recipe, context, stack)
        of, maps = zip(*(transforms.of_meta(problem.meta) for problem in rows)) if rows else ((), ())
        return answers.read_reposed(samples, of, maps, recipe.answers, pool)

    return make


def signal(name: str, plugin: Plugin, context: Context):
    def make(i: int, *rows) -> list[StepScores]:
        scores = plugin.module.label(store.groups(*rows), plugin.config, context)
        steps = rows[2]
        _same(
            f"signal {name}",
            [(s.problem_id, s.index, len(s.values)) for s in scores],
            [(s.problem_id, s.index, len(s.ends)) for s in steps],
        )
        return [replace(s, source=name) for s in scores]  # the recipe's name: one file may serve two configs

    return make


def report(plugin: Plugin):
    """What a signal itself reports of its rows (costs, warnings), if it does."""
    report = getattr(plugin.module, "report", None)
    return lambda folder: {"report": report(folder.rows())} if report else {}


Fitted = Callable[[], tuple[evidence.Fit | None, str]]  # None and why where the recipe's trust must do


def fitted(name: str, arm: Arm, learnt: Sequence[store.Folder], context: Context) -> Fitted:
    """The reliabilities of the arm's keys, estimated once a run on the signals `learnt` of the split it learns from."""
    if arm.labels.reliability == "trust":
        return lambda: (None, "")
    folders = dict(zip(arm.signals, learnt))
    return lambda: context.cached(("fit", name), lambda: witnesses.fitted(folders, arm.signals, arm.labels))


def combine(name: str, arm: Arm, fitted: Fitted):
    def make(i: int, *by_signal: list[StepScores]) -> list[StepScores]:
        fit, _ = fitted()
        return [
            labels.combine(dict(zip(arm.signals, rows)), arm.signals, arm.labels, name, fit, arm.needs)
            for rows in zip(*by_signal)
        ]

    return make


def witnessed(arm: Arm, signals: Sequence[store.Folder], fitted: Fitted):
    """What was dropped, by class, and who said what."""

    def tell(folder: store.Folder) -> dict[str, Any]:
        said = dict(zip(arm.signals, signals))
        return {
            "labels": labels.counts(folder.rows()),
            "witnesses": witnesses.report(said, folder, arm.signals, arm.labels, *fitted()),
        }

    return tell


def train_prm(recipe: Recipe, training: train.Config, folders: Sequence[store.Folder]):
    def make(path: Path) -> None:
        if not (path / "model").exists():  # it appears whole; only the manifest was missing
            train.train(labelled(folders), recipe.prm, training, path / "model", recipe.seed, progress)

    return make


def labelled(folders: Sequence[store.Folder]) -> Iterator[tuple[Problem, Sample, Steps, StepScores]]:
    """The samples that have steps, from the folders of problems, samples, steps and labels."""
    for i in range(len(folders[0].shards())):
        drawn, *rows = (folder.read(i) for folder in folders)
        by_id = {p.id: p for p in drawn}
        for sample, steps, scores in zip(*rows, strict=True):
            if steps.ends:
                yield by_id[sample.problem_id], sample, steps, scores


def score(name: str, model: Path, context: Context):
    def make(i: int, drawn: list[Problem], samples: list[Sample], steps: list[Steps]) -> list[StepScores]:
        from prm.model import PRM
        from prm.score import score_samples

        by_id = {p.id: p for p in drawn}
        rows = [(by_id[s.problem_id], s, cut) for s, cut in zip(samples, steps, strict=True)]
        scores = score_samples(context.latest("prm", model, lambda: PRM.load(model)), rows, name)
        _same(
            f"PRM {name}",
            [(s.problem_id, s.index, len(s.values)) for s in scores],
            [(s.problem_id, s.index, len(s.ends)) for s in steps],
        )
        return scores

    return make


def _same(who: str, got: list, expected: list) -> None:
    if got != expected:
        at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
        raise ValueError(
            f"{who}: {len(got)} rows for {len(expected)}; row {at} is {got[at : at + 1]}, not {expected[at : at + 1]}"
        )
