"""Fitting the attractor segmenter: texts read once, heads where the form has some, then the threshold on the scores of the same texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from prm import models
from prm.dynamics.traces import Traces
from prm.errors import PrmError
from prm.records import Problem, Sample
from prm.segmenters import _learned, _places, attractor, delimiter

if TYPE_CHECKING:
    from prm.dynamics.reader import Reader


@dataclass(frozen=True, eq=False)
class Read:
    """Texts as they were read for fitting. starts_N: of each the characters where steps begin, for form shown; empty for others."""

    rows_N: Sequence[tuple[Problem, Sample]]
    traces_N: Sequence[Traces]
    starts_N: Sequence[Sequence[int]]
    model: str


def fitted(rows: Sequence[tuple[Problem, Sample]], config: attractor.Config, reader: Reader) -> _learned.Learned:
    """Raises PrmError where no text can be read, or where the form's target is not there to learn from."""
    return of_read(read(rows, config, reader), config)


def of_read(texts: Read, config: attractor.Config) -> _learned.Learned:
    learned = learn(texts.traces_N, texts.starts_N, config, texts.model)
    return with_threshold(learned, texts.traces_N, config.rate, config.min_tokens)


def read(
    rows: Sequence[tuple[Problem, Sample]],
    config: attractor.Config,
    reader: Reader,
    progress: Callable[[int], None] | None = None,
) -> Read:
    """As many of the rows as a head needs. progress: told how many more windows are read."""
    rows, starts = _texts(rows, config)
    found = attractor.read_rows(rows, config, reader, progress)
    kept = [(row, t, s) for row, t, s in zip(rows, found, starts) if not t.reason]
    if not any(len(t.spans) > 1 for _, t, _ in kept):
        raise PrmError(
            "segmenter: none of the texts can be read by the model; give texts, and problems that leave room for them"
        )
    return Read(*zip(*kept), models.weights_fingerprint(models.resolve(config.model), reader.model.config))


def learn(
    traces: Sequence[Traces], starts: Sequence[Sequence[int]], config: attractor.Config, model: str
) -> _learned.Learned:
    """The form's heads; starts: of each text, the characters where steps begin (form shown alone reads them)."""
    if config.form == "expected":
        if traces[0].entropy_T is None:
            raise PrmError(
                "segmenter.form: expected needs a language model's output projection, and this model is an encoder; take shown or change"
            )
        return _learned.fit_expected(traces, config.layers, model)
    if config.form == "shown":
        places = [places_of(t, s) for t, s in zip(traces, starts)]
        return _learned.fit_shown(traces, places, config.layers, model)
    return _learned.Learned(config.form, float("inf"), model, config.layers, sum(len(t.spans) for t in traces))


def with_threshold(
    learned: _learned.Learned, traces: Sequence[Traces], rate: float, min_tokens: int
) -> _learned.Learned:
    """rate: cuts a token; 0 looks at the peaks alone, all of them min_tokens apart, and parts those of the high kind from those of the low:
    over all tokens the few that begin steps would hardly count."""
    scores = [learned.score(t) for t in traces]
    if rate:
        seen = np.concatenate([s[1:] for s in scores])
        seen = seen[np.isfinite(seen)]
    else:
        seen = np.concatenate([s[_places.peaks(s, -np.inf, min_tokens)] for s in scores])
    if not len(seen):
        raise PrmError("segmenter: no text is long enough to be cut; give longer ones, or lower min_tokens")
    return replace(learned, threshold=float(np.quantile(seen, 1 - rate)) if rate else _places.two_kinds(seen))


def places_of(traces: Traces, starts: Sequence[int]) -> list[int]:
    """The tokens in which the characters `starts` lie."""
    begins = np.array([a for a, _ in traces.spans])
    return sorted({int(np.searchsorted(begins, start, side="right")) - 1 for start in starts})


def hidden_breaks(steps: Sequence[str]) -> tuple[str, list[int]]:
    """The steps as one text without line breaks, and the characters where all but the first begin."""
    text, starts = "", []
    for step in (" ".join(step.split()) for step in steps):
        if step:
            starts.append(len(text) + 1 if text else 0)
            text = f"{text} {step}" if text else step
    return text, starts[1:]


def _texts(rows, config: attractor.Config) -> tuple[list[tuple[Problem, Sample]], list[list[int]]]:
    """Rows spread evenly over all, up to about FIT_TOKENS; for form shown with their breaks hidden, and where they were."""
    rows = [(p, s) for p, s in rows if not s.reason and s.text.strip()]
    characters = sum(len(s.text) for _, s in rows)
    every = max(1, -(-characters // (attractor.FIT_TOKENS * 3)))  # a token has three characters or more
    rows = rows[::every]
    if config.form != "shown":
        return rows, [[] for _ in rows]
    hidden = [hidden_breaks(delimiter.cut_sample(s, config.shown).cut(s.text)) for _, s in rows]
    return [(p, replace(s, text=text)) for (p, s), (text, _) in zip(rows, hidden)], [starts for _, starts in hidden]
