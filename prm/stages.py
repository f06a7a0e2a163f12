"""The stages of a recipe and what each depends on; `makers` says how each makes its rows, `pipeline` runs them.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from prm import config, makers, models, plugins, store
from prm.plugins import Plugin
from prm.recipe import REPOSED, Recipe
from prm.records import Problem
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
    planned = _Plan(recipe, drawn, context, stack)
    for kind in (
        planned.draw,
        planned.sample,
        planned.cut,
        planned.answer,
        planned.signal,
        planned.label,
        planned.train,
    ):
        kind()
    return list(planned.made.values())


class _Plan:
    """The stages so far, by name, in order; each method adds those of one kind."""

    def __init__(
        self, recipe: Recipe, drawn: Mapping[str, list[Problem]], context: Context, stack: contextlib.ExitStack
    ):
        self.recipe, self.drawn, self.context, self.stack = recipe, drawn, context, stack
        self.made: dict[str, Stage] = {}
        self.sizes = {split: len(rows) for split, rows in drawn.items()}
        if recipe.repose:
            self.sizes[REPOSED] = self.sizes["test"]  # shard i holds what shard i of test was re-posed as

    def add(
        self,
        name: str,
        facts: Mapping[str, Any],
        make: Callable,
        inputs: Sequence[str] = (),
        after: Sequence[str] = (),
        **more,
    ) -> None:
        kind, split = name.split(".")[0], name.split(".")[-1]
        shards = 0 if kind in MODELS else math.ceil(self.sizes[split] / self.recipe.shard)
        parents = [tuple(self.made[n] for n in names) for names in (inputs, after)]
        self.made[name] = Stage(name, facts, make, *parents, shards, **more)

    def folders(self, names: Sequence[str]) -> list[store.Folder]:
        return [self.made[name].folder(self.recipe) for name in names]

    def draw(self) -> None:
        recipe = self.recipe
        for split, rows in self.drawn.items():
            facts = {"problems": store.digest(config.plain(rows)), "shard": recipe.shard}
            self.add(f"problems.{split}", facts, makers.draw(rows, recipe.shard))
        if recipe.repose:
            facts = {"transform": _facts(recipe.repose.transform), "sampling": config.plain(recipe.sampling)}
            self.add(f"problems.{REPOSED}", facts, makers.repose(recipe), ["problems.test"])

    def sample(self) -> None:
        recipe = self.recipe
        for split in self.sizes:
            sampling = replace(recipe.sampling, samples=1) if split == REPOSED else recipe.sampling
            facts = {"engine": _facts(recipe.engine), "sampling": config.plain(sampling)}
            make = makers.sample(recipe, sampling, self.context)
            self.add(f"samples.{split}", facts, make, [f"problems.{split}"])

    def cut(self) -> None:
        segmenter, learnt = self.recipe.segmenter, []
        if plugins.needs_fit(segmenter):
            of = [f"{kind}.{split}" for split in _fitting(self.drawn) for kind in ("problems", "samples")]
            self.add("segmenter", _facts(segmenter), makers.fit(segmenter, self.folders(of), self.context), after=of)
            learnt = ["segmenter"]
            segmenter = segmenter.fitted(self.folders(learnt)[0].path / "model")
        kinds = ["samples"] if getattr(segmenter.module, "TEXT_ONLY", False) else ["samples", "problems"]
        for split in self.sizes:
            make, of = makers.cut(segmenter, self.context), [f"{kind}.{split}" for kind in kinds]
            self.add(f"steps.{split}", _facts(self.recipe.segmenter), make, of, learnt)

    def answer(self) -> None:
        recipe = self.recipe
        for split in self.drawn:
            make = makers.answer(recipe, self.context, self.stack)
            self.add(f"answers.{split}", _reading(recipe), make, [f"samples.{split}"])
        if recipe.repose:
            make, of = (
                makers.carry_back(recipe, self.context, self.stack),
                [f"problems.{REPOSED}", f"samples.{REPOSED}"],
            )
            self.add(f"answers.{REPOSED}", _reading(recipe), make, of)

    def signal(self) -> None:
        for name, plugin in self.recipe.signals.items():
            for split in (s for s in self.drawn if name in self.recipe.signals_of(s)):
                group = [f"{kind}.{split}" for kind in ("problems", "samples", "steps", "answers")]
                make, tell = makers.signal(name, plugin, self.context), makers.report(plugin)
                self.add(f"signal.{name}.{split}", _signal_facts(self.recipe, plugin), make, group, tell=tell)

    def label(self) -> None:
        for name, arm in self.recipe.arms.items():
            for split in self.recipe.labelled_splits(name):
                facts = {"labels": config.plain(arm.labels), "trust": dict(arm.signals)}
                facts |= {"needs": list(arm.needs)} if arm.needs else {}
                learnt = [f"signal.{s}.{arm.problems}" for s in arm.signals if arm.labels.reliability == "estimated"]
                fitted = makers.fitted(name, arm, self.folders(learnt), self.context)
                of = [f"signal.{s}.{split}" for s in arm.signals]
                tell = makers.witnessed(arm, self.folders(of), fitted)
                others = [n for n in learnt if n not in of]
                self.add(f"labels.{name}.{split}", facts, makers.combine(name, arm, fitted), of, others, tell=tell)

    def train(self) -> None:
        """All PRMs, then all scores."""
        recipe = self.recipe
        for name in recipe.arms:
            split, training = recipe.arms[name].problems, recipe.training(name)
            of = [f"problems.{split}", f"samples.{split}", f"steps.{split}", f"labels.{name}.{split}"]
            facts = {"prm": _with_files(config.plain(recipe.prm)), "train": config.plain(training), "seed": recipe.seed}
            self.add(f"prm.{name}", facts, makers.train_prm(recipe, training, self.folders(of)), after=of)
        for name in recipe.arms:
            model = self.folders([f"prm.{name}"])[0].path / "model"
            for split in ("test", REPOSED) if recipe.repose and name in recipe.repose.arms else ("test",):
                of = [f"problems.{split}", f"samples.{split}", f"steps.{split}"]
                self.add(f"scores.{name}.{split}", {}, makers.score(name, model, self.context), of, [f"prm.{name}"])


def _fitting(drawn: Mapping[str, list[Problem]]) -> list[str]:
    """The splits that a segmenter learns from: all but test, where there are others."""
    return [split for split in drawn if split != "test"] or ["test"]


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
