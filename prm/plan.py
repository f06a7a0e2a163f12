"""Which windows each optimizer step and each micro-batch sees, and their tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from prm.collate import pack, pad
from prm.errors import PrmError

if TYPE_CHECKING:
    from prm.model import PRM
    from prm.settings import Config
    from prm.train import Item

SCOPE = 16  # batches whose windows are sorted by length together: less padding, batches still mixed


def plan(
    lengths: Sequence[int], config: Config, seed: int, world: int = 1, problems: Sequence[str] = ()
) -> list[list[int]]:
    """All micro-batches of all epochs, in order, as indices into `lengths`.

    An epoch is shuffled, sorted by length within scopes of `SCOPE` batches, cut into batches of nearly equal size, and the
    batches shuffled. Each batch is then split among devices and accumulation steps: how changes nothing else. With siblings, it is
    groups of so many windows of one problem (anew each epoch) that are shuffled and sorted; a cut may part a group.
    """
    parts = config.accumulate * world
    if config.siblings > config.batch // parts:
        raise PrmError(
            f"train.siblings: {config.siblings} do not fit in a micro-batch of {config.batch} / ({config.accumulate} x {world} "
            "processes) solutions; lower it, or raise train.batch"
        )
    batches = []
    for epoch in range(config.epochs):
        rng = random.Random(f"{seed} {epoch}")
        groups = _groups(rng.sample(range(len(lengths)), len(lengths)), config.siblings, problems, rng)
        scope = SCOPE * config.batch // config.siblings
        order = [
            i
            for start in range(0, len(groups), scope)
            for group in sorted(groups[start : start + scope], key=lambda group: max(lengths[i] for i in group))
            for i in group
        ]
        cut = list(_split(order, -(-len(order) // config.batch)))
        batches += rng.sample(cut, len(cut))
    if min(map(len, batches)) < parts:
        least = min(map(len, batches))
        raise PrmError(
            f"train.accumulate: a batch of {least} solutions cannot be split in {parts}; lower it, or raise train.batch"
        )
    return [part for batch in batches for part in _split(batch, parts)]


def _groups(order: list[int], siblings: int, problems: Sequence[str], rng: random.Random) -> list[list[int]]:
    """Windows of one problem in groups of `siblings`, in random order; alone where that is 1."""
    if siblings == 1:
        return [[i] for i in order]
    made = []
    for _, same in groupby(sorted(order, key=problems.__getitem__), key=problems.__getitem__):
        same = list(same)
        made += [same[at : at + siblings] for at in range(0, len(same), siblings)]
    return rng.sample(made, len(made))


def _split(order: Sequence[int], parts: int) -> Iterator[list[int]]:
    """`parts` runs whose sizes differ by one at most."""
    for i in range(parts):
        yield list(order[i * len(order) // parts : (i + 1) * len(order) // parts])


class Batches(torch.utils.data.Dataset):
    """The plan as tensors, made when asked for: the network's arguments (collate.py), `values`, `weights` and `groups` (S,).

    groups: whose steps are compared in a ranking loss: a problem's, else a window's.
    """

    def __init__(self, prm: PRM, items: Sequence[Item], plan: list[list[int]], config: Config, packed: bool):
        self.items, self.plan, self.config, self.packed = items, plan, config, packed
        self.pad_id = prm.tokenizer.pad_token_id or 0

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        items = [self.items[i] for i in self.plan[index]]
        windows = [item.window for item in items]
        batch = pack(windows) if self.packed else pad(windows, self.pad_id)
        batch["values"] = torch.tensor([value for item in items for value in item.values])
        batch["weights"] = torch.tensor([weight for item in items for weight in item.weights])
        names = [item.problem if self.config.loss == "rank_problem" else i for i, item in enumerate(items)]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        batch["groups"] = torch.tensor([numbers[name] for name, item in zip(names, items) for _ in item.values])
        return batch
