"""Scores of many solutions at once, or step by step as a search writes them.

    scorer = Scorer(prm)
    scorer.score([(problem, steps), ...])                                # [[0.98, 0.03], ...]
    root = scorer.open(problem)
    (one, scores), (two, _) = scorer.extend([(root, [a]), (root, [b])])  # two branches of one problem
    ((three, scores),) = scorer.extend([(one, [c])])                     # costs c's tokens

What several texts begin with goes through the model once: a problem for all its solutions, and steps that they share. Where a
network cannot do that exactly (sharing.exact: encoders, ...), every text is a row of its own and `extend` reads the whole
window again: the same calls, more time. (An encoder's score of a step depends on the steps behind it, too: `extend` gives
those of the solution so far.)

A Partial keeps the keys and values of the tokens it was extended by and shares those before them with its parent: in bytes,
2 * layers * key heads * head width * bytes a number for each token (Llama 8B in bfloat16: 128 KiB), on the model's device.
They go with the last Partial that refers to them; nothing else holds any. The scorer itself holds none.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from prm.encode import Encoded, Step, Window, encode_many, join, parts
from prm.errors import PrmError

if TYPE_CHECKING:
    import torch

    from prm.branches import Row
    from prm.model import PRM

REASONS = {
    "no_steps": "the list of steps is empty",
    "empty_step": "a step is empty or has no token; drop it or join it to a neighbour",
    "problem_too_long": "the problem leaves less than half of max_tokens for steps; shorten it or train with more",
}


@dataclass(frozen=True, eq=False, slots=True)
class Partial:
    """A problem and its first steps, scored. Never changes: extending it makes another.

    prefix, steps: their tokens. ids: those of the last window. kept: the window's states, piece by piece (branches.Row).
    """

    prefix: list[int]
    steps: tuple[Step, ...]
    ids: Sequence[int]
    kept: tuple[torch.Tensor, ...]


class Scorer:
    """Of one PRM, whose weights must not change between a Partial's making and its extension."""

    def __init__(self, prm: PRM):
        from prm import sharing

        self.prm = prm
        with _evaluating(prm):
            self.shares = sharing.exact(prm.network, prm.config.max_tokens)

    def score(
        self, pairs: Iterable[tuple[str, Sequence[str]]], progress: Callable[[int], None] | None = None
    ) -> list[list[float]]:
        """The belief in [0, 1] that each step is right, of many (problem, steps), in their order. PrmError for what cannot
        be scored. progress: told how many more are done, batch by batch.

        The same pair scores the same whatever stands beside it, to rounding (1e-5 in float32, 1e-2 in bfloat16).
        """
        pairs = list(pairs)
        for _, steps in pairs:
            _check_list(steps)
        encoded = encode_many(pairs, self.prm.tokenizer, self.prm.config)
        _check_reasons(encoded)
        return self.score_encoded(encoded, progress)

    def score_encoded(
        self, encoded: Sequence[Encoded], progress: Callable[[int], None] | None = None
    ) -> list[list[float]]:
        """Scores of encoded solutions; [] for one that was rejected."""
        from prm.inference import score_padded, score_shared

        jobs = [(i, window) for i, one in enumerate(encoded) for window in one.windows]
        scores = [[float("nan")] * sum(len(w.steps) for w in one.windows) for one in encoded]
        with _evaluating(self.prm):
            score = score_shared if self.shares else score_padded
            for batch, values in score(self.prm, [window for _, window in jobs]):
                for (i, window), mine in zip((jobs[b] for b in batch), values):
                    scores[i][window.steps[0] : window.steps[-1] + 1] = mine
                if progress:
                    progress(sum(jobs[b][1] is encoded[jobs[b][0]].windows[-1] for b in batch))
        return scores

    def open(self, problem: str) -> Partial:
        """The problem alone, read. PrmError where it is longer than the PRM's max_tokens."""
        ((prefix, _),) = parts([(problem, ())], self.prm.tokenizer, self.prm.config)
        if len(prefix) > self.prm.config.max_tokens:
            raise PrmError(f"the problem has {len(prefix)} tokens: {REASONS['problem_too_long']}")
        root = Partial(prefix, (), array("i"), ())
        if not self.shares or not prefix:
            return root
        ids = array("i", prefix)
        ((kept, _),) = self._read([(root, Window(ids, (), ()))])
        return replace(root, ids=ids, kept=kept)

    def extend(self, pairs: Iterable[tuple[Partial, Sequence[str]]]) -> list[tuple[Partial, list[float]]]:
        """Each Partial with steps added, and the added steps' scores: those that `score` of all its steps gives, to rounding.

        A Partial may be given several times, with other steps. A solution that outgrows max_tokens goes on in a new window,
        as in `score`: once, its left context is read again. PrmError for what cannot be scored.
        """
        pairs = list(pairs)
        for _, steps in pairs:
            _check_list(steps)
        added = parts([("", steps) for _, steps in pairs], self.prm.tokenizer, self.prm.config)
        steps = [(*partial.steps, *new) if new else () for (partial, _), (_, new) in zip(pairs, added)]
        encoded = [join(partial.prefix, mine, self.prm.config.max_tokens) for (partial, _), mine in zip(pairs, steps)]
        _check_reasons(encoded)
        fresh = [_unscored(one, len(partial.steps)) for (partial, _), one in zip(pairs, encoded)]
        read = iter(self._read([(partial, window) for (partial, _), mine in zip(pairs, fresh) for window in mine]))
        made = []
        for (partial, _), mine, windows in zip(pairs, steps, fresh):
            kept, values = zip(*(next(read) for _ in windows))
            ids = windows[-1].ids if self.shares else partial.ids
            made.append((Partial(partial.prefix, mine, ids, kept[-1]), sum(values, [])))
        return made

    def _read(self, jobs: Sequence[tuple[Partial, Window]]) -> list[tuple[tuple[torch.Tensor, ...], list[float]]]:
        """For each window, with what a Partial keeps of its beginning: the states of all of it, and the scores at its reads."""
        from prm.inference import score_padded, score_rows

        found = [None] * len(jobs)
        with _evaluating(self.prm):
            if not self.shares:
                for batch, values in score_padded(self.prm, [window for _, window in jobs]):
                    for b, mine in zip(batch, values):
                        found[b] = ((), mine)
                return found
            rows = [_row(partial, window) for partial, window in jobs]
            for batch, states, values in score_rows(self.prm, rows):
                for b, new, mine in zip(batch, states, values):
                    found[b] = ((*rows[b].kept, new), mine)
        return found


