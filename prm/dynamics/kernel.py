"""The flow on a GPU, in Triton: the tiles of `flow.py` in registers, so that no logit is ever written to memory.

A program takes some rows and a share of the vocabulary. For each tile of columns it multiplies the rows H_t and the rows H_{t-1} with the same
tile of the weight, loaded once, and keeps the online softmax's sums. The shares of one row are joined at the end, which costs next to nothing: so
a few rows still fill a GPU. Equations in `flow.py`. Runs without a GPU under TRITON_INTERPRET=1, slowly, for tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from prm.dynamics.flow import NAN, Flow, joined

if TYPE_CHECKING:
    from prm.dynamics.head import Head

# rows, columns, depth of a tile. Float32 has no tensor cores here (exact products), and its tiles are twice as large.
HALF, FULL = (64, 128, 64), (32, 64, 32)
PROGRAMS = 4  # a multiprocessor: enough to hide the waiting for memory
SUMS = 5  # peak, total, own, cross, target


@triton.jit
def _shares(
    hidden,  # (N, D)
    weight,  # (V, D)
    bias,  # (V,), of no account where BIASED is false
    tokens,  # (N,)
    sums,  # (SUMS, splits, N) float32, written
    N,
    V,
    D,
    share,  # columns of one split, a multiple of COLUMNS
    scale,
    softcap,
    BIASED: tl.constexpr,
    CAPPED: tl.constexpr,
    WIDEN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    split = tl.program_id(1)
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    real = row < N
    row_before = tl.maximum(
        row - 1, 0
    )  # the first row is its own neighbour: its KL and surprise are masked by the caller
    token = tl.load(tokens + row, mask=real, other=0)
    peak = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    own = tl.zeros((ROWS,), tl.float32)
    cross = tl.zeros((ROWS,), tl.float32)
    target = tl.zeros((ROWS,), tl.float32)
    for first in range(split * share, tl.minimum((split + 1) * share, V), COLUMNS):
        column = (first + tl.arange(0, COLUMNS)).to(tl.int64)
        known = column < V
        now = tl.zeros((ROWS, COLUMNS), tl.float32)
        before = tl.zeros((ROWS, COLUMNS), tl.float32)
        for start in range(0, D, DEPTH):
            depth = start + tl.arange(0, DEPTH)
            deep = depth < D
            seen = real[:, None] & deep[None, :]
            w = tl.load(weight + column[None, :] * D + depth[:, None], mask=known[None, :] & deep[:, None], other=0.0)
            h = tl.load(hidden + row[:, None] * D + depth[None, :], mask=seen, other=0.0)
            g = tl.load(hidden + row_before[:, None] * D + depth[None, :], mask=seen, other=0.0)
            if WIDEN:
                w, h, g = w.to(tl.float32), h.to(tl.float32), g.to(tl.float32)
            now = tl.dot(h, w, now, input_precision="ieee")
            before = tl.dot(g, w, before, input_precision="ieee")
        if BIASED:
            b = tl.load(bias + column, mask=known, other=0.0).to(tl.float32)[None, :]
            now += b
            before += b
        now *= scale
        before *= scale
        if CAPPED:  # tanh(x) = 1 - 2 / (exp(2x) + 1)
            now = softcap * (1.0 - 2.0 / (tl.exp(2.0 * now / softcap) + 1.0))
            before = softcap * (1.0 - 2.0 / (tl.exp(2.0 * before / softcap) + 1.0))
        higher = tl.maximum(peak, tl.max(tl.where(known[None, :], now, float("-inf")), 1))
        p = tl.where(known[None, :], tl.exp(now - higher[:, None]), 0.0)
        fade = tl.exp(peak - higher)
        total = total * fade + tl.sum(p, 1)
        own = own * fade + tl.sum(p * now, 1)
        cross = cross * fade + tl.sum(p * before, 1)
        target += tl.sum(tl.where(column[None, :] == token[:, None], before, 0.0), 1)
        peak = higher
    place = sums + split.to(tl.int64) * N + row
    layer = tl.num_programs(1).to(tl.int64) * N
    tl.store(place, peak, mask=real)
    tl.store(place + layer, total, mask=real)
    tl.store(place + 2 * layer, own, mask=real)
    tl.store(place + 3 * layer, cross, mask=real)
    tl.store(place + 4 * layer, target, mask=real)


@torch.inference_mode()
def flow_cuda(hidden: torch.Tensor, tokens: torch.Tensor, head: Head) -> Flow:
    """`flow` of rows (N, D) taken as one text, N > 0, in float32 sums whatever the weight's type; products are of that type's values."""
    hidden, weight = hidden.to(head.weight.dtype).contiguous(), head.weight.contiguous()
    rows, columns, depth = FULL if weight.dtype == torch.float32 else HALF
    (count, width), vocabulary = hidden.shape, len(weight)
    blocks, tiles = triton.cdiv(count, rows), triton.cdiv(vocabulary, columns)
    share = triton.cdiv(tiles, max(1, _programs(hidden.device) // blocks))  # tiles of one split
    splits = triton.cdiv(tiles, share)
    sums = torch.empty(SUMS, splits, count, dtype=torch.float32, device=hidden.device)
    with torch.cuda.device_of(hidden):  # Triton launches on the current device
        _shares[(blocks, splits)](
            hidden,
            weight,
            weight if head.bias is None else head.bias,
            tokens.contiguous(),
            sums,
            count,
            vocabulary,
            width,
            share * columns,
            float(head.scale),
            float(head.softcap or 1.0),
            BIASED=head.bias is not None,
            CAPPED=head.softcap is not None,
            WIDEN=not hidden.is_cuda,  # the interpreter's dot does not know bfloat16
            ROWS=rows,
            COLUMNS=columns,
            DEPTH=depth,
            num_warps=8,  # with 4 the two accumulators spill
        )
    return _flow(*sums)


def _programs(device: torch.device) -> int:
    if device.type != "cuda":
        return 8  # the interpreter
    return PROGRAMS * torch.cuda.get_device_properties(device).multi_processor_count


def _flow(peak, total, own, cross, target) -> Flow:
    """Of the shares (splits, N) of each row."""
    lse, own, cross = joined(peak, total, own, cross)
    before = torch.cat([lse[:1], lse[:-1]])
    kl, surprise = own - cross - (lse - before), before - target.sum(0)
    kl[0] = surprise[0] = NAN
    return Flow(kl, lse - own, surprise)
