"""A recipe: everything one run does, in a YAML file of typed sections. See recipes/ for examples.

load("recipes/demo.yaml", ["train.epochs=2"])    a Recipe, or PrmError naming the key and the remedy
of_run("runs/demo")                              the Recipe of a run's latest invocation
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prm import answers, config, labels, model, plugins, problems, recipefile, train
from prm.engines import Sampling
from prm.errors import PrmError
from prm.plugins import Plugin
from prm.rerank import REDUCE

REPOSED = "reposed"  # the split that `repose` derives from test


@dataclass(frozen=True)
class References:
    """Where the gold answers are; opened only by eval/ and the signal named gold. source: world, jsonl, parquet or hub;
    id, text: as in the problems' source, so that the ids agree; answer: the column with the gold answer."""

    source: str
    path: str = ""
    answer: str = "answer"
    text: str = "question"
    id: str | None = None
    subset: str | None = None
    split: str = "train"
    revision: str | None = None

    def __post_init__(self):
        if self.source not in problems.SOURCES:
            raise ValueError(f"source: '{self.source}' is not known; take one of {', '.join(problems.SOURCES)}")
        if self.source != "world" and not self.path:
            raise ValueError(f"path: missing; name the {self.source} file or data set with the answers")


@dataclass(frozen=True)
class Arm:
    """One label set and the PRM trained on it. signals: name -> how far it is trusted; reduce: step scores -> one score.

    problems: the split it learns from. train: what differs from the recipe's `train` for this arm. needs: signals of which
    one must speak of a step for it to have a label: where its routes disagree `reask` is silent, and there the vote errs most.
    """

    signals: dict[str, float]
    labels: labels.Config = field(default_factory=labels.Config)
    reduce: str = "min"
    problems: str = "train"
    train: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def __post_init__(self):
        if not self.signals:
            raise ValueError("signals: empty; name at least one signal and its weight, {majority: 1.0}")
        for name in self.needs:
            if name not in self.signals:
                raise ValueError(f"needs: '{name}' is not among the arm's signals ({', '.join(self.signals)})")
        for name, weight in self.signals.items():
            if weight <= 0:
                raise ValueError(f"signals.{name}: the weight {weight} is not positive; leave the signal out instead")
        if self.reduce not in REDUCE:
            raise ValueError(f"reduce: '{self.reduce}' is not known; take one of {', '.join(REDUCE)}")


@dataclass(frozen=True)
class Repose:
    """The held-out problems asked again in other words: transform, prm/transforms/NAME.py; arms: whose PRM scores those samples too.

    Each problem is re-posed as often as it is sampled, one sample each, so that votes over re-posed problems cost what others do.
    """

    transform: Plugin
    arms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """problems: by split; `test` is measured, arms learn from `train` or any other. measured: the signals made on `test` too, null for
    all. seed: of the training; `sampling.seed` is the samples' own. shard: problems a shard."""

    name: str
    problems: dict[str, problems.World | problems.Table]
    engine: Plugin
    segmenter: Plugin
    out: str = ""
    seed: int = 0
    shard: int = 64
    references: References | None = None
    sampling: Sampling = field(default_factory=Sampling)
    answers: answers.Config = field(default_factory=answers.Config)
    signals: dict[str, Plugin] = field(default_factory=dict)
    measured: tuple[str, ...] | None = None
    repose: Repose | None = None
    arms: dict[str, Arm] = field(default_factory=dict)
    prm: model.Config = field(default_factory=model.Config)
    train: train.Config = field(default_factory=train.Config)

    def __post_init__(self):
        if self.shard < 1:
            raise ValueError(f"shard: {self.shard} is not positive; 64 problems a shard is usual")
        for section in ("problems", "signals", "arms"):
            for name in getattr(self, section):
                if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                    raise ValueError(f"{section}.{name}: a name is letters, digits, - and _, since it names a folder")
        _check_splits(self)
        _check_names(self)
        gold = [name for name, signal in self.signals.items() if signal.module.KEY == "gold"]
        if gold and self.references is None:
            raise ValueError(f"references: missing; the signal {gold[0]} reads them")
        for name, arm in self.arms.items():
            _check_arm(self, name, arm)

    @property
    def folder(self) -> Path:
        return Path(self.out or f"runs/{self.name}")

    def training(self, arm: str) -> train.Config:
        """How an arm's PRM is trained: `train` with what the arm changes."""
        changed = {**config.plain(self.train), **self.arms[arm].train}
        return config.build(train.Config, changed, f"arms.{arm}.train")

    def signals_of(self, split: str) -> list[str]:
        """The signals made on a split: on `test` the measured ones, elsewhere those that its arms learn from."""
        if split == "test":
            return list(self.signals if self.measured is None else self.measured)
        used = {name for arm in self.arms.values() if arm.problems == split for name in arm.signals}
        return [name for name in self.signals if name in used]

    def labelled_splits(self, arm: str) -> list[str]:
        """The splits that an arm's labels are made on: the one it learns from, and `test` where all its signals are made."""
        measured = set(self.arms[arm].signals) <= set(self.signals_of("test"))
        return [self.arms[arm].problems, *(["test"] if measured else [])]


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with `key=value` overrides (dotted keys, YAML values)."""
    return build(recipefile.read(Path(path), overrides), str(path))


def of_run(path: str | Path) -> Recipe:
    """The recipe that a run folder's run.json holds. PrmError for one that this version of prm does not understand."""
    from prm.store import Run

    run = Run(path)
    try:
        return build(run.recipe, str(Path(path) / "run.json"))
    except PrmError as error:
        raise PrmError(
            f"{error}. Another version of prm made this run: give its `prm run` command again, what still fits is kept"
        ) from None


