"""Scores of windows, batch by batch, as many tokens a batch as a budget says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from prm import branches
from prm.collate import pad
from prm.encode import Window

if TYPE_CHECKING:
    from prm.model import PRM

# Tokens of one batch. A CPU likes what stays in its cache, a GPU what fills it.
BUDGET = {"cpu": 4096, "cuda": 65536}


def budget(prm: PRM) -> int:
    return BUDGET.get(prm.network.device.type, BUDGET["cpu"])


def score_windows(prm: PRM, windows: Sequence[Window], share: bool) -> Iterator[tuple[list[int], list[list[float]]]]:
    """(indices of some windows, the sigmoid at each of their reads) until each window was told once.

    share: tokens that several windows begin with are computed once (branches.py); else each window is a padded row.
    """
    rows = [branches.Row(window.ids) for window in windows]
    for batch in branches.batches(rows, budget(prm)) if share else _padded(windows, budget(prm)):
        with torch.inference_mode():
            if share:
                logits, _ = branches.run(
                    prm.network, prm.network, [rows[i] for i in batch], [windows[i].reads for i in batch]
                )
            else:
                tensors = pad([windows[i] for i in batch], prm.tokenizer.pad_token_id or 0)
                logits = prm.network(**{name: tensor.to(prm.network.device) for name, tensor in tensors.items()})
        yield batch, _sigmoids(logits, [windows[i].reads for i in batch])


def extend_rows(
    prm: PRM, rows: Sequence[branches.Row], reads: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], list[torch.Tensor], list[list[float]]]]:
    """(indices of some rows, their states behind their past, the sigmoid at each of their reads) until all were told."""
    for batch in branches.batches(rows, budget(prm)):
        mine = [reads[i] for i in batch]
        with torch.inference_mode():
            logits, states = branches.run(prm.network, prm.network, [rows[i] for i in batch], mine, keep=True)
        yield batch, states, _sigmoids(logits, mine)


def _sigmoids(logits: torch.Tensor, reads: Sequence[Sequence[int]]) -> list[list[float]]:
    return [part.tolist() for part in torch.sigmoid(logits.double()).cpu().split([len(mine) for mine in reads])]


def _padded(windows: Sequence[Window], budget: int) -> Iterator[list[int]]:
    """Longest first, so that rows of a batch are of like length; a window longer than the budget goes alone."""
    order = sorted(range(len(windows)), key=lambda i: -len(windows[i].ids))
    start = 0
    while start < len(order):
        count = max(1, budget // len(windows[order[start]].ids))
        yield order[start : start + count]
        start += count
