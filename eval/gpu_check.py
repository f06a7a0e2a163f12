"""Runs the GPU path and checks it: bfloat16 against float32, packed against padded, one training, dynamics' kernel, and speed.

    python -m eval.gpu_check [--backbone world]

Exits 0 when every check holds, 1 when one fails, and 3 without a GPU, having checked nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from eval import bench, bench_dynamics, bench_score, bench_train, bench_trl
from prm.errors import PrmError


def scores_agree(backbone: str) -> str:
    """bfloat16 on the GPU, float32 on the GPU and float32 on the CPU give one PRM's scores."""
    made = {
        name: _random_prm(backbone, dtype, device)
        for name, dtype, device in (("cpu", "float32", "cpu"), ("gpu", "float32", "cuda"), ("bf16", "bfloat16", "cuda"))
    }
    windows = _encoded(made["cpu"], 64)
    scores = {name: [s for one in prm.score_encoded(windows) for s in one] for name, prm in made.items()}
    gaps = {name: max(abs(a - b) for a, b in zip(scores["cpu"], scores[name])) for name in ("gpu", "bf16")}
    assert gaps["gpu"] < 1e-3, f"float32 scores differ from the CPU's by {gaps['gpu']:.1e}"
    assert gaps["bf16"] < 0.1, f"bfloat16 scores differ by {gaps['bf16']:.1e}"
    return f"largest gap {gaps['gpu']:.1e} in float32, {gaps['bf16']:.1e} in bfloat16"


def packed_is_padded(backbone: str) -> str:
    """Packed rows give the logits of padded ones, those by each attention that this machine has."""
    import torch
    from accelerate.utils import send_to_device
    from prm import sharing
    from prm.collate import pack, pad

    told = []
    for attention in ("sdpa", "eager", "flash_attention_2"):
        try:
            prm = _random_prm(backbone, "bfloat16" if "flash" in attention else "float32", "cuda", attention)
        except PrmError as error:  # flash attention is a package of its own; its absence is told, not hidden
            if "flash" not in attention:
                raise
            told.append(f"no {attention} ({error})")
            continue
        windows = [encoded.windows[0] for encoded in _encoded(prm, 32)]
        with torch.inference_mode():
            logits = [prm.network(**send_to_device(pad(windows, 0), "cuda"))]
            with sharing.attending(prm.network):
                logits.append(prm.network(**send_to_device(pack(windows), "cuda")))
        gap = float((logits[0] - logits[1]).abs().max() / logits[0].abs().max())
        assert gap < (5e-2 if "flash" in attention else 1e-3), f"{attention}: packed logits differ by {gap:.1e}"
        told.append(f"{attention} {gap:.1e}")
    return ", ".join(told)


def kept_states_agree(backbone: str) -> str:
    """Solutions scored step by step, several from one beginning, have the scores of the whole."""
    told, problem = [], "Mia has 7 coins. She adds 5. How many?"
    solutions = [[f"So {(i + k) % 5} + {k % 3} = {(3 * i + k) % 10}\n" for k in range(6)] for i in range(8)]
    for dtype, most in (("float32", 1e-3), ("bfloat16", 5e-2)):
        prm = _random_prm(backbone, dtype, "cuda")
        partials, scores = [prm.scorer.open(problem)] * 8, [[] for _ in range(8)]
        for k in range(6):
            grown = prm.scorer.extend([(partial, [steps[k]]) for partial, steps in zip(partials, solutions)])
            partials = [partial for partial, _ in grown]
            scores = [known + new for known, (_, new) in zip(scores, grown)]
        assert len({tuple(partial.ids) for partial in partials}) == 8, "to this tokenizer the solutions are alike"
        whole = prm.score_batch([(problem, steps) for steps in solutions])
        gap = max(abs(a - b) for x, y in zip(scores, whole) for a, b in zip(x, y))
        assert prm.scorer.shares and gap < most, f"{dtype}: step by step the scores differ by {gap:.1e}"
        told.append(f"{dtype} {gap:.1e}")
    return "largest gap " + ", ".join(told)


def training_learns(backbone: str) -> str:
    """In bfloat16 autocast the loss of a learnable rule falls, whole and split batches alike."""
    from prm.model import Config, PRM
    from prm.progress import progress
    from prm.train import Config as TrainConfig
    from prm.trainer import make_trainer
    import torch

    ends = []
    for accumulate in (1, 4):
        torch.manual_seed(0)
        prm = PRM.create(Config(backbone=backbone, max_tokens=256), "cuda")
        items = [_rule(item) for item in bench_train.synthetic(2048, 80, len(prm.tokenizer))]
        with tempfile.TemporaryDirectory() as folder:
            settings = TrainConfig(batch=64, lr=3e-3, accumulate=accumulate, epochs=4)
            trainer = make_trainer(prm, items, settings, Path(folder), 0, progress)
            assert trainer.args.bf16, "bfloat16 was not taken"
            trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert losses[-1] < 0.8 * losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}"
        ends.append(losses[-1])
    assert abs(ends[0] - ends[1]) < 0.05, f"whole batches end at {ends[0]:.3f}, split ones at {ends[1]:.3f}"
    return f"loss ends at {ends[0]:.3f}, split in 4 at {ends[1]:.3f}"


