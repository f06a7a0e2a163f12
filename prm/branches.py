"""Texts that begin alike go through a causal model once where they are alike, now or with what is kept from earlier calls.

A batch is rows: the tokens of one text each, of which the first `past` may have their keys and values kept. Only what no kept
state and no earlier row has is computed. All N such tokens are one sequence to the model, which treats each by itself but for
attention; there, each row's queries meet the keys and values of its whole text, gathered from the kept and the new ones:

    source = kept + new (M + N)     row r: queries new[q_r] (Q), keys source[k_r] (K), query i sees keys 0 .. past_r + i

Rows of like size are attended to together. Exact: in a causal model a token's state depends on nothing but those before it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from prm.collate import pad
from prm.encode import Window

if TYPE_CHECKING:
    from prm.network import Network

NAME = "branches"  # of this attention, among transformers'
ALIKE = 0.95  # rows attended to together have at least this part of the longest one's keys: little padding, few calls
SPAN = 4  # tokens seen for each computed, at most: kept states are copied for a pass
GAP = {torch.float32: 1e-3, torch.bfloat16: 5e-2}  # of the hidden states' size, what rounding may move them


@dataclass(frozen=True, eq=False)
class Row:
    """ids: a text's tokens. reads: those whose hidden state is asked for. kept: states of its first `past` tokens, piece by
    piece, each (n, width); no read lies among them."""

    ids: Sequence[int]
    reads: Sequence[int] = ()
    kept: tuple[torch.Tensor, ...] = ()
    past: int = 0


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows attended to together. q (R, Q): in the new tokens; k (R, K): in the source; both filled up with 0. mask (R, 1, Q, K),
    added to the scores; None where all rows begin at their first token."""

    q: torch.Tensor
    k: torch.Tensor
    mask: torch.Tensor | None


@dataclass(eq=False)
class Pass:
    """One pass through the model, as every layer's attention sees it.

    back (N,): where in the groups' flat queries a new token lies; keep: what to keep of the source, None for nothing; it
    ends in `made`, layer by layer. past (M, width): the kept states, of which layers take their columns from `column` on.
    """

    groups: list[Rows]
    back: torch.Tensor
    past: torch.Tensor | None
    keep: torch.Tensor | None
    column: int = 0
    made: list[torch.Tensor] = field(default_factory=list)

    def take(self, like: torch.Tensor) -> torch.Tensor:
        """The next columns of the past, (M, *like.shape)."""
        start, self.column = self.column, self.column + like.numel()
        return self.past[:, start : self.column].unflatten(1, like.shape)


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


