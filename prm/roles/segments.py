"""Texts -> segments, their centres, and their tokens' hidden states. Shapes: T tokens, N segments, D width of the states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prm.records import Problem, Sample, Steps

if TYPE_CHECKING:
    import numpy as np

    from prm.dynamics.reader import Reader
    from prm.plugins import Plugin
    from prm.signals import Context

CHUNK = 256  # texts read at once: their states are in memory together

Row = tuple[str, str]  # (prompt, text): what stood before the text, to the character, and the text


@dataclass(frozen=True, eq=False)
class Cut:
    """One text in segments, each of which holds a token (a step without one joins the next).

    spans: the tokens' characters. segments: the segments' characters, one after another. segment_T: each token's segment. centres_ND: mean states, float32.
    reason: "" or why there are no segments: the reader's ("no_tokens", "prompt_too_long", "not_finite") or "no_steps".
    """

    spans: tuple[tuple[int, int], ...] = ()
    segments: tuple[tuple[int, int], ...] = ()
    segment_T: np.ndarray | None = field(default=None, repr=False)
    hidden_TD: np.ndarray | None = field(default=None, repr=False)
    centres_ND: np.ndarray | None = field(default=None, repr=False)
    reason: str = ""


def cuts(
    rows: Sequence[Row],
    reader: Reader,
    segmenter: Plugin,
    context: Context,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Cut]:
    """Each row's segments, read CHUNK rows at a time. progress: told how many more rows are read."""
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        # A segmenter has its own template, whose line break is not to stand there twice.
        asked = [(Problem(str(i), p.removesuffix("\n")), Sample(str(i), 0, text)) for i, (p, text) in enumerate(chunk)]
        steps = segmenter.module.cut(asked, segmenter.config, context)
        for (_, text), cut, traces in zip(chunk, steps, reader.read(chunk, hidden=True, traces=False)):
            yield _cut(text, cut, traces)
        if progress:
            progress(len(chunk))


def _cut(text: str, steps: Steps, traces) -> Cut:
    import numpy as np

    if traces.reason or not steps.ends:
        return Cut(traces.spans, reason=traces.reason or "no_steps")
    step_T = owners(text, steps.ends, traces.spans)
    kept, segment_T = np.unique(step_T, return_inverse=True)
    ends = [steps.ends[k] for k in kept[:-1]] + [len(text)]
    hidden_TD = traces.hidden_LTD[0]
    starts = np.flatnonzero(np.diff(segment_T, prepend=-1))
    sums = np.add.reduceat(hidden_TD.astype(np.float64), starts, axis=0)
    centres_ND = (sums / np.bincount(segment_T)[:, None]).astype(np.float32)
    return Cut(traces.spans, tuple(zip([0, *ends[:-1]], ends)), segment_T, hidden_TD, centres_ND)


def owners(text: str, ends: Sequence[int], spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """(T,) the step of each token, non-decreasing: that of its last visible character, or of its last one where it is all white space."""
    import numpy as np

    last = [a + len(text[a:b].rstrip()) - 1 if text[a:b].strip() else max(b - 1, 0) for a, b in spans]
    return np.maximum.accumulate(np.minimum(np.searchsorted(ends, last, side="right"), len(ends) - 1))
