"""Attention over branches (branches.py): what several texts begin with goes through a causal model once, exactly.

All that works token by token (projections, MLPs, norms) runs on the N new tokens, without padding; attention alone lays them out
as rows again, a few of like length at a time. A token's state depends on nothing but those before it, so this is exact, gradients
too (dropout, where a backbone has some, is drawn once for what is shared). A block mask over the tree would cost N x N.

The trainer packs its batches this way, the scorer what solutions begin with and what it kept of earlier calls.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import embedding

from prm.branches import Plan, Row, groups, plan
from prm.encode import Window

if TYPE_CHECKING:
    from prm.network import Network

NAME = "branches"  # of this attention, among transformers'
GAP = {torch.float32: 1e-3, torch.bfloat16: 5e-2}  # of the hidden states' size, what rounding may move them


@dataclass(eq=False)
class Kept:
    """States of earlier passes and for later ones, a token a row: all layers' keys and values side by side.

    past, each (n, width): those that the source starts with, of which layers take their columns from `column` on. keep: what to
    keep of the source; layer by layer it ends in `made`.
    """

    past: Sequence[torch.Tensor]
    keep: torch.Tensor | None
    column: int = 0
    made: list[torch.Tensor] = field(default_factory=list)

    def source(self, new: torch.Tensor) -> torch.Tensor:
        """(M + N, width of one layer's keys or values): the past before the new."""
        if not self.past:
            return new
        start, self.column = self.column, self.column + new.shape[1]
        return torch.cat([*(piece[:, start : self.column] for piece in self.past), new])

    def take(self, *sources: torch.Tensor) -> None:
        if self.keep is not None:
            self.made.append(torch.cat([source[self.keep] for source in sources], dim=1))


def tensors(made: Plan, rows: Sequence[Row], dtype: torch.dtype = torch.float32) -> dict:
    """The arguments of a network inside `attending`, on the CPU: input_ids, position_ids (1, N); at (S,), the rows' reads, row by
    row; back and branches: see `_attend`. dtype: of the masks, where there are any."""
    found, back = groups(made)
    reads = [at[read] for at, row in zip(made.at, rows) for read in row.reads]
    return {
        "input_ids": torch.from_numpy(made.ids[None]),
        "position_ids": torch.from_numpy(made.depths[None]),
        "at": torch.from_numpy(np.array(reads, dtype=np.int64) - made.size),
        "back": torch.from_numpy(back),
        "branches": tuple((torch.from_numpy(one.q), torch.from_numpy(one.k), _mask(one.seen, dtype)) for one in found),
    }


def _mask(seen: np.ndarray | None, dtype: torch.dtype) -> torch.Tensor | None:
    """What is added to the scores, (R, 1, Q, K)."""
    if seen is None:
        return None
    return torch.zeros(seen.shape, dtype=dtype).masked_fill_(torch.from_numpy(~seen), float("-inf"))[:, None]


def run(
    forward: Callable, network: Network, rows: Sequence[Row], keep: Sequence[tuple[int, int, int]] = ()
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What `forward`, the network or its `hidden`, says at the rows' reads, row by row; and for each (row, start, stop) of
    `keep` those tokens' states, (stop - start, width), width the sum of all layers' keys and values."""
    from accelerate.utils import send_to_device

    made = plan(rows)
    kept = [made.at[row][start:stop] for row, start, stop in keep]
    state = Kept(
        made.pieces,
        torch.from_numpy(np.concatenate(kept)).to(network.device) if kept else None,
    )
    with attending(network):
        batch = send_to_device(tensors(made, rows, network.base().dtype), network.device)
        said = forward(**batch, use_cache=False, kept=state)
    pieces = torch.cat(state.made, dim=1).split([len(at) for at in kept]) if kept else ()
    return said, [piece.clone() for piece in pieces]  # clones: one may be dropped without the others


@contextmanager
def attending(network: Network) -> Iterator[None]:
    """The network with this attention in place of its own: it takes batches of branches, and no others."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attend)
    config = network.base().config
    own = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = own


def _attend(module, query, key, value, attention_mask, branches, back, kept: Kept | None = None, **options):
    """transformers' attention function. query, key, value: (1, H, N, D); returns (1, N, H, D) and None.

    branches: for each group its q (R, Q), k (R, K) and mask or None (branches.Group); back (N,): where in the groups' flat
    queries a token lies.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if options.get("softcap") or options.get("s_aux") is not None:
        raise TypeError("attention with a soft cap or a sink is another attention than this")
    widths = [states.shape[-1] for states in (query, key, value)]
    query, key, value = (states[0].transpose(0, 1).flatten(1) for states in (query, key, value))  # (N, H * D)
    if kept:
        key, value = kept.source(key), kept.source(value)
        kept.take(key, value)
    made = []
    for q, k, mask in branches:
        rows = (_rows(states, at, width) for states, at, width in zip((query, key, value), (q, k, k), widths))
        options["is_causal"] = mask is None
        made.append(sdpa_attention_forward(module, *rows, mask, **options)[0].flatten(2).flatten(0, 1))
    return embedding(back, torch.cat(made)).unflatten(1, (-1, widths[2]))[None], None


def _rows(flat: torch.Tensor, at: torch.Tensor, width: int) -> torch.Tensor:
    """(M, H * D) -> (R, H, K, D). An embedding is a gather whose gradient is summed fast on CPUs and GPUs."""
    return embedding(at, flat).unflatten(2, (-1, width)).transpose(1, 2)


@torch.inference_mode()
def exact(network: Network, max_tokens: int) -> bool:
    """Whether this very network says by branches what it says text by text, on texts of up to max_tokens; if not, do without.

    Not so: encoders, recurrent layers, attention by other means than transformers' interface, biases of distance, soft caps;
    layers that see fewer tokens than a text may hold, positions whose meaning depends on a text's length.
    """
    from prm.collate import pad

    base = network.base()
    if not getattr(base, "_supports_attention_backend", False) or _bounded(base.config.get_text_config(), max_tokens):
        return False
    vocabulary = min(64, base.get_input_embeddings().num_embeddings)
    ids = [7 * i % vocabulary for i in range(28)]
    texts = [ids[:12], ids[:6] + ids[12:20], ids[:9] + ids[20:24], ids[13:20]]
    windows = [Window(array("i", text), tuple(range(3, len(text))), ()) for text in texts]
    padded = {name: tensor.to(network.device) for name, tensor in pad(windows, 0).items()}
    mode = network.training
    network.eval()
    try:
        anew, _ = run(network.hidden, network, [Row(w.ids, w.reads) for w in windows])
        _, kept = run(network.hidden, network, [Row(text[:3]) for text in texts], [(r, 0, 3) for r in range(4)])
        said, _ = run(network.hidden, network, [Row(w.ids, w.reads, (k,), 3) for w, k in zip(windows, kept)])
        alone = network.hidden(**padded)
    except (
        TypeError,
        RuntimeError,
    ):  # a forward that takes no positions, hands no options on, has states of other shapes
        return False
    finally:
        network.train(mode)
    bound = GAP[base.dtype] * alone.float().norm()
    return all(bool((found - alone).float().norm() <= bound) for found in (anew, said))


def _bounded(config, max_tokens: int) -> bool:
    sights = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
    if getattr(config, "use_sliding_window", True) and any(sight and sight < max_tokens for sight in sights):
        return True
    rope = getattr(config, "rope_parameters", None) or {}  # one for all layers, or one for each kind
    kinds = {one.get("rope_type") for one in (rope, *rope.values()) if isinstance(one, dict)}
    return bool(kinds & {"dynamic", "longrope"})
