"""The segmenters that are compared. Each may choose among a few settings on the tuning half, by the exact F1 there, and is then measured as it is.

Heads (`expected`, `shown`) are fitted on texts of the tuning half, `expected` on nothing but the model's own entropies; `shown_elsewhere` on solutions of
other problems that show their line breaks.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from eval.boundaries.matching import Places
from eval.boundaries.texts import Hidden
from prm.dynamics.traces import MOTION, Traces
from prm.segmenters import _fit, attractor, delimiter
from prm.segmenters._learned import HEADS, Learned

SENTENCE = re.compile(r"[.!?]\s+(?=\S)")
SEEDS = 5  # of the random control
FEW = 60  # texts that the slow change points are tuned on


@dataclass(frozen=True, eq=False)
class View:
    """A text as one model read it, with the tokens in which places are counted: `begins`, the first character of each."""

    hidden: Hidden
    traces: Traces
    begins: np.ndarray

    def place(self, character: int) -> int:
        return int(np.searchsorted(self.begins, character, side="right")) - 1

    @property
    def true(self) -> Places:
        return sorted({self.place(start) for start in self.hidden.starts})

    def places(self, cuts: Sequence[int]) -> Places:
        return sorted({self.place(cut) for cut in cuts} - {0, len(self.begins)})


Cutter = Callable[[View], Places]
Settings = Iterator[tuple[str, Cutter]]  # what is chosen, in words, and what it does


@dataclass(frozen=True)
class Contender:
    """settings(tuning views): the cutters to choose from. few: tuned on FEW texts."""

    name: str
    settings: Callable[[Sequence[View]], Settings]
    few: bool = False


def controls() -> list[Contender]:
    """What needs no model."""
    return [
        Contender("delimiter", lambda views: ((by, _delimiter(by)) for by in ("auto", "lines"))),
        Contender(
            "sentence",
            lambda views: iter([("", lambda v: v.places([m.end() for m in SENTENCE.finditer(v.hidden.text)]))]),
        ),
        Contender("grid", _grid),
    ]


def at_random(views: Sequence[View]) -> list[list[Places]]:
    """SEEDS times as many cuts as each text has steps to begin, anywhere."""
    made = []
    for seed in range(SEEDS):
        rng = random.Random(f"random/{seed}")
        made.append([sorted(rng.sample(range(1, len(v.begins)), min(len(v.true), len(v.begins) - 1))) for v in views])
    return made


def forms(layers: Sequence[int], names: Sequence[str], model: str = "", suffix: str = "") -> list[Contender]:
    """The attractor segmenter's forms by name, on traces of the given layers (as the reader was asked for them)."""
    made = {
        "entropy": Contender("entropy", _peaks("entropy", layers[:1], model)),
        "surprise": Contender("surprise", _peaks("surprise", layers[:1], model)),
        "quantiles": Contender("quantiles", lambda views: _quantiles(layers)),
        "change": Contender("change", lambda views: _change(layers), few=True),
        "expected": Contender("expected", _peaks("expected", layers, model)),
        "expected_untuned": Contender("expected_untuned", _untuned("expected", layers, model)),
        "shown": Contender("shown", _peaks("shown", layers, model)),
    }
    return [replace(made[name], name=name + suffix) for name in names]


def fitted_elsewhere(
    read: Sequence[Traces], starts: Sequence[Sequence[int]], layers: Sequence[int], suffix: str
) -> Contender:
    """Form shown, its heads from other texts; only the rate of cuts is chosen on the tuning half."""

    def settings(views: Sequence[View]) -> Settings:
        for i, layer in enumerate(layers):
            config = attractor.Config(form="shown", layers=(layer,))
            learned = _fit.learn([only(t, i) for t in read], starts, config, "")
            yield from _thresholds(learned, config, i, views)

    return Contender("shown_elsewhere" + suffix, settings)


