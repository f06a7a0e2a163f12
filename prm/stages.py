"""The stages of a recipe and how each makes its rows from its inputs' rows; `pipeline` runs them.

    problems.SPLIT ─> samples.SPLIT ─┬─> steps.SPLIT ───┬─> signal.NAME.SPLIT ─> labels.ARM.SPLIT
                                     └─> answers.SPLIT ─┘

    problems, samples, steps, labels.ARM of the arm's split  ─> prm.ARM
    prm.ARM, problems, samples, steps of test (and reposed)  ─> scores.ARM.test (and .reposed)

A segmenter that learns has a stage of its own before steps: problems and samples of all splits but test ─> segmenter.

SPLIT is train, test or another that an arm learns from. `reposed` is test asked again in other words, if the recipe says so: its
answers are carried back, so votes over it are votes on the problems of test. Every stage but prm.ARM and segmenter maps shard i of its inputs to its own shard i, so shards may be made in any order
and anywhere. The labels of the test split train nothing; they are there to be measured.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from prm import answers, config, evidence, labels, models, plugins, store, train, transforms, witnesses
from prm.engines import Sampling
from prm.plugins import Plugin
from prm.progress import progress
from prm.recipe import REPOSED, Arm, Recipe
from prm.records import Answer, Problem, Sample, Steps, StepScores
from prm.signals import Context

# Raise one when what its stage makes from the same inputs changes; a plugin has its own VERSION (1 when it has none).
VERSIONS = {
    "problems": 1,
    "samples": 1,
    "segmenter": 1,
    "steps": 1,
    "answers": 1,
    "signal": 1,
    "labels": 1,
    "prm": 1,
    "scores": 1,
}
MODELS = ("segmenter", "prm")  # kinds of stages that make a model
READING = {"math": 2}  # the same for a style of reading answers, from 2 on
FILES = (
    "path",
    "model",
    "backbone",
    "tokenizer",
)  # config keys that may name a file or folder, which then enters the hash by content


@dataclass(frozen=True)
class Stage:
    """facts: the config that its rows depend on. inputs: stages whose shard i it reads; after: others that it depends on.

    make(i, *rows of shard i of each input) gives the rows of shard i; for a stage that is a `model`, make(folder) writes it. tell(folder):
    what else its manifest says, once all shards are there.
    """

    name: str
    facts: Mapping[str, Any]
    make: Callable
    inputs: tuple[Stage, ...] = ()
    after: tuple[Stage, ...] = ()
    shards: int = 0
    tell: Callable[[store.Folder], dict[str, Any]] = lambda folder: {}

    @property
    def kind(self) -> str:
        return self.name.split(".")[0]

    @property
    def model(self) -> bool:
        """Whether it makes a model (in its folder's `model`) and no rows."""
        return self.kind in MODELS

    @cached_property
    def hash(self) -> str:
        return store.digest([self.name, VERSIONS[self.kind], self.facts, [p.hash for p in self.inputs + self.after]])

    def folder(self, recipe: Recipe) -> store.Folder:
        return store.Folder(recipe.folder / f"{self.name}-{self.hash}", self.name)


def plan(
    recipe: Recipe, drawn: Mapping[str, list[Problem]], context: Context, stack: contextlib.ExitStack
) -> list[Stage]:
    """The stages in the order they run: kind by kind, so that each model is loaded once."""
    made: dict[str, Stage] = {}
    sizes = {split: len(rows) for split, rows in drawn.items()}
    sizes |= {REPOSED: sizes["test"]} if recipe.repose else {}  # shard i holds what shard i of test was re-posed as

    def add(
        name: str,
        facts: Mapping[str, Any],
        make: Callable,
        inputs: Sequence[str] = (),
        after: Sequence[str] = (),
        **more,
    ) -> None:
        split = name.split(".")[-1]
        shards = 0 if name.split(".")[0] in MODELS else math.ceil(sizes[split] / recipe.shard)
        parents = [tuple(made[n] for n in names) for names in (inputs, after)]
        made[name] = Stage(name, facts, make, *parents, shards, **more)

    for split, rows in drawn.items():
        add(
            f"problems.{split}",
            {"problems": store.digest(config.plain(rows)), "shard": recipe.shard},
            _draw(rows, recipe.shard),
        )
    if recipe.repose:
        facts = {"transform": _facts(recipe.repose.transform), "sampling": config.plain(recipe.sampling)}
        add(f"problems.{REPOSED}", facts, _repose(recipe), ["problems.test"])
    for split in sizes:
        sampling = replace(recipe.sampling, samples=1) if split == REPOSED else recipe.sampling
        facts = {"engine": _facts(recipe.engine), "sampling": config.plain(sampling)}
        add(f"samples.{split}", facts, _sample(recipe, sampling, context), [f"problems.{split}"])
    segmenter, learnt = recipe.segmenter, []
    if plugins.needs_fit(segmenter):
        of = [f"{kind}.{split}" for split in _fitting(drawn) for kind in ("problems", "samples")]
        folders = [made[n].folder(recipe) for n in of]
        add("segmenter", _facts(segmenter), _fit(segmenter, folders, context), after=of)
        learnt = ["segmenter"]
        segmenter = segmenter.fitted(made["segmenter"].folder(recipe).path / "model")
    for split in sizes:
        of = ["samples"] if getattr(segmenter.module, "TEXT_ONLY", False) else ["samples", "problems"]
        add(f"steps.{split}", _facts(recipe.segmenter), _cut(segmenter, context), [f"{k}.{split}" for k in of], learnt)
    for split in drawn:
        add(f"answers.{split}", _reading(recipe), _answer(recipe, context, stack), [f"samples.{split}"])
    if recipe.repose:
        of = [f"problems.{REPOSED}", f"samples.{REPOSED}"]
        add(f"answers.{REPOSED}", _reading(recipe), _carry_back(recipe, context, stack), of)
    for name, plugin in recipe.signals.items():
        for split in (s for s in drawn if name in recipe.signals_of(s)):
            group = [f"{kind}.{split}" for kind in ("problems", "samples", "steps", "answers")]
            make, tell = _signal(name, plugin, context), _report(plugin)
            add(f"signal.{name}.{split}", _signal_facts(recipe, plugin), make, group, tell=tell)
    for name, arm in recipe.arms.items():
        for split in recipe.labelled_splits(name):
            facts = {"labels": config.plain(arm.labels), "trust": dict(arm.signals)}
            facts |= {"needs": list(arm.needs)} if arm.needs else {}
            learnt = [f"signal.{s}.{arm.problems}" for s in arm.signals if arm.labels.reliability == "estimated"]
            fitted = _fitted(name, arm, [made[n].folder(recipe) for n in learnt], context)
            of = [f"signal.{s}.{split}" for s in arm.signals]
            tell = _witnesses(arm, [made[n].folder(recipe) for n in of], fitted)
            others = [n for n in learnt if n not in of]
            add(f"labels.{name}.{split}", facts, _combine(name, arm, fitted), of, others, tell=tell)
    for name in recipe.arms:
        split, training = recipe.arms[name].problems, recipe.training(name)
        of = [f"problems.{split}", f"samples.{split}", f"steps.{split}", f"labels.{name}.{split}"]
        facts = {"prm": _with_files(config.plain(recipe.prm)), "train": config.plain(training), "seed": recipe.seed}
        add(f"prm.{name}", facts, _train(recipe, training, [made[n].folder(recipe) for n in of]), after=of)
    for name in recipe.arms:
        model = made[f"prm.{name}"].folder(recipe).path / "model"
        for split in ("test", REPOSED) if recipe.repose and name in recipe.repose.arms else ("test",):
            of = [f"problems.{split}", f"samples.{split}", f"steps.{split}"]
            add(f"scores.{name}.{split}", {}, _score(name, model, context), of, [f"prm.{name}"])
    return list(made.values())


def _draw(rows: list[Problem], shard: int):
    return lambda i: rows[i * shard : (i + 1) * shard]


def _repose(recipe: Recipe):
    """As many re-posed problems of each problem as it has samples; `meta` names the original and the answer's way back."""
    transform, n, seed = recipe.repose.transform, recipe.sampling.samples, recipe.sampling.seed

    def make(i: int, rows: list[Problem]) -> list[Problem]:
        asked = [one for problem in rows for one in transforms.asked_again(problem, n, seed, transform)]
        return [replace(one.problem, meta=transforms.as_meta(one)) for one in asked]

    return make


def _sample(recipe: Recipe, sampling: Sampling, context: Context):
    def make(i: int, rows: list[Problem]) -> list[Sample]:
        samples = context.engine().sample(rows, sampling)
        expected = [(p.id, k) for p in rows for k in range(sampling.samples)]
        _same(f"engine {recipe.engine.name}", [(s.problem_id, s.index) for s in samples], expected)
        return samples

    return make


def _fitting(drawn: Mapping[str, list[Problem]]) -> list[str]:
    """The splits that a segmenter learns from: all but test, where there are others."""
    return [split for split in drawn if split != "test"] or ["test"]


def _fit(plugin: Plugin, folders: Sequence[store.Folder], context: Context):
    def make(path: Path) -> None:
        rows = [
            (by_id[s.problem_id], s)
            for problems, samples in zip(folders[::2], folders[1::2])
            for by_id in [{p.id: p for p in problems.rows()}]
            for s in samples.rows()
        ]
        plugin.module.fit(rows, plugin.config, context, path / "model")

    return make


def _cut(plugin: Plugin, context: Context):
    def make(i: int, samples: list[Sample], problems: Sequence[Problem] = ()) -> list[Steps]:
        by_id = {p.id: p for p in problems}
        return plugin.module.cut([(by_id.get(s.problem_id), s) for s in samples], plugin.config, context)

    return make


def _comparer(recipe: Recipe, context: Context, stack: contextlib.ExitStack) -> answers.Comparer:
    """The run's pool of processes that compare answers, opened on first use."""
    return context.cached("answers", lambda: stack.enter_context(answers.open_pool(recipe.answers)))


def _answer(recipe: Recipe, context: Context, stack: contextlib.ExitStack):
    def make(i: int, samples: list[Sample]):
        pool = _comparer(recipe, context, stack)
        return answers.read_answers(samples, recipe.answers, pool)

    return make


def _carry_back(recipe: Recipe, context: Context, stack: contextlib.ExitStack):
    def make(i: int, rows: list[Problem], samples: list[Sample]) -> list[Answer]:
        pool = _comparer(recipe, context, stack)
        of, maps = zip(*(transforms.of_meta(problem.meta) for problem in rows)) if rows else ((), ())
        return answers.read_reposed(samples, of, maps, recipe.answers, pool)

    return make


def _signal(name: str, plugin: Plugin, context: Context):
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


def _report(plugin: Plugin):
    """What a signal itself reports of its rows (costs, warnings), if it does."""
    report = getattr(plugin.module, "report", None)
    return lambda folder: {"report": report(folder.rows())} if report else {}


Fitted = Callable[[], tuple[evidence.Fit | None, str]]  # None and why where the recipe's trust must do


def _fitted(name: str, arm: Arm, learnt: Sequence[store.Folder], context: Context) -> Fitted:
    """The reliabilities of the arm's keys, estimated once a run on the signals `learnt` of the split it learns from."""
    if arm.labels.reliability == "trust":
        return lambda: (None, "")
    folders = dict(zip(arm.signals, learnt))
    return lambda: context.cached(("fit", name), lambda: witnesses.fitted(folders, arm.signals, arm.labels))


def _combine(name: str, arm: Arm, fitted: Fitted):
    def make(i: int, *by_signal: list[StepScores]) -> list[StepScores]:
        fit, _ = fitted()
        return [
            labels.combine(dict(zip(arm.signals, rows)), arm.signals, arm.labels, name, fit, arm.needs)
            for rows in zip(*by_signal)
        ]

    return make


def _witnesses(arm: Arm, signals: Sequence[store.Folder], fitted: Fitted):
    """What was dropped, by class, and who said what."""

    def tell(folder: store.Folder) -> dict[str, Any]:
        said = dict(zip(arm.signals, signals))
        return {
            "labels": labels.counts(folder.rows()),
            "witnesses": witnesses.report(said, folder, arm.signals, arm.labels, *fitted()),
        }

    return tell


def _train(recipe: Recipe, training: train.Config, folders: Sequence[store.Folder]):
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


def _score(name: str, model: Path, context: Context):
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


def _reading(recipe: Recipe) -> dict[str, Any]:
    version = READING.get(recipe.answers.style)
    return {**config.plain(recipe.answers), **({"version": version} if version else {})}


def _facts(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "version": getattr(plugin.module, "VERSION", 1),
        "config": _with_files(config.plain(plugin.config)),
    }


def _signal_facts(recipe: Recipe, plugin: Plugin) -> dict[str, Any]:
    gold = recipe.references if plugin.module.KEY == "gold" else None
    return {**_facts(plugin), "references": _with_files(config.plain(gold))}


def _with_files(value: Any, key: str = "") -> Any:
    """A plain config in which files and folders stand by their content, wherever they lie."""
    if isinstance(value, dict):
        return {k: _with_files(item, k) for k, item in value.items()}
    if key in FILES and isinstance(value, str) and value and os.path.exists(models.resolve(value)):
        return store.fingerprint(models.resolve(value))
    return value


def _same(who: str, got: list, expected: list) -> None:
    if got != expected:
        at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
        raise ValueError(
            f"{who}: {len(got)} rows for {len(expected)}; row {at} is {got[at : at + 1]}, not {expected[at : at + 1]}"
        )
