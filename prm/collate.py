"""Windows -> tensors for the network: padded rows, or one sequence of them all, without padding (packed).

A batch is a dict of the network's arguments: input_ids (B, T); `at` (S,), the flat positions b * T + t where scores are read,
window by window; and attention_mask (B, T) when padded. Packed, B is 1, and sharing.py says what the others are.
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


def pack(windows: Sequence[Window]) -> dict:
    """The windows as one sequence without padding, what they begin with alike once; for a network inside `sharing.attending`."""
    rows = [Row(window.ids, window.reads) for window in windows]
    return tensors(plan(rows), rows)