def only(traces: Traces, layer: int) -> Traces:
    """The traces of one of the layers read."""
    names = [f"{name}_LT" for name in MOTION] + ["hidden_LTD"]
    kept = {name: getattr(traces, name)[layer : layer + 1] for name in names if getattr(traces, name) is not None}
    return replace(traces, **kept)


def _delimiter(by: str) -> Cutter:
    config = delimiter.Config(by=by)
    return lambda v: v.places(delimiter.cut_sample(v.hidden.row[1], config).ends[:-1])


def _grid(views: Sequence[View]) -> Settings:
    longest = max(8, 2 * round(1 / _rate(views)))
    for every in range(3, longest):
        for offset in sorted({every, *range(1, every, max(1, every // 4))}):
            yield f"every {every} from {offset}", lambda v, e=every, o=offset: list(range(o, len(v.begins), e))


def _rate(views: Sequence[View]) -> float:
    """True cuts a token on the tuning half."""
    return sum(len(v.true) for v in views) / sum(len(v.begins) for v in views)


def _form(config: attractor.Config, layer: int | None, learned: Learned | None = None) -> Cutter:
    def cut(view: View) -> Places:
        traces = view.traces if layer is None else only(view.traces, layer)
        return view.places(attractor.ends(view.hidden.row[1], traces, config, learned)[:-1])

    return cut


def _peaks(form: str, layers: Sequence[int], model: str) -> Callable[[Sequence[View]], Settings]:
    def settings(views: Sequence[View]) -> Settings:
        for i, layer in enumerate(layers):
            config = attractor.Config(form=form, layers=(layer,))
            yield from _thresholds(_learned(views, config, i, model), config, i, views)

    return settings


def _untuned(form: str, layers: Sequence[int], model: str) -> Callable[[Sequence[View]], Settings]:
    """All layers together, the threshold by the two kinds of peaks, the segmenter's own defaults: nothing is chosen."""

    def settings(views: Sequence[View]) -> Settings:
        config = attractor.Config(form=form, layers=tuple(layers))
        learned = _fit.learn([v.traces for v in views], [v.hidden.starts for v in views], config, model)
        yield (
            "defaults, all layers",
            _form(config, None, _fit.with_threshold(learned, [v.traces for v in views], 0, config.min_tokens)),
        )

    return settings


def _learned(views: Sequence[View], config: attractor.Config, layer: int, model: str) -> Learned:
    return _fit.learn([only(v.traces, layer) for v in views], [v.hidden.starts for v in views], config, model)


def _thresholds(learned: Learned, config: attractor.Config, layer: int, views: Sequence[View]) -> Settings:
    traces, rate = [only(v.traces, layer) for v in views], _rate(views)
    for times, least in product((0, 0.6, 0.8, 1.0, 1.25, 1.6), (1, 3, 5, 10)):
        if least < 0.5 / rate:
            at = _fit.with_threshold(learned, traces, times * rate, least)
            words = f"layer {config.layers[0]}, rate {times * rate:.3f}, min_tokens {least}"
            yield words, _form(replace(config, min_tokens=least), layer, at)


def _quantiles(layers: Sequence[int]) -> Settings:
    for (i, layer), q, least in product(enumerate(layers), (0.1, 0.2, 0.3, 0.5, 0.7, 0.9), (1, 2, 4)):
        config = attractor.Config(form="quantiles", layers=(layer,), quantile=q, min_tokens=least)
        yield f"layer {layer}, quantile {q}, min_tokens {least}", _form(config, i)


def _change(layers: Sequence[int]) -> Settings:
    for penalty, least in product((0.5, 1.0, 2.0, 4.0, 8.0), (2, 5)):
        config = attractor.Config(form="change", layers=tuple(layers), penalty=penalty, min_tokens=least)
        yield f"all layers, penalty {penalty}, min_tokens {least}", _form(config, None)


__all__ = ["HEADS", "Contender", "View", "at_random", "controls", "fitted_elsewhere", "forms", "only"]
