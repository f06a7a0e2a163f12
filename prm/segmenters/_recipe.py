"""`prm segmenter`: a recipe and a corpus -> the folder of a fitted segmenter, and what is shown of it. See recipes/segmenter.yaml."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prm import config as configs
from prm import corpus, plugins, recipefile, store
from prm.dynamics.reader import Reader
from prm.errors import PrmError
from prm.progress import progress, say
from prm.records import Problem, Sample, Steps
from prm.segmenters import attractor

if TYPE_CHECKING:
    from prm.segmenters._fit import Read
    from prm.segmenters._learned import Learned

NAME = "attractor"
SHOWN, SHOWN_CHARS = 3, 240  # texts shown, and how much of each


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """corpus: what is learned from, as many of its texts as a head needs. segmenter: {name: attractor, config of it}."""

    corpus: corpus.Config
    segmenter: Mapping[str, Any] = field(default_factory=lambda: {"name": NAME})

    def config(self, where: str = "segmenter") -> attractor.Config:
        """The segmenter's, in which a text's prompt stands as the corpus gives it. Raises PrmError, which begins with `where`."""
        plugin = plugins.build("segmenters", self.segmenter, "name", NAME, where)
        if plugin.name != NAME:
            raise PrmError(f"{where}.name: {plugin.name} learns nothing from texts; take {NAME}")
        if plugin.config.path:
            raise PrmError(f"{where}.path: the command names the folder that is made; leave it out")
        if not plugins.needs_fit(plugin):
            forms = ", ".join(attractor.FITTED)
            raise PrmError(f"{where}.form: {plugin.config.form} learns nothing; take one of {forms}")
        if "template" in self.segmenter:
            raise PrmError(f"{where}.template: what stood before a text is corpus.template's to say; leave it out")
        return replace(plugin.config, template="{problem}")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A segmenter in its folder (config.path), and the texts that it was fitted on."""

    config: attractor.Config
    learned: Learned
    read: Read


def load(path: str | Path | None, corpus_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at `path` (None: recipes/segmenter.yaml) for a corpus. Raises PrmError, before anything is loaded, for whatever is wrong in it."""
    path = Path(path) if path is not None else recipefile.shipped("segmenter.yaml")
    made = configs.build(Recipe, corpus.named(recipefile.read(path, overrides), corpus_path, f"{path}:"), f"{path}:")
    made.config(f"{path}: segmenter")
    return made


def fit_corpus(recipe: Recipe, out: str | Path) -> Fitted:
    """Fits the segmenter on the recipe's corpus and saves it as the folder `out`. Raises PrmError, what can be told before a model is loaded first."""
    from prm.segmenters import _fit

    out, config = Path(out), recipe.config()
    documents = corpus.read(recipe.corpus)
    store.check_writable(out)
    store.check_own(out, "attractor.json")
    attractor.check(config)
    kept = corpus.usable(documents, recipe.corpus.limit)
    rows = [(Problem(document.id, document.prompt), Sample(document.id, 0, document.text)) for document in kept]
    opened, bar = Reader.open(config.reader), progress(range(len(rows)), what="reading")
    read = _fit.read(rows, config, opened, lambda more: deque(islice(bar, more), 0))
    deque(bar, 0)  # a head may need fewer texts
    learned = _fit.of_read(read, config)
    learned.save(out)
    say(f"a segmenter of form {learned.target} -> {out}")
    return Fitted(attractor.with_path(config, out), learned, read)


def lines(fitted: Fitted) -> Iterator[str]:
    """What was fitted, how it cuts the texts that it was fitted on, and how a recipe names it."""
    config, learned = fitted.config, fitted.learned
    steps = [
        Steps(sample.problem_id, 0, attractor.ends(sample, traces, config, learned))
        for (_, sample), traces in zip(fitted.read.rows_N, fitted.read.traces_N)
    ]
    tokens, cuts = sum(len(t.spans) for t in fitted.read.traces_N), [len(s.ends) - 1 for s in steps]
    layers = ", ".join(map(str, learned.layers))
    yield f"form {learned.target}, layers {layers} of {config.model}; {tokens:,} tokens of {len(steps):,} texts"
    share = sum(map(bool, cuts)) / len(cuts)
    yield f"threshold {learned.threshold:.4g}; {sum(cuts) / tokens:.3f} cuts a token; {share:.0%} of the texts are cut"
    for (_, sample), one in list(zip(fitted.read.rows_N, steps))[:SHOWN]:
        shown = " | ".join(" ".join(step.split()) for step in one.cut(sample.text))
        yield "  " + (shown if len(shown) <= SHOWN_CHARS else shown[:SHOWN_CHARS] + "...")
    yield f"in a recipe: segmenter: {{name: {NAME}, {_differing(config)}}}"


def _differing(config: attractor.Config) -> str:
    """The settings that a recipe must name, as YAML."""
    plain, usual = configs.plain(config), configs.plain(attractor.Config())
    said = {k: v for k, v in plain.items() if k not in ("template", "rate", "shown") and v != usual[k]}
    return ", ".join(f"{key}: {json.dumps(value)}" for key, value in {"form": config.form, **said}.items())
