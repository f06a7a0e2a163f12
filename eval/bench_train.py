"""What training costs: padded against packed, eager against sdpa, LoRA against the whole backbone, side by side.

    python -m eval.bench_train [--backbone world] [--solutions 512] [--batch 128] [--dtype float32] [--tokens 80]

Rows are synthetic (random tokens, lengths spread by half around --tokens), so it measures speed and memory, not learning.
Prints a table: solutions/s and ms of CPU a solution (training and scoring), and peak memory (of the GPU where there is one,
else of the process, libraries included). Each variant runs in a process of its own, after a warm-up.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from array import array
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from eval.memory import resident

VARIANTS = (  # name, prm settings, train settings
    ("padded, sdpa", {}, {"packed": False}),
    ("padded, eager", {"attention": "eager"}, {"packed": False}),
    ("padded, sdpa, accumulate 4", {}, {"packed": False, "accumulate": 4}),
    ("packed, sdpa", {}, {"packed": True}),
    ("packed, sdpa, accumulate 4", {}, {"packed": True, "accumulate": 4}),
    ("packed, sdpa, whole backbone", {"lora": None}, {"packed": True}),
)


def synthetic(n: int, tokens: int, vocabulary: int, seed: int = 0) -> list:
    """Training items of random ids: a step every 12 tokens, soft random labels."""
    from prm.encode import Window
    from prm.train import Item

    rng = random.Random(seed)
    items = []
    for _ in range(n):
        ids = array("i", (rng.randrange(vocabulary) for _ in range(rng.randint(tokens // 2, tokens * 3 // 2))))
        reads = tuple(range(min(23, len(ids) - 1), len(ids), 12))
        labels = array("f", (rng.random() for _ in reads))
        items.append(Item(Window(ids, reads, tuple(range(len(reads)))), labels, array("f", [1.0] * len(reads))))
    return items


def measure(prm_config, train_config, n: int, tokens: int) -> dict[str, float]:
    """Trains one epoch on n items, scores them, and says how long that took and how much memory; a batch before, uncounted."""
    import torch
    from prm.encode import Encoded
    from prm.model import PRM
    from prm.progress import progress
    from prm.trainer import make_trainer

    torch.manual_seed(0)
    prm = PRM.create(prm_config)
    cuda = prm.network.device.type == "cuda"
    items = synthetic(n, tokens, min(prm.network.backbone.config.vocab_size, len(prm.tokenizer)))
    with tempfile.TemporaryDirectory() as folder:
        warmup, trainer = (
            make_trainer(prm, part, train_config, Path(folder), 0, progress)
            for part in (items[: train_config.batch], items)
        )
        warmup.train()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        trained = _timed(trainer.train, cuda)
    memory = torch.cuda.max_memory_allocated() if cuda else resident()
    scored = _timed(lambda: prm.score_encoded([Encoded((item.window,)) for item in items]), cuda)
    return {
        "train/s": n / trained[0],
        "train ms": 1e3 * trained[1] / n,
        "score/s": n / scored[0],
        "score ms": 1e3 * scored[1] / n,
        "peak MiB": memory / 2**20,
    }


def _timed(call, cuda: bool) -> tuple[float, float]:
    """Seconds of wall time and of CPU time."""
    import torch

    wall, cpu = time.perf_counter(), time.process_time()
    call()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def table(settings: argparse.Namespace) -> list[tuple[str, dict[str, float]]]:
    from prm.model import Config as PrmConfig
    from prm.train import Config as TrainConfig

    base = {"backbone": settings.backbone, "max_tokens": 2 * settings.tokens, "dtype": settings.dtype}
    jobs = [
        (PrmConfig(**{**base, **prm}), TrainConfig(**{"batch": settings.batch, "save_every": 10**9, **train}))
        for _, prm, train in VARIANTS
    ]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as alone:
        found = [alone.submit(measure, prm, train, settings.solutions, settings.tokens) for prm, train in jobs]
        return [(name, future.result()) for (name, *_), future in zip(VARIANTS, found)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.bench_train", description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="world", help="world, a folder or a hub id")
    parser.add_argument("--solutions", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=80, help="mean length of a solution with its problem")
    parser.add_argument("--dtype", default="float32")
    rows = table(parser.parse_args(arguments))
    columns = list(rows[0][1])
    print(f"{'':30s}" + "".join(f"{column:>11s}" for column in columns))
    for name, values in rows:
        print(f"{name:30s}" + "".join(f"{values[column]:11.2f}" for column in columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
