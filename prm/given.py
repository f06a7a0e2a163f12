"""`prm train`: a PRM on step labels that its user has, given by people or by other tools, in any format of prm/formats.

    prm train DATA --backbone MODEL -o FOLDER [--format FORMAT] [--recipe recipes/train.yaml] [key=value ...]

The same training as a run's (prm/train.py), and the only one that reads labels from outside: what `prm run` makes never does.
The PRM's usage.json says so (`labels: given`).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prm import apply, card, config, ends, formats, model, plugins, recipefile, settings
from prm.errors import PrmError
from prm.formats import GIVEN, Row
from prm.labels import AFTER_ERROR
from prm.progress import progress, say
from prm.rerank import REDUCE


@dataclass(frozen=True)
class Recipe:
    """format: the data's, {name: ..., its config}. split: of a hub data set. after_error: what becomes of a step once an earlier one is
    wrong, as `labels.after_error` has it; "drop" masks what follows the first error. reduce, segmenter: what the PRM's usage.json tells
    `prm rerank` and `prm score`; a delimiter without `by` gets the one that brings the rows' own steps back (`prm.ends`).
    train.evaluation holds problems out."""

    format: dict[str, Any] = field(default_factory=lambda: {"name": "labels"})
    split: str = "train"
    after_error: str = "own"
    reduce: str = "min"
    segmenter: dict[str, Any] = field(default_factory=lambda: {"name": "delimiter"})
    seed: int = 0
    prm: model.Config = field(default_factory=model.Config)
    train: settings.Config = field(default_factory=settings.Config)

    def __post_init__(self):
        if self.after_error not in AFTER_ERROR:
            raise ValueError(f"after_error: {self.after_error!r} is unknown; choose one of {', '.join(AFTER_ERROR)}")
        if self.reduce not in REDUCE:
            raise ValueError(f"reduce: {self.reduce!r} is not known; take one of {', '.join(REDUCE)}")


def load(path: str | None, backbone: str, form: str | None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at `path` (None: recipes/train.yaml) for a backbone, and for a format where one is named. Raises PrmError."""
    file = Path(path) if path is not None else recipefile.shipped("train.yaml")
    mapping = recipefile.read(file, overrides)
    for section, settled in (("prm", {"backbone": backbone}), ("format", {"name": form} if form else {})):
        said = mapping.get(section, {})
        if not isinstance(said, dict):
            raise PrmError(f"{file}: {section}: must be a mapping, not {said!r}")
        mapping[section] = {"name": "labels", **said, **settled} if section == "format" else {**said, **settled}
    made = config.build(Recipe, mapping, f"{file}:")
    formats.build(made.format, f"{file}: format")
    cutter = plugins.build("segmenters", made.segmenter, "name", None, f"{file}: segmenter")
    plugins.check(cutter.module, cutter.config)
    return made


def train_file(data: str, recipe: Recipe, out: str | Path) -> None:
    """Trains a PRM on the labels in `data` and writes it to the folder `out`; goes on where an earlier call was stopped.

    Rows that cannot be used are left out, counted and told. Raises PrmError, what can be told before a model is loaded first.
    """
    from prm.train import train

    out, tally, first = Path(out), Counter(), []
    model.check(recipe.prm)
    form = formats.build(recipe.format, "format")
    rows = formats.read(data, form, tally, recipe.split)
    train(_masked(ends.watched(rows, first), recipe.after_error), recipe.prm, recipe.train, out, recipe.seed, progress)
    if int(os.environ.get("RANK", 0)):  # the first of several processes writes
        return
    if not (out / "usage.json").exists():  # else the card stands, and may be its user's by now
        history = json.loads((out / "history.json").read_text())
        card.write_card(recipe.prm, recipe.train, history, out, card.GIVEN)
    separator = getattr(form.config, "separator", "")
    cutter = ends.segmenter(recipe.segmenter, separator, first)
    usage = {"reduce": recipe.reduce, "segmenter": cutter, "labels": GIVEN, "separator": separator}
    apply.write_usage(out, usage)
    ends.tell(data, cutter, first)
    say(f"{data}: " + ", ".join(f"{n:,} {what}" for what, n in tally.items()) + f" -> {out}")


def _masked(rows: Iterator[Row], after_error: str) -> Iterator[Row]:
    """The rows with what `labels.after_error` makes of the steps behind a wrong one."""
    for row in rows:
        steps = [(value, weight, "") for value, weight in zip(row.labels.values, row.labels.weights)]
        values, weights, _ = zip(*AFTER_ERROR[after_error](steps))
        yield row._replace(labels=replace(row.labels, values=values, weights=weights))
