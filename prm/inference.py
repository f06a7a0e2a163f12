"""Scoring in batches: windows sorted by length, as many a batch as a token budget takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from prm.collate import pad
from prm.encode import Encoded, Window

if TYPE_CHECKING:
    from prm.model import PRM

# Padded tokens of one batch. A CPU likes what stays in its cache, a GPU what fills it.
BUDGET = {"cpu": 4096, "cuda": 65536}


@torch.inference_mode()
def score_windows(
    prm: PRM, encoded: Sequence[Encoded], progress: Callable[[int], None] | None = None
) -> list[list[float]]:
    """One list of sigmoids a solution, one value a step; [] where a solution has no windows."""
    device = prm.network.device
    jobs = [(window, i) for i, one in enumerate(encoded) for window in one.windows]
    jobs.sort(key=lambda job: len(job[0].ids), reverse=True)
    scores = [[float("nan")] * sum(len(w.steps) for w in one.windows) for one in encoded]
    prm.network.eval()
    for batch in _batches(jobs, BUDGET.get(device.type, BUDGET["cpu"])):
        tensors = pad([window for window, _ in batch], prm.tokenizer.pad_token_id or 0)
        logits = prm.network(**{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})
        values = iter(torch.sigmoid(logits.double()).tolist())
        for window, i in batch:
            for step in window.steps:
                scores[i][step] = next(values)
        if progress:
            progress(sum(1 for window, i in batch if window is encoded[i].windows[-1]))
    return scores


def _batches(jobs: list[tuple[Window, int]], budget: int) -> Iterator[list[tuple[Window, int]]]:
    """Runs of jobs, longest first, whose padded size fits the budget; a window longer than it goes alone."""
    start = 0
    while start < len(jobs):
        count = max(1, budget // len(jobs[start][0].ids))
        yield jobs[start : start + count]
        start += count
