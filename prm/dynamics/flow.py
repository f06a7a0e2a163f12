"""KL flow, entropy and surprise without the T x V logits: a few rows at a time through the output projection.

A block of rows is projected, normalised and reduced while it is still in the cache; its last row is carried to the next block, because
KL_t needs two neighbouring distributions. On a GPU `kernel.py` does the same tile by tile, so that not even a block of logits is written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from prm.dynamics.head import Head

BLOCK_LOGITS = 1 << 20  # float32 logits of one block: 4 MiB, about a core's share of the cache
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Flow:
    """Each (N,) float32, nats; NaN where not defined. See `traces.Traces`."""

    kl: torch.Tensor
    entropy: torch.Tensor
    surprise: torch.Tensor


@torch.inference_mode()
def flow(hidden: torch.Tensor, tokens: torch.Tensor, first: torch.Tensor, head: Head) -> Flow:
    """hidden: (N, D), the projection's inputs of one or many texts, one after another. tokens: (N,) ids, row for row. first: (N,) bool,
    true at each text's first row, whose KL and surprise have nothing before them."""
    if len(hidden) == 0:
        empty = torch.zeros(0, device=hidden.device)
        return Flow(empty, empty, empty)
    if hidden.is_cuda and head.fits_kernel:
        from prm.dynamics.kernel import flow_cuda

        made = flow_cuda(hidden, tokens, head)
    else:
        made = _in_blocks(hidden, tokens, head)
    return Flow(made.kl.masked_fill(first, NAN), made.entropy, made.surprise.masked_fill(first, NAN))


def _in_blocks(hidden: torch.Tensor, tokens: torch.Tensor, head: Head) -> Flow:
    """The same with texts taken as one: rows whose neighbour is another text's are for the caller to mask."""
    size = max(1, BLOCK_LOGITS // head.vocabulary)
    kl, entropy, surprise = (torch.empty(len(hidden), device=hidden.device) for _ in range(3))
    logp = torch.empty(size + 1, head.vocabulary, device=hidden.device)  # row 0: the row before the block
    p = torch.empty(size, head.vocabulary, device=hidden.device)
    kl[0] = surprise[0] = NAN
    logp[0].zero_()
    for start in range(0, len(hidden), size):
        rows = min(size, len(hidden) - start)
        here, now, before = slice(start, start + rows), logp[1 : rows + 1], logp[:rows]
        torch.log_softmax(head.logits(hidden[here]), -1, dtype=torch.float32, out=now)
        torch.exp(now, out=p[:rows])
        inner, cross = (torch.einsum("nv,nv->n", p[:rows], other) for other in (now, before))
        entropy[here] = -inner
        surprise[here] = -before.gather(1, tokens[here, None]).squeeze(1)
        kl[here] = inner - cross
        logp[0] = logp[rows]
    kl[0] = surprise[0] = NAN
    return Flow(kl, entropy, surprise)
