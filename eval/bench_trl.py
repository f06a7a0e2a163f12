"""Our trainer beside TRL 1.13's PRMTrainer (the last: TRL dropped it in 1.14): speed, memory, and our loss against float64.

    python -m eval.bench_trl [--trl FOLDER] [--problems 8] [--siblings 16] [--repeats 2] [--data $PRM_DATA]

One model of random weights, one set of real solutions (GSM8K, 32 a problem, cut at blank lines, 0/1 labels drawn by chance), the
same tokens with labels at the same places, one epoch in effective batches of 64 as 4 micro-batches of 16, the whole backbone
trained, sdpa, one precision (bfloat16 autocast on a GPU, float32 elsewhere), no gradient checkpointing. Each run is a process of its own,
ours and TRL's in turn; time is that of `train()` after a warm-up of one batch, and each side's best counts. TRL is looked for in
--trl, else installed into runs/bench/trl (without its dependencies, which ours serve).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

from prm.errors import PrmError

TRL = "trl==1.13.*"
FOLDER = Path("runs/bench/trl")
POOL = "strictprm_gsm8k_math500_n32/gsm8k_n32.jsonl.gz"
BATCH, ACCUMULATE = 64, 4
SHAPES = {  # of the model: small enough for a CPU's minute; on a GPU that of Qwen2.5-0.5B but for its vocabulary
    "cpu": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 704},
    "cuda": {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "intermediate_size": 4864},
}
GOALS = {
    "vs_trl_tokens_per_s": "at least 2",
    "vs_trl_peak_memory": "below 1",
    "vs_trl_tokens_per_s_no_siblings": "no siblings side by side: each step sees what TRL's sees",
    "loss_error": "below 1e-5",
}
CAN_FAIL = {"vs_trl_tokens_per_s": None, "vs_trl_peak_memory": None}


def measure(
    trl: Path | None = None, data: Path | None = None, problems: int = 8, siblings: int = 16, repeats: int = 2
) -> dict:
    """vs_trl_tokens_per_s: ours over theirs, real tokens; vs_trl_peak_memory: ours over theirs, of the whole process (of the GPU where
    there is one); both null, with a `reason`, where TRL or the data cannot be had."""
    try:
        pool = _pool(data)
        trl = trl or _install(FOLDER)
    except PrmError as error:
        return {**CAN_FAIL, "reason": str(error)}
    with tempfile.TemporaryDirectory() as folder:
        shape = prepare(pool, Path(folder), problems)
        kinds = {"ours": {}, "ours, no siblings": {"siblings": 1}, "trl": {"trl": str(trl)}}
        runs: dict[str, list[dict]] = {name: [] for name in kinds}
        for _ in range(repeats):
            for name, changes in kinds.items():
                runs[name].append(_alone({"folder": folder, "siblings": siblings, **changes}))
    best = {name: min(found, key=lambda run: run["seconds"]) for name, found in runs.items()}
    ours, theirs = best["ours"], best["trl"]
    return {
        "vs_trl_tokens_per_s": theirs["seconds"] / ours["seconds"],
        "vs_trl_peak_memory": ours["peak_bytes"] / theirs["peak_bytes"],
        "vs_trl_tokens_per_s_no_siblings": theirs["seconds"] / best["ours, no siblings"]["seconds"],
        "vs_trl_cpu_time": min(r["cpu_seconds"] for r in runs["trl"]) / min(r["cpu_seconds"] for r in runs["ours"]),
        "vs_trl_memory_of_training": ours["grown_bytes"] / max(theirs["grown_bytes"], 1),
        "loss_error": ours["loss_error"],
        **shape,
        "siblings": siblings,
        "batch": BATCH,
        "accumulate": ACCUMULATE,
        "repeats": repeats,
        "tokens_per_s": {name: shape["tokens"] / run["seconds"] for name, run in best.items()},
        "runs": runs,
    }


def told(found: dict) -> str:
    """What was measured, in lines."""
    lines = [f"train: {name:32s} {found[name]:.3g} (goal: {goal})" for name, goal in GOALS.items()]
    return "\n".join(lines)


def _pool(data: Path | None) -> Path:
    folders = [data] if data else [Path(os.environ.get("PRM_DATA", "../shared/data")), Path("/work/shared/data")]
    for folder in folders:
        if (folder / POOL).is_file():
            return folder / POOL
    raise PrmError(f"no {POOL} in {' or '.join(map(str, folders))}; name the data's folder in $PRM_DATA or --data")


def _install(folder: Path) -> Path:
    if not (folder / "trl").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), TRL]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise PrmError(
                f"cannot install {TRL}: {last}; give --trl FOLDER (pip install --no-deps --target FOLDER {TRL})"
            )
    return folder


def prepare(pool: Path, folder: Path, problems: int) -> dict:
    """Writes the model, its tokenizer and the windows into the folder; says what they are."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2Model

    from prm.encode import encode_many
    from prm.model import Config

    rows = list(_rows(pool, problems))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_tokenizer(rows), eos_token="<|end|>", pad_token="<|end|>")
    shape = SHAPES["cuda" if torch.cuda.is_available() else "cpu"]
    torch.manual_seed(0)
    heads = shape["num_attention_heads"]
    config = Qwen2Config(
        vocab_size=len(tokenizer), num_key_value_heads=heads // 2, max_position_embeddings=2048, **shape
    )
    model = Qwen2Model(config)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rng, windows = random.Random(0), []
    pairs = [(question, steps) for question, samples in rows for steps in samples]
    for (question, _), one in zip(pairs, encode_many(pairs, tokenizer, Config(max_tokens=2048))):
        for window in one.windows:
            labels = [float(rng.random() < 0.8) for _ in window.reads]
            windows.append((list(window.ids), window.reads, labels, question))
    (folder / "windows.json").write_text(json.dumps(windows))
    lengths = [len(ids) for ids, *_ in windows]
    return {
        "n": len(windows),
        "problems": problems,
        "tokens": sum(lengths),
        "longest": max(lengths),
        "model": {**shape, "vocabulary": len(tokenizer), "parameters": model.num_parameters()},
    }


