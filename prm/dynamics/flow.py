"""KL flow, entropy and surprise without the T x V logits: a tile of rows x vocabulary at a time through the output projection.

Over the tiles of one block of rows a running maximum, the sum of exponentials and two expectations are kept (the online softmax of Milakov and
Gimelshein 2018, as in FlashAttention). With l the logits and p their softmax:

    lse_t = log sum_v exp l_t(v)
    KL(p_t || p_{t-1}) = E_{p_t}[l_t] - E_{p_t}[l_{t-1}] - lse_t + lse_{t-1}
    entropy_t = lse_t - E_{p_t}[l_t],   surprise_t = lse_{t-1} - l_{t-1}(token_t)

Both rows of a pair lie in the same tile, so each logit is made once. On a GPU `kernel.py` does the same, and no tile is ever written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from prm.dynamics.head import Head

ROWS, COLUMNS = (
    1024,
    1024,
)  # of a tile: 4 MiB in float32, which stays in a cache; wide enough for a matrix product at full speed
WORKERS = 4  # tiles under way at once on a CPU, each with its logits and their softmax: bounds the memory, however many cores there are
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
    true at each text's first row, whose KL and surprise have nothing before them. Sums are in float32 whatever the types of hidden and head."""
    if len(hidden) == 0:
        empty = torch.zeros(0, device=hidden.device)
        return Flow(empty, empty, empty)
    if hidden.is_cuda and find_spec("triton"):
        from prm.dynamics.kernel import flow_cuda

        made = flow_cuda(hidden, tokens, head)
    else:
        made = _in_tiles(hidden, tokens, head)
    # below zero it is rounding alone
    return Flow(made.kl.clamp(min=0).masked_fill(first, NAN), made.entropy, made.surprise.masked_fill(first, NAN))


def _in_tiles(hidden: torch.Tensor, tokens: torch.Tensor, head: Head) -> Flow:
    """The same with texts taken as one: rows whose neighbour is another text's are for the caller to mask."""
    kl, entropy, surprise = (torch.full(hidden.shape[:1], NAN, device=hidden.device) for _ in range(3))
    for start in range(0, len(hidden), ROWS):
        begin, stop = max(start - 1, 0), min(start + ROWS, len(hidden))  # a block takes the row before it along
        block = hidden[begin:stop].float()
        lse, own, cross = _expectations(block, head)
        entropy[begin:stop] = lse - own
        kl[begin + 1 : stop] = own[1:] - cross[1:] - (lse[1:] - lse[:-1])
        surprise[begin + 1 : stop] = lse[:-1] - head.of_tokens(block[:-1], tokens[begin + 1 : stop])
    return Flow(kl, entropy, surprise)


def _expectations(block: torch.Tensor, head: Head) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """lse_t (R,), E_{p_t}[l_t] (R,) and E_{p_t}[l_{t-1}] (R,; of no account in the first row) of the rows (R, D).

    Workers take tile after tile, each its own, and share the threads out among them. Torch's way, every operation split over all threads, makes
    them wait for one another ten times a tile, which on a busy machine took twice as long.
    """
    tiles, threads = range(0, head.vocabulary, COLUMNS), torch.get_num_threads()
    workers = min(threads, len(tiles), WORKERS)
    if block.is_cuda or workers == 1 or len(block) * head.vocabulary < ROWS * COLUMNS:
        return joined(*(part[None] for part in _share(block, head, iter(tiles))))
    left = iter(tiles)
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            shares = [pool.submit(_share, block, head, left) for _ in range(workers)]
    finally:
        torch.set_num_threads(threads)  # threads to come would take the workers' setting for their own
    return joined(*map(torch.stack, zip(*(share.result() for share in shares))))


@torch.inference_mode()
def _share(block: torch.Tensor, head: Head, tiles: Iterator[int]) -> tuple[torch.Tensor, ...]:
    """The online softmax of the tiles taken: peak, sum of exponentials, and the two expectations times that sum, each (R,)."""
    rows = len(block)
    room = block.new_empty(2, rows * COLUMNS)
    peak = block.new_full((rows,), -torch.inf)
    total, own, cross = block.new_zeros(3, rows)
    for first in tiles:
        width = min(COLUMNS, head.vocabulary - first)
        logits, p = (part[: rows * width].view(rows, width) for part in room)
        head.tile(block, first, logits)
        old, peak = peak, torch.maximum(peak, logits.amax(-1))
        torch.sub(logits, peak[:, None], out=p).exp_()
        fade = (old - peak).exp_()
        total.mul_(fade).add_(p.sum(-1))
        own.mul_(fade).add_(torch.linalg.vecdot(p, logits))
        cross.mul_(fade)[1:].add_(torch.linalg.vecdot(p[1:], logits[:-1]))
    return peak, total, own, cross


def joined(peak: torch.Tensor, total: torch.Tensor, own: torch.Tensor, cross: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """lse and the two expectations (R,) of shares of the vocabulary (splits, R). A share without columns has the peak -inf and adds nothing."""
    top = peak.amax(0)
    weight = (peak - top).exp()
    mass = (weight * total).sum(0)
    return top + mass.log(), (weight * own).sum(0) / mass, (weight * cross).sum(0) / mass
