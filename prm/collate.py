"""Windows -> tensors for the network: padded rows, rows that hold several windows each (packed), or one tree of them all (shared).

A batch is a dict of the network's arguments: input_ids (B, T); `at` (S,), the flat positions b * T + t where scores are
read, window by window; and attention_mask (B, T) when padded, position_ids (B, T) when packed or shared. Shared, B is 1, and
sharing.py says what `branches` and `back` are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from prm.branches import Row, plan
from prm.encode import Window
from prm.sharing import tensors


def pad(windows: Sequence[Window], pad_id: int) -> dict[str, torch.Tensor]:
    """One window a row, filled up on the right."""
    width = max(len(w.ids) for w in windows)
    ids = np.full((len(windows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(windows), width), dtype=np.int64)
    for row, window in enumerate(windows):
        ids[row, : len(window.ids)] = window.ids
        mask[row, : len(window.ids)] = 1
    at = [row * width + read for row, window in enumerate(windows) for read in window.reads]
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask), "at": torch.tensor(at)}


def pack(windows: Sequence[Window], pad_id: int, capacity: int | None) -> dict[str, torch.Tensor]:
    """Several windows a row, positions counted from 0 in each; None puts all in one row (flash attention wants that).

    No attention mask: attention tells windows apart by where positions restart. The filler at a row's end restarts too, so
    it is a window of its own that nothing reads.
    """
    rows = _rows([len(w.ids) for w in windows], capacity)
    width = max(sum(len(windows[i].ids) for i in row) for row in rows)
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    positions = np.zeros((len(rows), width), dtype=np.int64)
    starts = {}
    for r, row in enumerate(rows):
        end = 0
        for i in row:
            start, end = end, end + len(windows[i].ids)
            ids[r, start:end] = windows[i].ids
            positions[r, start:end] = np.arange(end - start)
            starts[i] = r * width + start
        positions[r, end:] = np.arange(width - end)
    at = [starts[i] + read for i, window in enumerate(windows) for read in window.reads]
    return {"input_ids": torch.from_numpy(ids), "position_ids": torch.from_numpy(positions), "at": torch.tensor(at)}


def share(windows: Sequence[Window]) -> dict:
    """The windows' tokens, one for each distinct beginning; for a network inside `sharing.attending`."""
    rows = [Row(window.ids, window.reads) for window in windows]
    return tensors(plan(rows), rows)


def _rows(lengths: Sequence[int], capacity: int | None) -> list[list[int]]:
    """First fit, longest first: indices of the windows in each row."""
    if capacity is None:
        return [list(range(len(lengths)))]
    rows: list[list[int]] = []
    free: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((r for r, left in enumerate(free) if left >= lengths[i]), None)
        if row is None:
            rows.append([])
            free.append(capacity)
            row = len(rows) - 1
        rows[row].append(i)
        free[row] -= lengths[i]
    return rows
