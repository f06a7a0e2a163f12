"""Windows -> tensors for the network: padded rows, rows that hold several windows each (packed), or one tree of them all (shared).

A batch is a dict of the network's arguments: input_ids (B, T); `at` (S,), the flat positions b * T + t where scores are
read, window by window; and attention_mask (B, T) when padded, position_ids (B, T) when packed or shared. Shared, B is 1, and
sharing.py says what `paths` and `first` are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from prm.encode import Window


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


def share(windows: Sequence[Window]) -> dict[str, torch.Tensor | tuple[torch.Tensor, ...]]:
    """The windows' tokens, one for each distinct beginning; for a network made ready by `sharing.use`.

    In the order of their tokens, each window shares with the one before it all that it shares with any before it.
    """
    paths: list[np.ndarray] = [np.array([], dtype=np.int64)] * len(windows)
    ids, fresh = [], [range(0)] * len(windows)  # fresh: the positions of each window's own tokens
    before, above = paths[0], paths[0]
    for w in sorted(range(len(windows)), key=lambda w: windows[w].ids):
        row = np.array(windows[w].ids)
        shared = _shared(before, row)
        fresh[w] = range(shared, len(row))
        paths[w] = np.concatenate([above[:shared], len(ids) + np.arange(len(row) - shared)])
        ids += row[shared:].tolist()
        before, above = row, paths[w]
    positions, first = np.zeros((2, len(ids)), dtype=np.int64)
    chunks, laid = [], 0
    for chunk in _alike([len(path) for path in paths]):
        width = len(paths[chunk[0]])
        chunks.append(np.zeros((len(chunk), width), dtype=np.int64))
        for row, w in enumerate(chunk):
            chunks[-1][row, : len(paths[w])] = paths[w]
            own = paths[w][fresh[w].start :]
            positions[own] = fresh[w]
            first[own] = np.arange(fresh[w].start, len(paths[w])) + laid + row * width
        laid += chunks[-1].size
    at = [int(paths[w][read]) for w, window in enumerate(windows) for read in window.reads]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.from_numpy(positions)[None],
        "paths": tuple(map(torch.from_numpy, chunks)),
        "first": torch.from_numpy(first),
        "at": torch.tensor(at),
    }


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in runs whose lengths are within a sixth of the longest."""
    runs: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not runs or 6 * lengths[i] < 5 * lengths[runs[-1][0]]:
            runs.append([])
        runs[-1].append(i)
    return runs


def _shared(a: np.ndarray, b: np.ndarray) -> int:
    """How many tokens both begin with."""
    length = min(len(a), len(b))
    apart = np.flatnonzero(a[:length] != b[:length])
    return int(apart[0]) if len(apart) else length


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
