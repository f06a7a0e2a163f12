"""Scores of windows, batch by batch, as many tokens a batch as a budget says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from prm import branches, linear, sharing
from prm.collate import pad
from prm.encode import Window

if TYPE_CHECKING:
    from prm.model import PRM

# Tokens of one batch. A CPU likes what stays in its cache, a GPU what fills it.
BUDGET = {"cpu": 2048, "cuda": 65536}


@contextmanager
def _computing() -> Iterator[None]:
    with torch.inference_mode(), linear.fast():
        yield


def budget(prm: PRM) -> int:
    return BUDGET.get(prm.network.device.type, BUDGET["cpu"])


def score_padded(prm: PRM, windows: Sequence[Window]) -> Iterator[tuple[list[int], list[list[float]]]]:
    """(indices of some windows, the sigmoid at each of their reads) until each was told once; a window is a padded row."""
    for batch in padded_batches(windows, budget(prm)):
        tensors = pad([windows[i] for i in batch], prm.tokenizer.pad_token_id or 0)
        with _computing():
            logits = prm.network(**{name: tensor.to(prm.network.device) for name, tensor in tensors.items()})
        yield batch, _sigmoids(logits, [windows[i].reads for i in batch])


def score_shared(prm: PRM, windows: Sequence[Window]) -> Iterator[tuple[list[int], list[list[float]]]]:
    """As `score_padded`; tokens that several windows begin with are computed once. What the next batch begins with is kept."""
    rows = [branches.Row(window.ids, window.reads) for window in windows]
    order = list(branches.batches(rows, budget(prm)))
    row = rows[order[0][0]] if order else None
    for batch, following in zip(order, [*order[1:], None]):
        mine, keep = [row, *(rows[i] for i in batch[1:])], []
        if following:
            row = rows[following[0]]
            both = branches.shared(np.asarray(mine[-1].ids), np.asarray(row.ids))
            keep = [(len(mine) - 1, 0, min([both, *row.reads[:1]]))]
        with _computing():
            logits, kept = sharing.run(prm.network, prm.network, mine, keep)
        if following:
            row = replace(row, kept=tuple(kept), past=len(kept[0]))
        yield batch, _sigmoids(logits, [one.reads for one in mine])


def score_rows(
    prm: PRM, rows: Sequence[branches.Row]
) -> Iterator[tuple[list[int], list[torch.Tensor], list[list[float]]]]:
    """(indices of some rows, their states behind their past, the sigmoid at each of their reads) until all were told."""
    for batch in branches.batches(rows, budget(prm)):
        mine = [rows[i] for i in batch]
        keep = [(r, row.past, len(row.ids)) for r, row in enumerate(mine)]
        with _computing():
            logits, states = sharing.run(prm.network, prm.network, mine, keep)
        yield batch, states, _sigmoids(logits, [row.reads for row in mine])


def _sigmoids(logits: torch.Tensor, reads: Sequence[Sequence[int]]) -> list[list[float]]:
    return [part.tolist() for part in torch.sigmoid(logits.double()).cpu().split([len(mine) for mine in reads])]


def padded_batches(windows: Sequence[Window], budget: int) -> Iterator[list[int]]:
    """Longest first, so that rows of a batch are of like length; a window longer than the budget goes alone."""
    order = sorted(range(len(windows)), key=lambda i: -len(windows[i].ids))
    start = 0
    while start < len(order):
        count = max(1, budget // len(windows[order[start]].ids))
        yield order[start : start + count]
        start += count
