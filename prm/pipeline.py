"""One run of a recipe: everything checked first, then stage by stage (see `stages`); what is on disk is not made again."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prm import config, model, plugins, problems, store
from prm.apply import write_usage
from prm.errors import PrmError
from prm.progress import progress, say
from prm.recipe import Recipe, plain
from prm.records import Problem, StepScores
from prm.signals import Context
from prm.stages import MODELS, VERSIONS, Stage, plan

LEAK = 0.01  # of the test problems may share their text with a train problem by chance (small worlds repeat themselves)


def check(recipe: Recipe) -> dict[str, list[Problem]]:
    """Everything that can be wrong before a model is loaded; returns each split's problems. Raises PrmError."""
    transform = [recipe.repose.transform] if recipe.repose else []
    for plugin in (recipe.engine, recipe.segmenter, *recipe.signals.values(), *transform):
        plugins.check(plugin.module, plugin.config)
    if recipe.arms:
        model.check(recipe.prm)
    if (
        recipe.references
        and recipe.references.source in ("jsonl", "parquet")
        and not Path(recipe.references.path).is_file()
    ):
        raise PrmError(f"{recipe.references.path}: no such file, named by references.path; check the path")
    store.check_writable(recipe.folder)
    drawn = {split: problems.load(source) for split, source in recipe.problems.items()}
    _check_apart(drawn)
    return drawn


def checked(recipe: Recipe) -> str:
    """What `prm run --check` prints: a line a stage, cached or to be made."""
    drawn = check(recipe)
    with contextlib.ExitStack() as stack:
        stages = [(s, s.folder(recipe)) for s in plan(recipe, drawn, Context(recipe), stack)]
    lines = [
        f"{s.name:<28} "
        + ("[cached]" if f.manifest() else f"{len(f.shards())} of {s.shards} shards" if s.shards else "to do")
        for s, f in stages
    ]
    return "\n".join([*lines, f"{recipe.name}: all checked, nothing loaded; the same command without --check runs it"])


def missing(recipe: Recipe) -> set[str]:
    """The stages that are not complete on disk."""
    drawn = check(recipe)
    with contextlib.ExitStack() as stack:
        return {s.name for s in plan(recipe, drawn, Context(recipe), stack) if not s.folder(recipe).manifest()}


def run(recipe: Recipe) -> None:
    """Makes every stage that is not complete. Stopped or killed, the same call goes on where it was."""
    drawn = check(recipe)
    with store.lock(recipe.folder), contextlib.ExitStack() as stack:
        context = Context(recipe)
        stack.callback(context.close)
        stages = plan(recipe, drawn, context, stack)
        names = {s.name: s.folder(recipe).path.name for s in stages}
        store.write_file(
            recipe.folder / "run.json", json.dumps({"recipe": plain(recipe), "stages": names}, indent=2).encode()
        )
        for stage in stages:
            if stage.kind == "prm":
                context.close()  # the engine's memory is the trainer's now; it opens again if someone asks
            _execute(stage, recipe, context)
            if stage.kind == "prm":
                _tell_usage(recipe, stage, stages)


def _execute(stage: Stage, recipe: Recipe, context: Context) -> None:
    folder = stage.folder(recipe)
    if folder.manifest():
        say(f"{stage.name}  [cached]")
        return
    folder.open()
    began = time.monotonic()
    with store.disk_full_is_mendable(folder):
        if stage.model:
            stage.make(folder.path)
        else:
            _shards(stage, recipe, folder, context)
        parents = [p.folder(recipe).path.name for p in stage.inputs + stage.after]
        folder.finish(
            {"config": stage.facts, "version": VERSIONS[stage.kind], "parents": parents, **stage.tell(folder)},
            time.monotonic() - began if stage.model else None,
        )
    say(summary(folder))


def _shards(stage: Stage, recipe: Recipe, folder: store.Folder, context: Context) -> None:
    missing = [i for i in range(stage.shards) if not folder.shard(i).exists()]
    for i in progress(missing, stage.shards, stage.name, stage.shards - len(missing)):
        inputs = [parent.folder(recipe).read(i) for parent in stage.inputs]
        began, spent = time.monotonic(), context.tokens
        rows = stage.make(i, *inputs)
        took = {"seconds": time.monotonic() - began, "tokens": context.tokens - spent}
        folder.write(i, rows, took | (_spoken(rows) if stage.kind == "signal" else {}))


def _spoken(rows: list[StepScores]) -> dict[str, int]:
    values = [value for row in rows for value in row.values]
    return {"steps": len(values), "spoke": sum(value is not None for value in values)}


def _warnings(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the stage's line must know."""
    told = list(facts.get("report", {}).get("warnings", ()))
    if facts.get("steps") and not facts["spoke"]:
        told.append("abstained on every step")
    labelled = facts.get("labels", {"right": 1, "wrong": 1})
    told += [
        f"no {kind} step has a label: a PRM learns nothing from one kind"
        for kind in ("right", "wrong")
        if not labelled[kind]
    ]
    return told


def summary(folder: store.Folder) -> str:
    """A stage in a line: rows, rows rejected by reason, seconds."""
    found = folder.manifest()
    facts = found or folder.tally()
    reasons = ", ".join(f"{reason} {count}" for reason, count in facts["reasons"].items())
    rows = f"{facts['rows']:,} rows" if folder.stage.split(".")[0] not in MODELS else "a model"
    steps = ", ".join(f"{count:,} {what}" for what, count in facts.get("labels", {}).items() if count)
    return (
        f"{folder.stage:<28} {rows}, {facts['seconds']:.1f} s"
        + (f"; rejected: {reasons}" if reasons else "")
        + (f"; steps: {steps}" if steps else "")
        + ("" if found else f"  (not complete: {len(folder.shards())} shards)")
        + "".join(f"\n  ! {warning}" for warning in _warnings(facts))
    )


def _tell_usage(recipe: Recipe, stage: Stage, stages: list[Stage]) -> None:
    """What `prm score` and `prm rerank` need beside the weights (see `apply.Usage`)."""
    model = stage.folder(recipe).path / "model"
    segmenter = {"name": recipe.segmenter.name, **config.plain(recipe.segmenter.config)}
    reduce = recipe.arms[stage.name.removeprefix("prm.")].reduce
    learnt = [s.folder(recipe).path / "model" for s in stages if s.kind == "segmenter"]
    if fitted := segmenter.get("path") or next(iter(learnt), None):
        segmenter["path"] = str(fitted)
    write_usage(model, {"reduce": reduce, "segmenter": segmenter, "answers": config.plain(recipe.answers)})


def _check_apart(drawn: Mapping[str, list[Problem]]) -> None:
    """No leak into test, and no id that means two problems: samples' seeds and references go by it."""
    known: dict[str, str] = {}
    for split, rows in drawn.items():
        for p in rows:
            if known.setdefault(p.id, p.text) != p.text:
                raise PrmError(
                    f"problems.{split}: the id '{p.id}' is another problem's in another split; give the split another seed or id column"
                )
    texts = {p.text for split, rows in drawn.items() if split != "test" for p in rows}
    both = [p.id for p in drawn["test"] if p.text in texts]
    if len(both) > LEAK * len(drawn["test"]):
        raise PrmError(
            f"problems.test: {len(both)} of its {len(drawn['test'])} problems are trained on too, the first '{both[0]}'; "
            "give the splits other rows (skip, every, limit) or another seed"
        )