def run(
    forward: Callable, network: Network, rows: Sequence[Row], keep: Sequence[tuple[int, int, int]] = ()
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What `forward`, the network or its `hidden`, says at the rows' reads, row by row; and for each (row, start, stop) of
    `keep` those tokens' states, (stop - start, width), width the sum of all layers' keys and values."""
    made = plan(rows)
    device = network.device
    kept = [made.at[row][start:stop] for row, start, stop in keep]
    state = Pass(
        *_groups(made, network.base().dtype, device),
        torch.cat(made.pieces) if made.pieces else None,
        torch.from_numpy(np.concatenate(kept)).to(device) if kept else None,
    )
    reads = np.array([at[read] for at, row in zip(made.at, rows) for read in row.reads], dtype=np.int64) - made.size
    tensors = {"input_ids": made.ids[None], "position_ids": made.depths[None], "at": reads}
    with _attending(network):
        tensors = {name: torch.from_numpy(array).to(device) for name, array in tensors.items()}
        said = forward(**tensors, use_cache=False, branches=state)
    pieces = torch.cat(state.made, dim=1).split([len(at) for at in kept]) if kept else ()
    return said, [piece.clone() for piece in pieces]  # clones: one may be dropped without the others


@torch.inference_mode()
def exact(network: Network, max_tokens: int) -> bool:
    """Whether this very network says by branches what it says text by text, on texts of up to max_tokens; if not, do without.

    Not so: encoders, recurrent layers, attention by other means than transformers' interface, biases of distance, soft caps;
    layers that see fewer tokens than a text may hold, positions whose meaning depends on a text's length.
    """
    base = network.base()
    if not getattr(base, "_supports_attention_backend", False) or _bounded(base.config.get_text_config(), max_tokens):
        return False
    vocabulary = min(64, base.get_input_embeddings().num_embeddings)
    ids = [7 * i % vocabulary for i in range(28)]
    texts = [ids[:12], ids[:6] + ids[12:20], ids[:9] + ids[20:24], ids[13:20]]
    windows = [Window(array("i", text), tuple(range(3, len(text))), ()) for text in texts]
    padded = {name: tensor.to(network.device) for name, tensor in pad(windows, 0).items()}
    try:
        begun = [Row(text[:3]) for text in texts]
        _, kept = run(network.hidden, network, begun, [(r, 0, 3) for r in range(len(begun))])
        said, _ = run(network.hidden, network, [Row(w.ids, w.reads, (k,), 3) for w, k in zip(windows, kept)])
    except TypeError:  # a forward that takes no positions, or hands no options on to its attention
        return False
    alone = network.hidden(**padded)
    return bool((said - alone).float().norm() <= GAP[base.dtype] * alone.float().norm())


def _bounded(config, max_tokens: int) -> bool:
    sights = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
    if getattr(config, "use_sliding_window", True) and any(sight and sight < max_tokens for sight in sights):
        return True
    rope = getattr(config, "rope_parameters", None) or {}  # one for all layers, or one for each kind
    kinds = {one.get("rope_type") for one in (rope, *rope.values()) if isinstance(one, dict)}
    return bool(kinds & {"dynamic", "longrope"})


def _groups(made: Plan, dtype: torch.dtype, device: torch.device) -> tuple[list[Rows], torch.Tensor]:
    """The rows that have new tokens, those of like length together, and `Pass.back`."""
    order = sorted((r for r, at in enumerate(made.at) if len(at) > made.known[r]), key=lambda r: -len(made.at[r]))
    groups, back, start, done = [], np.zeros(len(made.ids), dtype=np.int64), 0, 0
    while start < len(order):
        stop, most = start, len(made.at[order[start]])
        while stop < len(order) and len(made.at[order[stop]]) >= ALIKE * most:
            stop += 1
        members, start = order[start:stop], stop
        known = np.array([made.known[r] for r in members])
        queries = max(len(made.at[r]) - made.known[r] for r in members)
        q, k = np.zeros((len(members), queries), dtype=np.int64), np.zeros((len(members), most), dtype=np.int64)
        for i, r in enumerate(members):
            fresh = made.at[r][made.known[r] :] - made.size
            q[i, : len(fresh)], k[i, : len(made.at[r])] = fresh, made.at[r]
            back[fresh] = done + i * queries + np.arange(len(fresh))
        done += q.size
        mask = None
        if known.any():
            hidden = np.arange(most) > (known[:, None] + np.arange(queries))[:, :, None]
            mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(torch.from_numpy(hidden), float("-inf"))
            mask = mask[:, None].to(device)
        groups.append(Rows(torch.from_numpy(q).to(device), torch.from_numpy(k).to(device), mask))
    return groups, torch.from_numpy(back).to(device)


def _attend(module, query, key, value, attention_mask, branches: Pass, scaling=None, **options):
    """transformers' attention function. query, key, value: (1, H, N, D); returns (1, N, H, D) and None."""
    if options.get("softcap") or options.get("s_aux") is not None:
        raise TypeError("attention with a soft cap or a sink is another attention than this")
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
    if branches.past is not None:
        key, value = (torch.cat([branches.take(states[0]), states]) for states in (key, value))
    if branches.keep is not None:
        branches.made.append(torch.cat([states[branches.keep].flatten(1) for states in (key, value)], dim=1))
    repeats = query.shape[1] // key.shape[1]
    made = []
    for rows in branches.groups:
        q, k, v = query[rows.q].transpose(1, 2), key[rows.k], value[rows.k]
        k, v = (states.repeat_interleave(repeats, 2).transpose(1, 2) for states in (k, v))
        out = scaled_dot_product_attention(q, k, v, rows.mask, is_causal=rows.mask is None, scale=scaling)
        made.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(made)[branches.back][None], None


@contextmanager
def _attending(network: Network) -> Iterator[None]:
    """The network with this attention in place of its own."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attend)
    config = network.base().config
    own = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = own