def build(mapping: Mapping[str, Any], where: str) -> Recipe:
    """A typed recipe from the parsed file; `plain` of it builds the same again."""
    where, made = f"{where}:", dict(mapping)
    for key, kind in (("engine", "engines"), ("segmenter", "segmenters")):
        if key in made:
            made[key] = plugins.build(kind, made[key], "name", None, config.at(where, key))
    for key, make in (("problems", _source), ("signals", _signal)):
        if isinstance(made.get(key), Mapping):
            made[key] = {
                str(name): make(value, str(name), f"{where} {key}.{name}") for name, value in made[key].items()
            }
    if isinstance(made.get("repose"), Mapping) and "transform" in made["repose"]:
        at = config.at(where, "repose.transform")
        made["repose"] = {
            **made["repose"],
            "transform": plugins.build("transforms", made["repose"]["transform"], "name", None, at),
        }
    return config.build(Recipe, made, where)


def plain(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe, defaults filled in, as a file could say it."""
    made = config.plain(recipe)
    for key in ("engine", "segmenter"):
        made[key] = _named(getattr(recipe, key))
    if recipe.repose:
        made["repose"]["transform"] = _named(recipe.repose.transform)
    made["signals"] = {name: {"signal": s.name, **config.plain(s.config)} for name, s in recipe.signals.items()}
    return made


def _named(plugin: Plugin) -> dict[str, Any]:
    return {"name": plugin.name, **config.plain(plugin.config)}


def _source(value: Any, name: str, where: str) -> problems.Source:
    return problems.source(value, where)


def _signal(value: Any, name: str, where: str) -> Plugin:
    return plugins.build("signals", value, "signal", name, where)


def _check_splits(recipe: Recipe) -> None:
    if "test" not in recipe.problems:
        raise ValueError("problems.test: missing; it is the split that is measured")
    for name, arm in recipe.arms.items():
        if arm.problems not in recipe.problems:
            raise ValueError(
                f"problems.{arm.problems}: missing; the arm {name} learns from it, so add it or drop the arm"
            )
        if arm.problems == "test":
            raise ValueError(f"arms.{name}.problems: test is measured and trains nothing; name another split")
    for split in recipe.problems.keys() - {"train", "test"} - {arm.problems for arm in recipe.arms.values()}:
        raise ValueError(f"problems.{split}: no arm learns from it; name it in an arm's `problems` or drop it")
    if REPOSED in recipe.problems:
        raise ValueError(f"problems.{REPOSED}: the name is taken by what `repose` makes; choose another")
    for split, source in recipe.problems.items():
        if recipe.references is not None and recipe.references.answer in getattr(source, "meta", ()):
            raise ValueError(
                f"problems.{split}.meta: names the references' column '{recipe.references.answer}'; "
                "gold answers never travel with the problems, drop it"
            )


def _check_names(recipe: Recipe) -> None:
    for key, names, known in (
        ("measured", recipe.measured or (), recipe.signals),
        ("repose.arms", recipe.repose.arms if recipe.repose else (), recipe.arms),
    ):
        for name in names:
            if name not in known:
                raise ValueError(f"{key}: no '{name}' among {', '.join(known)}{config.did_you_mean(name, known)}")


def _check_arm(recipe: Recipe, name: str, arm: Arm) -> None:
    try:
        recipe.training(name)
    except PrmError as error:
        raise ValueError(str(error)) from None  # what builds the recipe puts the file's name before it
    for signal in arm.signals:
        if signal not in recipe.signals:
            raise ValueError(
                f"arms.{name}.signals.{signal}: not among the recipe's signals ({', '.join(recipe.signals)})"
                f"{config.did_you_mean(signal, recipe.signals)}"
            )
    gold = [signal for signal in arm.signals if recipe.signals[signal].module.KEY == "gold"]
    if gold and len(arm.signals) > 1:
        raise ValueError(
            f"arms.{name}.signals: {gold[0]} is gold and mixes with no other signal; give it an arm of its own"
        )
