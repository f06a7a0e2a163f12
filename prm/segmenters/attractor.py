"""Cut a solution where a model's own dynamics say that a step ends: no delimiter is needed, any text will do.

form        what a place is judged by                                                    learned from
quantiles   runs of tokens with low KL flow, low curl, high RPI, by quantiles of         nothing
            the sequence; cuts where a run starts or ends (the attractors as published)
change      change points of all traces together (optimal partitioning)                  nothing
entropy     peaks of the next-token entropy                                              a threshold
surprise    peaks of the surprise                                                        a threshold
expected    peaks of the entropy that the model has *on average* in such a state         the model's own entropies
shown       the likeness of the states on both sides to where other texts show           the delimiters of texts that show them
            a delimiter

What is learned is learned without labels: by `prm run` on its own training samples, or before, on any corpus (`prm segmenter`), and named as `path`.
The model reads the solution behind its problem. Measured beside delimiters, grids and chance: `python -m eval.boundaries`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prm import models
from prm.dynamics import reader
from prm.engines._common import check_template, encode
from prm.errors import PrmError
from prm.records import Problem, Sample, Steps
from prm.segmenters import delimiter

if TYPE_CHECKING:
    from prm.dynamics.traces import Traces
    from prm.segmenters._learned import Learned

FORMS = ("quantiles", "change", "entropy", "surprise", "expected", "shown")
FITTED = ("entropy", "surprise", "expected", "shown")
EDGES, JOIN = ("token", "word"), ("union", "agree")
CLOSING = ".,;:!?)]}。，、；：！？）」』】"  # ends what stands before it, never begins a step
# Lao and Thai, Burmese, Khmer, Japanese, Chinese: scripts without spaces
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
FIT_TOKENS = 100_000  # enough for a head; more would only take memory (width 4096: 1.6 GB a layer)


@dataclass(frozen=True)
class Config:
    """model, layers, window: see `prm.dynamics.reader.Config`; an early layer suits form expected. template, chat: the prompt, as the engine's. path: the folder of a fitted segmenter; "" in a recipe
    fits one on the run's training samples. rate: cuts a token, of the fitted texts; 0 lets the two kinds of peaks tell (Otsu).
    min_tokens: of a segment. quantile: of form quantiles, penalty: of form change (a segment's, in variances a signal).
    edges: "word" moves a cut inside a word to the word's start, one before closing punctuation behind it. delimiters: also look at these; join: "union" cuts at both, "agree" at delimiters
    alone, and there only where a cut of the form lies within `near` tokens. shown: the delimiters that form shown learns from.
    """

    model: str = models.WORLD
    layers: tuple[int, ...] = (1,)
    window: int = 8
    template: str = "{problem}\n"
    chat: bool = False
    form: str = "expected"
    path: str = ""
    rate: float = 0.0
    min_tokens: int = 3
    quantile: float = 0.5
    penalty: float = 2.0
    edges: str = "word"
    delimiters: delimiter.Config | None = None
    join: str = "union"
    near: int = 3
    shown: delimiter.Config = delimiter.Config()

    def __post_init__(self):
        for name, known in (("form", FORMS), ("edges", EDGES), ("join", JOIN)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: '{getattr(self, name)}' is none of {', '.join(known)}; choose one of them")
        for name, low, high in (("rate", 0, 0.5), ("quantile", 0, 1)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: {getattr(self, name)} is outside [{low}, {high}]")
        if self.min_tokens < 1 or self.near < 0 or self.penalty <= 0:
            raise ValueError("min_tokens: must be at least 1, near at least 0 and penalty above 0")
        check_template(self.template)
        if self.path and self.form not in FITTED:
            raise ValueError(f"path: form {self.form} learns nothing; leave it out, or take one of {', '.join(FITTED)}")
        self.reader  # its own checks

    @property
    def reader(self) -> reader.Config:
        return reader.Config(model=self.model, layers=self.layers, window=self.window)


def check(config: Config) -> None:
    """PrmError for a model or fitted segmenter that cannot be used; loads no model."""
    reader.check(config.reader)
    if config.form in ("entropy", "surprise", "expected") and reader.has_head(config.model) is False:
        raise PrmError(
            f"segmenter.form: {config.form} needs a language model's output projection, and {config.model} has none; take change or shown"
        )
    if config.path:
        learned, path = _load(config), models.resolve(config.model)
        if Path(path).is_dir():
            _check_weights(learned, config, models.weights_fingerprint(path))


def needs_fit(config: Config) -> bool:
    return config.form in FITTED and not config.path


def fit(rows: Sequence[tuple[Problem, Sample]], config: Config, context, folder: Path) -> None:
    """Learns the form's heads and threshold from the rows and writes them to `folder`, for `path`."""
    from prm.segmenters import _fit

    _fit.fitted(rows, config, _reader(config, context)).save(folder)


def cut(rows: Sequence[tuple[Problem, Sample]], config: Config, context) -> list[Steps]:
    """One Steps a sample. A text of a single segment is one step; one that the model cannot read behind its problem (too long a problem) is cut at
    `delimiters` alone, and is one step without them."""
    learned = _learned(config, context)
    usable = [(p, s) for p, s in rows if not s.reason and s.text.strip()]
    read = iter(read_rows(usable, config, _reader(config, context)))
    made = []
    for problem, sample in rows:
        ok = not sample.reason and sample.text.strip()
        made.append(Steps(sample.problem_id, sample.index, ends(sample, next(read), config, learned) if ok else ()))
    return made


def read_rows(
    rows: Sequence[tuple[Problem, Sample]],
    config: Config,
    opened: reader.Reader,
    progress: Callable[[int], None] | None = None,
) -> list[Traces]:
    """What the form needs of each row: traces, or states for the learned heads. progress: as of `Reader.read`."""
    from prm.segmenters._learned import HEADS

    prompts = encode(opened.tokenizer, [problem for problem, _ in rows], config.template, config.chat) if rows else []
    texts = [(prompt, sample.text) for prompt, (_, sample) in zip(prompts, rows)]
    return opened.read(
        texts,
        hidden=config.form in HEADS,
        traces=config.form not in HEADS or config.form == "expected" and not config.path,
        progress=progress,
    )


def ends(sample: Sample, traces: Traces, config: Config, learned: Learned | None) -> tuple[int, ...]:
    """The steps' ends: exclusive character offsets, the last the text's length."""
    places = [] if traces.reason else token_places(traces, config, learned)
    cuts = {_character(sample.text, traces.spans[b][0], config.edges) for b in places}
    if config.delimiters:
        shown = set(delimiter.cut_sample(sample, config.delimiters).ends[:-1])
        both = config.join == "union" or traces.reason
        cuts = cuts | shown if both else _agreed(shown, cuts, traces, config.near)
    return (*sorted(c for c in cuts if sample.text[:c].strip() and sample.text[c:].strip()), len(sample.text))


def token_places(traces: Traces, config: Config, learned: Learned | None) -> list[int]:
    """Tokens before which the form cuts."""
    from prm.segmenters import _places

    if learned is not None:
        return _places.peaks(learned.score(traces), learned.threshold, config.min_tokens)
    if config.form == "quantiles":
        low = [traces.kl_T] if traces.kl_T is not None else []
        return _places.stable_runs([*low, *traces.curl_LT], [*traces.rpi_LT], config.quantile, config.min_tokens)
    return _places.change_points(_joint(traces), config.penalty, config.min_tokens)


def _joint(traces: Traces):
    import numpy as np

    flow = [v for v in (traces.kl_T, traces.entropy_T, traces.surprise_T) if v is not None]
    return np.stack([*flow, *traces.curl_LT, *traces.turn_LT, *traces.rpi_LT], axis=1)


def _character(text: str, at: int, edges: str) -> int:
    """A cut before the first non-blank character from `at` on. edges "word": inside a word, before the word; before closing punctuation, behind it."""
    if edges == "word":
        while 0 < at < len(text) and _inside(text, at):
            at -= 1
    while at < len(text) and (text[at].isspace() or edges == "word" and text[at] in CLOSING):
        at += 1
    return at


def _inside(text: str, at: int) -> bool:
    """Whether `at` lies inside a word, or a number such as 1,000.5. Chinese, Japanese, Thai and their like show no words: never inside one."""
    left, right = text[at - 1], text[at]
    if right in ".," and left.isdigit():
        return text[at + 1 : at + 2].isdigit()
    if left in ".," and right.isdigit():
        return text[max(at - 2, 0) : at - 1].isdigit()
    return left.isalnum() and right.isalnum() and not UNSPACED.match(left) and not UNSPACED.match(right)


def _agreed(shown: set[int], cuts: set[int], traces: Traces, near: int) -> set[int]:
    """The delimiters that have a cut of the form within `near` tokens."""
    starts = [start for start, _ in traces.spans]
    places = [bisect_left(starts, c) for c in cuts]
    return {c for c in shown if any(abs(bisect_left(starts, c) - p) <= near for p in places)}


def _reader(config: Config, context) -> reader.Reader:
    return context.cached(("reader", config.reader), lambda: reader.Reader.open(config.reader, context))


def _learned(config: Config, context) -> Learned | None:
    """Of the forms that learn. Raises PrmError, before a model is loaded where that can be told."""
    if config.form not in FITTED:
        return None
    if not config.path:
        raise PrmError(
            f"segmenter.path: missing; form {config.form} is fitted first: `prm run` does so, `prm segmenter CORPUS -o FOLDER` on any corpus"
        )

    def load() -> Learned:
        learned, path = _load(config), models.resolve(config.model)
        hub = None if Path(path).is_dir() else _reader(config, context).model.config
        _check_weights(learned, config, models.weights_fingerprint(path, hub))
        return learned

    return context.cached(("attractor", config.path, config.model, config.form, config.layers), load)


def _load(config: Config) -> Learned:
    from prm.segmenters._learned import Learned

    learned = Learned.load(config.path)
    if (learned.target, learned.layers) != (config.form, config.layers):
        raise PrmError(
            f"segmenter.path: {config.path} was fitted with form {learned.target}, layers {list(learned.layers)}; say so in the recipe, or fit again"
        )
    return learned


def _check_weights(learned: Learned, config: Config, fingerprint: str) -> None:
    if learned.model != fingerprint:
        raise PrmError(
            f"segmenter.path: {config.path} was fitted on other weights than {config.model} holds now; fit it again"
        )


def with_path(config: Config, folder: Path) -> Config:
    """The config of the segmenter that was fitted into `folder`."""
    return replace(config, path=str(folder))
