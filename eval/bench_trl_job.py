"""One run of bench_trl in its own process: `python -m eval.bench_trl_job JOB`, JOB as JSON.

side      "ours", "trl", or "loss": how far our loss is from its definition in float64
folder    model, tokenizer and windows (bench_trl.prepare)
siblings  ours: so many of one problem side by side
grouped   trl: batches of like lengths
kernels   trl: with our linear layers
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from contextlib import nullcontext
from pathlib import Path

from eval.memory import resident

BATCH, ACCUMULATE = 64, 4


def run(job: dict) -> dict:
    """Trains one epoch; seconds, peak memory, memory gained while training. Of the side "loss" the loss_error alone."""
    import torch

    from prm import linear

    windows = json.loads((Path(job["folder"]) / "windows.json").read_text())
    if job["side"] == "loss":
        return {"loss_error": _loss_error(Path(job["folder"]), windows, job["siblings"])}
    warmup, trainer = (_theirs if job["side"] == "trl" else _ours)(Path(job["folder"]), windows, job)
    cuda, before = torch.cuda.is_available(), resident()
    with linear.fast() if job.get("kernels") else nullcontext():
        warmup.train()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.train()
        if cuda:
            torch.cuda.synchronize()
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    peak = torch.cuda.max_memory_allocated() if cuda else resident()
    grown = peak - (0 if cuda else before)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak, "grown_bytes": grown}


def _ours(folder: Path, windows: list, job: dict):
    from prm.progress import progress
    from prm.settings import Config
    from prm.trainer import make_trainer

    config = Config(
        batch=BATCH, accumulate=ACCUMULATE, siblings=job["siblings"], packed=True, lr=1e-5, save_every=10**9
    )
    prm, items = _prm(folder), _items(windows)
    return [make_trainer(prm, part, config, folder / "checkpoints", 0, progress) for part in (items[:BATCH], items)]


def _prm(folder: Path):
    from prm.model import PRM, Config

    return PRM.create(Config(backbone=str(folder / "model"), lora=None, max_tokens=2048))


def _items(windows: list) -> list:
    from prm.encode import Window
    from prm.train import Item

    made = []
    for ids, reads, values, problem in windows:
        window = Window(array("i", ids), tuple(reads), tuple(range(len(reads))))
        made.append(Item(window, array("f", values), array("f", [1] * len(values)), problem))
    return made


def _loss_error(folder: Path, windows: list, siblings: int) -> float:
    """The first optimizer step's loss as the trainer computes it, against one window after another in float64."""
    import copy

    import torch
    from accelerate.utils import send_to_device
    from torch.nn.functional import binary_cross_entropy_with_logits

    from prm import linear, sharing
    from prm.collate import pad

    _, trainer = _ours(folder, windows, {"siblings": siblings})
    network, plan, items = trainer.model.eval(), trainer.train_dataset.plan, trainer.train_dataset.items
    parts = [trainer.train_dataset[i] for i in range(ACCUMULATE)]
    batches, total = trainer.get_batch_samples(iter(parts), ACCUMULATE, network.device)
    with torch.no_grad():
        with linear.fast(), sharing.attending(network), trainer.compute_loss_context_manager():
            batches = [send_to_device(batch, network.device) for batch in batches]
            made = sum(float(trainer.compute_loss(network, batch, num_items_in_batch=total)) for batch in batches)
        exact, loss, weight = copy.deepcopy(network).double().cpu(), 0.0, 0.0
        for item in (items[i] for part in plan[:ACCUMULATE] for i in part):
            logits = exact.hidden(**pad([item.window], 0)) @ exact.head.weight[0]
            labels = torch.tensor(item.values, dtype=torch.float64)
            loss += float(binary_cross_entropy_with_logits(logits, labels, reduction="sum"))
            weight += len(item.values)
    return abs(made - loss / weight)


def _theirs(folder: Path, windows: list, job: dict):
    import datasets
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer
    from transformers.utils import logging
    from trl.experimental.prm import PRMConfig, PRMTrainer

    logging.set_verbosity_error()
    cuda = torch.cuda.is_available()
    model = AutoModelForTokenClassification.from_pretrained(folder / "model", num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    rows = []
    for ids, reads, values, _ in windows:
        labels = [-100] * len(ids)
        for read, value in zip(reads, values):
            labels[read] = int(value)
        rows.append({"input_ids": ids, "labels": labels})
    args = PRMConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=BATCH // ACCUMULATE,
        gradient_accumulation_steps=ACCUMULATE,
        num_train_epochs=1,
        gradient_checkpointing=False,
        bf16=cuda,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        train_sampling_strategy="group_by_length" if job.get("grouped") else "random",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=10**9,
    )
    data = [datasets.Dataset.from_list(part) for part in (rows[:BATCH], rows)]
    return [PRMTrainer(model, args, train_dataset=part, processing_class=tokenizer) for part in data]


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