def _row(partial: Partial, window: Window) -> Row:
    """The window behind as much of the Partial's as it begins with; a read must be computed, not remembered."""
    from prm.branches import Row, shared

    past = min([shared(np.asarray(partial.ids), np.asarray(window.ids)), *window.reads[:1]])
    kept, length = [], 0
    for piece in partial.kept:
        if length < past:
            kept.append(piece[: past - length] if length + len(piece) > past else piece)
            length += len(piece)
    return Row(window.ids, window.reads, tuple(kept), past)


def _unscored(encoded: Encoded, done: int) -> list[Window]:
    """The windows that score steps from `done` on, with those reads alone."""
    made = []
    for window in encoded.windows:
        skip = max(0, done - window.steps[0])
        if skip < len(window.steps):
            made.append(Window(window.ids, window.reads[skip:], window.steps[skip:]))
    return made


def _check_list(steps: Sequence[str]) -> None:
    if isinstance(steps, str):
        raise PrmError("steps: a list of texts is wanted, not one text; cut the solution into steps first")


def _check_reasons(encoded: Sequence[Encoded]) -> None:
    for i, one in enumerate(encoded):
        if one.reason:
            raise PrmError(f"solution {i + 1} of {len(encoded)}: {REASONS[one.reason]}")


@contextmanager
def _evaluating(prm: PRM) -> Iterator[None]:
    """Without dropout, and no other thread at it, as long as it takes."""
    with prm.scoring:
        mode = prm.network.training
        prm.network.eval()
        try:
            yield
        finally:
            prm.network.train(mode)
