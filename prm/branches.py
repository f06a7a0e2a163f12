"""Texts that begin alike, as branches of one tree: which tokens a pass computes, and what each text's attention meets.

A batch is rows: the tokens of one text each, of which the first `past` may have their keys and values kept. Only what no kept
state and no earlier row has is computed: a problem's solutions share the problem and, as far as they begin alike, their first words.
All N such tokens are one sequence to the model, which treats each by itself but for attention (sharing.py); there each row's
queries meet the keys and values of its whole text, gathered from the kept and the new ones:

    source = kept + new (M + N)     row r: queries new[q_r] (Q), keys source[k_r] (K)

A row of which nothing is kept asks for all its tokens, causal, without a mask: what it shares is asked for once more, which costs
no more than the padded batch's attention and no memory. Of a row with a past only new tokens ask; query i sees keys 0 .. known_r + i.
Rows of like size are attended to together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

ALIKE = 0.95  # rows attended to together have at least this part of the longest one's keys: little padding, few calls
SPAN = 4  # tokens seen for each computed, at most: kept states are copied for a pass


@dataclass(frozen=True, eq=False)
class Row:
    """ids: a text's tokens. reads: those whose hidden state is asked for. kept: states of its first `past` tokens, piece by
    piece, each (n, width); no read lies among them."""

    ids: Sequence[int]
    reads: Sequence[int] = ()
    kept: tuple[torch.Tensor, ...] = ()
    past: int = 0


@dataclass(frozen=True, eq=False)
class Plan:
    """ids, depths (N,): the tokens to be computed, and how many lie before each. at: for each row, where its tokens are in the
    source; known: how many of them are not its own to compute. The source starts with `pieces`, `size` (M) tokens of kept states."""

    ids: np.ndarray
    depths: np.ndarray
    at: list[np.ndarray]
    known: list[int]
    pieces: list[torch.Tensor]
    size: int


def plan(rows: Sequence[Row]) -> Plan:
    """Which tokens to compute. In the order of their tokens, a row shares with the one before it all that it shares with any."""
    texts = [np.asarray(row.ids, dtype=np.int64) for row in rows]
    offsets, pieces, size = {}, [], 0
    for piece in (piece for row in rows for piece in row.kept):
        if id(piece) not in offsets:
            offsets[id(piece)], size = size, size + len(piece)
            pieces.append(piece)
    at, known, count = [np.zeros(0, dtype=np.int64)] * len(rows), [0] * len(rows), 0
    ids, depths, text, above = [], [], at[0][:0], at[0][:0]
    for r in _order(rows):
        row, lcp = rows[r], shared(text, texts[r])
        lcp = min([lcp, *(read for read in row.reads if read < lcp and above[read] < size)])  # kept: no hidden state
        chain = [offsets[id(piece)] + np.arange(len(piece)) for piece in row.kept]
        kept = np.concatenate(chain)[lcp : row.past] if chain else above[:0]
        known[r] = max(lcp, row.past)
        fresh = np.arange(known[r], len(texts[r]))
        ids.append(texts[r][fresh])
        depths.append(fresh)
        at[r] = np.concatenate([above[:lcp], kept, size + count + np.arange(len(fresh))])
        text, above, count = texts[r], at[r], count + len(fresh)
    return Plan(np.concatenate(ids), np.concatenate(depths), at, known, pieces, size)


def _order(rows: Sequence[Row]) -> list[int]:
    keys = [np.asarray(row.ids, dtype=">u4").tobytes() for row in rows]
    return sorted(range(len(rows)), key=keys.__getitem__)


def shared(a: np.ndarray, b: np.ndarray) -> int:
    """How many tokens both begin with."""
    length = min(len(a), len(b))
    apart = a[:length] != b[:length]
    return int(apart.argmax()) if apart.any() else length


def batches(rows: Sequence[Row], budget: int) -> Iterator[list[int]]:
    """Indices of the rows of each pass: those that begin alike together, `budget` tokens to compute and SPAN times that to see."""
    batch, fresh, seen, text = [], 0, 0, np.zeros(0)
    for r in _order(rows):
        before, text = text, np.asarray(rows[r].ids)
        new = len(text) - max(rows[r].past, shared(before, text))
        if batch and (fresh + new > budget or seen + len(text) > SPAN * budget):
            yield batch
            batch, fresh, seen = [], 0, 0
        batch.append(r)
        fresh, seen = fresh + new, seen + len(text)
    if batch:
        yield batch


@dataclass(frozen=True, eq=False)
class Group:
    """Rows attended to together. q (R, Q): in the new tokens; k (R, K): in the source; both filled up on the right with 0.
    seen (R, Q, K): which keys a query meets; None where every row is causal from its first token, and Q = K."""

    q: np.ndarray
    k: np.ndarray
    seen: np.ndarray | None


def groups(made: Plan) -> tuple[list[Group], np.ndarray]:
    """The rows that have new tokens, those of like length together; and (N,): where in the flat q's a new token lies."""
    mine = [r for r, at in enumerate(made.at) if len(at) > made.known[r]]
    found, back, done = [], np.zeros(len(made.ids), dtype=np.int64), 0
    for whole in (True, False):
        rows = [r for r in mine if (made.at[r].min() >= made.size) == whole]
        for members in alike([len(made.at[r]) for r in rows]):
            members = [rows[i] for i in members]
            asks = [0 if whole else made.known[r] for r in members]
            keys = len(made.at[members[0]])
            q = np.zeros((len(members), max(len(made.at[r]) - ask for r, ask in zip(members, asks))), dtype=np.int64)
            k = np.zeros((len(members), keys), dtype=np.int64)
            for i, (r, ask) in enumerate(zip(members, asks)):
                at, known = made.at[r], made.known[r]
                q[i, : len(at) - ask], k[i, : len(at)] = at[ask:] - made.size, at
                back[at[known:] - made.size] = done + i * q.shape[1] + np.arange(known - ask, len(at) - ask)
            done += q.size
            last = np.array(asks)[:, None] + np.arange(q.shape[1])
            found.append(Group(q, k, None if whole else np.arange(keys) <= last[:, :, None]))
    return found, back


def alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices, longest first, in runs of like lengths."""
    run: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if run and lengths[i] < ALIKE * lengths[run[0]]:
            yield run
            run = []
        run.append(i)
    if run:
        yield run
