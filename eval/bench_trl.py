"""Our trainer beside TRL 1.13's PRMTrainer (the last: TRL dropped it in 1.14): speed, memory, and our loss against float64.

    python -m eval.bench_trl [--trl FOLDER] [--problems 8] [--siblings 16] [--repeats 2]

One model of random weights, one set of solutions (bench_data.py: GSM8K's, 32 a problem, cut at blank lines; 0/1 labels drawn by
chance), the same tokens with labels at the same places, one epoch in effective batches of 64 as 4 micro-batches of 16, the whole
backbone trained, sdpa, one precision (bfloat16 autocast on a GPU, float32 elsewhere), no gradient checkpointing. Each run is a
process of its own, all kinds in turn; time is that of `train()` after a warm-up of one batch, and each kind's best counts. TRL is
looked for in --trl, else installed into runs/bench/trl (without its dependencies, which ours serve).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from eval import bench_data
from prm.errors import PrmError

TRL = "trl==1.13.*"
FOLDER = Path("runs/bench/trl")
SHAPES = {  # of the model: small enough for a CPU's minute; on a GPU that of Qwen2.5-0.5B but for its vocabulary
    "cpu": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 704},
    "cuda": {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "intermediate_size": 4864},
}
KINDS = {  # of runs; the settings are bench_trl_job's
    "ours": {},
    "alone": {"siblings": 1},
    "trl": {"side": "trl"},
    "trl_grouped": {"side": "trl", "grouped": True},
    "trl_same_kernels": {"side": "trl", "kernels": True},
}
GOALS = {
    "vs_trl_tokens_per_s": "at least 2",
    "vs_trl_peak_memory": "below 1",
    "alone_vs_trl_tokens_per_s": "no siblings side by side: every optimizer step sees what TRL's sees",
    "vs_trl_grouped_tokens_per_s": "TRL with batches of like lengths, which it can be told to make",
    "vs_trl_same_kernels_tokens_per_s": "TRL with our linear layers",
    "loss_error": "below 1e-5",
}


def measure(trl: Path | None = None, problems: int = 8, siblings: int = 16, repeats: int = 2) -> dict:
    """vs_trl_tokens_per_s: ours over theirs, real tokens; vs_trl_peak_memory: ours over theirs, of the whole process (of the GPU where
    there is one); both null, with a `reason`, where TRL cannot be had."""
    try:
        trl = trl or _install(FOLDER)
    except PrmError as error:
        return {"vs_trl_tokens_per_s": None, "vs_trl_peak_memory": None, "reason": str(error)}
    with tempfile.TemporaryDirectory() as folder:
        shape = prepare(Path(folder), problems)
        job = {"folder": folder, "siblings": siblings}
        error = _alone({**job, "side": "loss"}, trl)["loss_error"]
        runs: dict[str, list[dict]] = {name: [] for name in KINDS}
        for _ in range(repeats):
            for name, changes in KINDS.items():
                runs[name].append(_alone({**job, "side": "ours", **changes}, trl))
    best = {name: {key: min(run[key] for run in found) for key in found[0]} for name, found in runs.items()}
    over = lambda a, b, key: best[a][key] / max(best[b][key], 1e-9)
    return {
        "vs_trl_tokens_per_s": over("trl", "ours", "seconds"),
        "vs_trl_peak_memory": over("ours", "trl", "peak_bytes"),
        "vs_trl_memory_of_training": over("ours", "trl", "grown_bytes"),
        "vs_trl_cpu_time": over("trl", "ours", "cpu_seconds"),
        "alone_vs_trl_tokens_per_s": over("trl", "alone", "seconds"),
        "alone_vs_trl_peak_memory": over("alone", "trl", "peak_bytes"),
        "vs_trl_grouped_tokens_per_s": over("trl_grouped", "ours", "seconds"),
        "vs_trl_same_kernels_tokens_per_s": over("trl_same_kernels", "ours", "seconds"),
        "loss_error": error,
        **shape,
        "siblings": siblings,
        "repeats": repeats,
        "runs": runs,
    }


def told(found: dict) -> str:
    """What was measured, in lines."""
    return "\n".join(f"train: {name:30s} {found[name]:.3g} (goal: {goal})" for name, goal in GOALS.items())


def _install(folder: Path) -> Path:
    if not folder.is_dir():
        fresh = folder.with_name(folder.name + ".part")  # whole or not at all
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(fresh), TRL]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            raise PrmError(
                f"cannot install {TRL}: {_last(done.stderr)}; give --trl FOLDER (pip install --no-deps --target FOLDER {TRL})"
            )
        fresh.rename(folder)
    return folder


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def prepare(folder: Path, problems: int) -> dict:
    """Writes the model, its tokenizer and the windows into the folder; says what they are."""
    import torch
    from transformers import Qwen2Config, Qwen2Model

    from prm.encode import encode_many
    from prm.model import Config

    pairs, source = bench_data.pairs(problems)
    tokenizer = bench_data.tokenizer(pairs)
    shape = SHAPES["cuda" if torch.cuda.is_available() else "cpu"]
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        num_key_value_heads=shape["num_attention_heads"] // 2,
        max_position_embeddings=2048,
        **shape,
    )
    model = Qwen2Model(config)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rng, windows = random.Random(0), []
    for (problem, _), one in zip(pairs, encode_many(pairs, tokenizer, Config(max_tokens=2048))):
        for window in one.windows:
            labels = [float(rng.random() < 0.8) for _ in window.reads]
            windows.append((list(window.ids), window.reads, labels, problem))
    (folder / "windows.json").write_text(json.dumps(windows))
    lengths = [len(ids) for ids, *_ in windows]
    return {
        "rows": source,
        "n": len(windows),
        "problems": problems,
        "tokens": sum(lengths),
        "longest": max(lengths),
        "model": {**shape, "vocabulary": len(tokenizer), "parameters": model.num_parameters()},
    }


def _alone(job: dict, trl: Path) -> dict:
    """One run in a process of its own, where TRL is ours or that of the folder."""
    root = str(Path(__file__).resolve().parent.parent)
    quiet = {"PRM_QUIET": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    paths = [str(trl)] if job["side"] == "trl" else []
    paths += [path for path in (root, os.environ.get("PYTHONPATH")) if path]
    done = subprocess.run(
        [sys.executable, "-m", "eval.bench_trl_job", json.dumps(job)],
        env={**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PrmError(f"bench: the run of {job['side']} failed: {_last(done.stderr)}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.bench_trl", description=__doc__.splitlines()[0])
    parser.add_argument("--trl", type=Path, help=f"a folder with {TRL}; made in {FOLDER} by default")
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--siblings", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    print(json.dumps(measure(**vars(parser.parse_args(arguments)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