def kernel_agrees(backbone: str) -> str:
    """The Triton kernel gives the flow of the CPU's tiles: odd sizes, all types, with bias, scale and softcap."""
    import torch
    from prm.dynamics.flow import flow
    from prm.dynamics.head import Head

    told = []
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        worst = 0.0
        for rows, vocabulary, width, biased, scale, softcap in (
            (1, 7, 5, False, 1.0, None),
            (77, 1003, 70, True, 0.5, None),
            (1024, 32000, 512, False, 1.0, None),
            (300, 5000, 129, True, 2.0, 30.0),
        ):
            torch.manual_seed(0)
            head = Head((torch.randn(vocabulary, width) * 3 * width**-0.5).to(dtype), None, scale, softcap)
            if biased:
                head = dataclasses.replace(head, bias=torch.randn(vocabulary).to(dtype))
            on_gpu = dataclasses.replace(head, weight=head.weight.cuda(), bias=head.bias.cuda() if biased else None)
            hidden, tokens = torch.randn(rows, width).to(dtype), torch.randint(vocabulary, (rows,))
            first = torch.arange(rows) % 100 == 0
            want, made = flow(hidden, tokens, first, head), flow(hidden.cuda(), tokens.cuda(), first.cuda(), on_gpu)
            for name in ("kl", "entropy", "surprise"):
                apart = (getattr(made, name).cpu() - getattr(want, name)).abs()
                worst = max([worst, *apart[~getattr(want, name).isnan()].tolist()])
        assert worst < 1e-4, f"{dtype}: KL, entropy or surprise differ by {worst:.1e}"
        told.append(f"{str(dtype).removeprefix('torch.')} {worst:.1e}")
    return "largest gap " + ", ".join(told)


def dynamics_are_cheap(backbone: str) -> str:
    """The bench's goals, on the GPU in bfloat16, at a vocabulary of 32k, 1,024 tokens, width 512."""
    found = bench_dynamics.measure()
    for name, goal in bench.DYNAMICS_GOALS.items():
        assert found[name] <= goal, f"{name} is {found[name]:.3g}, the goal {goal:g}: {found}"
    return ", ".join(f"{name} {found[name]:.3g}" for name in (*bench.DYNAMICS_GOALS, "projection_ratio"))


def scoring_is_fast(backbone: str) -> str:
    """The bench's goals."""
    found = bench_score.measure()
    assert found["vs_one_at_a_time"] >= 3 and found["vs_sorted_padded"] >= 1.3, f"{found}"
    return ", ".join(f"{name} {found[name]:.3g}" for name in ("vs_one_at_a_time", "vs_sorted_padded", "step_growth"))


def training_is_fast(backbone: str) -> str:
    """The bench's goals, beside TRL 1.13."""
    found = bench_trl.measure()
    assert "reason" not in found, found
    assert found["vs_trl_tokens_per_s"] >= 2 and found["vs_trl_peak_memory"] < 1, bench_trl.told(found)
    return ", ".join(f"{name} {found[name]:.3g}" for name in ("vs_trl_tokens_per_s", "vs_trl_peak_memory"))


def speed(backbone: str) -> str:
    bench_train.main(["--backbone", backbone, "--solutions", "8192", "--batch", "256"])
    return "see the table"


CHECKS: tuple[Callable[[str], str], ...] = (
    scores_agree,
    packed_is_padded,
    kept_states_agree,
    training_learns,
    kernel_agrees,
    dynamics_are_cheap,
    scoring_is_fast,
    training_is_fast,
    speed,
)


def _rule(item):
    """Labels that can be learned: whether the token read is odd."""
    labels = type(item.values)("f", (0.9 if item.window.ids[read] % 2 else 0.1 for read in item.window.reads))
    return dataclasses.replace(item, values=labels)


def _random_prm(backbone: str, dtype: str, device: str, attention: str = "sdpa"):
    """The same random PRM each time: its trained weights are drawn on the CPU."""
    import torch
    from prm.model import PRM, Config

    prm = PRM.create(Config(backbone=backbone, max_tokens=256, dtype=dtype, attention=attention), device)
    generator = torch.Generator().manual_seed(0)
    for parameter in prm.network.parameters():
        if parameter.requires_grad:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return prm


def _encoded(prm, n: int) -> list:
    from prm.encode import Encoded

    return [Encoded((item.window,)) for item in bench_train.synthetic(n, 80, len(prm.tokenizer))]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="world", help="world, a folder or a hub id")
    backbone = parser.parse_args(arguments).backbone
    import torch

    if not torch.cuda.is_available():
        print("no CUDA: nothing was checked")
        return 3
    failed = 0
    for check in CHECKS:
        try:
            print(f"ok    {check.__name__}: {check(backbone)}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAIL  {check.__name__}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