def _rows(pool: Path, problems: int) -> Iterator[tuple[str, list[list[str]]]]:
    with gzip.open(pool, "rt", encoding="utf-8") as lines:
        for line, _ in zip(lines, range(problems)):
            row = json.loads(line)
            samples = (re.findall(r"\S.*?(?:\n\s*\n|\Z)", sample["text"], re.DOTALL) for sample in row["samples"])
            yield row["question"], [steps for steps in samples if steps]


def _tokenizer(rows):
    """Byte-level BPE learned on the solutions: lengths like a real model's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = (text for question, samples in rows for text in (question, *("".join(steps) for steps in samples)))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    return made


def _alone(job: dict) -> dict:
    """One run in a process of its own."""
    root = str(Path(__file__).resolve().parent.parent)
    quiet = {"PRM_QUIET": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    paths = [path for path in (job.get("trl"), root, os.environ.get("PYTHONPATH")) if path]
    done = subprocess.run(
        [sys.executable, "-m", "eval.bench_trl", "--job", json.dumps(job)],
        env={**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PrmError(f"bench: {'TRL' if 'trl' in job else 'our'} run failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def run(job: dict) -> dict:
    """Trains one epoch; seconds, peak memory, memory gained while training."""
    import torch

    folder = Path(job["folder"])
    windows = json.loads((folder / "windows.json").read_text())
    warmup, trainer, found = (_theirs if "trl" in job else _ours)(folder, windows, job["siblings"])
    cuda, before = torch.cuda.is_available(), _peak()
    warmup.train()
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    if cuda:
        torch.cuda.synchronize()
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    peak = torch.cuda.max_memory_allocated() if cuda else _peak()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak,
        "grown_bytes": peak - (0 if cuda else before),
        **found,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _ours(folder: Path, windows: list, siblings: int):
    from prm.encode import Window
    from prm.model import Config as PrmConfig
    from prm.model import PRM
    from prm.progress import progress
    from prm.train import Config, Item
    from prm.trainer import make_trainer

    prm = PRM.create(PrmConfig(backbone=str(folder / "model"), lora=None, max_tokens=2048))
    items = [
        Item(
            Window(array("i", ids), tuple(reads), tuple(range(len(reads)))),
            array("f", y),
            array("f", [1] * len(y)),
            name,
        )
        for ids, reads, y, name in windows
    ]
    config = Config(
        batch=BATCH, accumulate=ACCUMULATE, siblings=siblings, share_prompts=True, lr=1e-5, save_every=10**9
    )
    warmup, trainer = (
        make_trainer(prm, part, config, folder / "checkpoints", 0, progress) for part in (items[:BATCH], items)
    )
    return warmup, trainer, {"loss_error": _loss_error(prm, trainer, items)}


def _loss_error(prm, trainer, items) -> float:
    """How far the first optimizer step's loss is from the definition in float64, one window after another."""
    import copy

    import torch
    from accelerate.utils import send_to_device
    from torch.nn.functional import binary_cross_entropy_with_logits

    from prm import linear, sharing
    from prm.collate import pad

    parts = [trainer.train_dataset[i] for i in range(ACCUMULATE)]
    batches, total = trainer.get_batch_samples(iter(parts), ACCUMULATE, prm.network.device)
    with torch.no_grad(), linear.fast():
        to = prm.network.device
        with sharing.attending(prm.network):
            losses = [
                trainer.compute_loss(prm.network, send_to_device(b, to), num_items_in_batch=total) for b in batches
            ]
            made = float(sum(losses))
        exact, loss, weight = copy.deepcopy(prm.network).double().cpu(), 0.0, 0.0
        for item in (items[i] for part in trainer.train_dataset.plan[:ACCUMULATE] for i in part):
            batch = pad([item.window], 0)
            hidden = exact.hidden(**batch)
            logits, labels = hidden @ exact.head.weight[0], torch.tensor(item.values, dtype=torch.float64)
            loss += float(binary_cross_entropy_with_logits(logits, labels, reduction="sum"))
            weight += len(item.values)
    return abs(made - loss / weight)


def _theirs(folder: Path, windows: list, _siblings: int):
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
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=10**9,
    )
    warmup, trainer = (
        PRMTrainer(model, args, train_dataset=datasets.Dataset.from_list(part), processing_class=tokenizer)
        for part in (rows[:BATCH], rows)
    )
    return warmup, trainer, {}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.bench_trl", description=__doc__.splitlines()[0])
    parser.add_argument("--trl", type=Path, help=f"a folder with {TRL}; made in {FOLDER} by default")
    parser.add_argument("--data", type=Path, help="default: $PRM_DATA, ../shared/data")
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--siblings", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    settings = vars(parser.parse_args(arguments))
    job = settings.pop("job")
    print(json.dumps(run(job) if job else measure(**settings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
