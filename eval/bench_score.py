"""What scoring costs: one solution at a time, padded batches of like length, and prm's scorer, side by side; a search step by step.

    python -m eval.bench score

Rows: 32 sampled solutions of each of a few GSM8K problems (bench_data.py). Model: a Llama of random weights, since speed does not
depend on what they say. Each repeat times all ways in turn; ratios are medians over the repeats. The plain ways are transformers'
own forward; on a CPU the scorer's linear layers are oneDNN's, and `..._same_kernels` gives them to the plain ways, too.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval import bench_data
from eval.bench_data import Pairs
from eval.bench_rows import rows_memory_growth

if TYPE_CHECKING:
    from prm.encode import Window
    from prm.model import PRM

GOALS = {"vs_one_at_a_time": "at least 3", "vs_sorted_padded": "at least 1.3", "step_growth": "near 1"}


@dataclass(frozen=True)
class Shape:
    """The model's, and how many problems (32 solutions each) it scores."""

    width: int = 256
    layers: int = 6
    heads: int = 4
    problems: int = 4
    max_tokens: int = 1024


SHAPES = {"cpu": Shape(), "cuda": Shape(896, 24, 14, problems=16, max_tokens=2048)}  # on a GPU that of Qwen2.5-0.5B


def measure(shape: Shape | None = None, repeats: int = 5) -> dict:
    """The part "score" of the bench. shape: by default the one for this machine."""
    import torch

    shape = shape or SHAPES["cuda" if torch.cuda.is_available() else "cpu"]
    pairs, source = bench_data.pairs(shape.problems)
    with tempfile.TemporaryDirectory() as folder:
        prm = random_prm(folder, shape, pairs)
    return {
        **batches(prm, pairs, repeats),
        **search(prm, pairs, repeats),
        "rows_memory_growth": rows_memory_growth(),
        "rows": source,
        "shape": f"{shape.layers} layers of width {shape.width}",
    }


def batches(prm: PRM, pairs: Pairs, repeats: int) -> dict:
    """How many times faster than each plain way, and how far its scores are apart from theirs."""
    import torch

    from prm.branches import Row, plan
    from prm.encode import encode_many

    encoded = encode_many(pairs, prm.tokenizer, prm.config)
    windows = [window for one in encoded for window in one.windows]
    ways = {
        "ours": lambda: [value for one in prm.score_encoded(encoded) for value in one],
        "one_at_a_time": lambda: one_at_a_time(prm, windows),
        "sorted_padded": lambda: sorted_padded(prm, windows),
        "sorted_padded_same_kernels": lambda: _same_kernels(sorted_padded, prm, windows),
    }
    values = {name: way() for name, way in ways.items()}
    seconds = timed(ways, repeats)
    tokens = sum(len(window.ids) for window in windows)
    return {
        **{f"vs_{name}": _ratio(seconds[name], seconds["ours"]) for name in ways if name != "ours"},
        "max_error": max(abs(a - b) for name in ways for a, b in zip(values["ours"], values[name])),
        "n": len(pairs),
        "tokens": tokens,
        "tokens_computed": len(plan([Row(window.ids) for window in windows]).ids) / tokens,
        "tokens_per_s": tokens / statistics.median(seconds["ours"]),
        "repeats": repeats,
        "threads": torch.get_num_threads(),
    }


def search(prm: PRM, pairs: Pairs, repeats: int, beams: int = 16, rounds: int = 12) -> dict:
    """Beams that grow by one step a round, all steps of one length: does a round cost more the more lies before it?

    step_growth: time of the last third of the rounds over the first third's; 1: each costs its new tokens, 6.6 for
    scoring all anew at these lengths. vs_rescoring: time of all rounds if each scored all solutions anew, over ours.
    """
    words = [word for _, steps in pairs for step in steps for word in step.split()]
    beam = [words[40 * rounds * b :][: 40 * rounds] for b in range(beams)]
    steps = [[" ".join(part[40 * r : 40 * r + 40]) + "\n" for r in range(rounds)] for part in beam]
    problem, kept, anew = pairs[0][0], [], []
    for _ in range(repeats):
        partials, mine, whole = [prm.scorer.open(problem)] * beams, [], []
        for r in range(rounds):
            start = time.perf_counter()
            partials = [partial for partial, _ in prm.scorer.extend([(p, [s[r]]) for p, s in zip(partials, steps)])]
            mine.append(time.perf_counter() - start)
            whole.append(_seconds(lambda: prm.score_batch([(problem, s[: r + 1]) for s in steps])))
        kept.append(mine)
        anew.append(whole)
    third = rounds // 3
    return {
        "step_growth": statistics.median(sum(mine[-third:]) / sum(mine[:third]) for mine in kept),
        "step_growth_rescoring": statistics.median(sum(whole[-third:]) / sum(whole[:third]) for whole in anew),
        "vs_rescoring": _ratio(map(sum, anew), map(sum, kept)),
    }


def _same_kernels(way: Callable, prm: PRM, windows: list[Window]) -> list[float]:
    from prm import linear

    with linear.fast():
        return way(prm, windows)


def one_at_a_time(prm: PRM, windows: list[Window]) -> list[float]:
    return rows(prm, windows, [[i] for i in range(len(windows))])


def sorted_padded(prm: PRM, windows: list[Window]) -> list[float]:
    """The best row by row: sorted by length, so that little is filled up, as many rows as the scorer's budget of tokens takes."""
    from prm.inference import budget, padded_batches

    return rows(prm, windows, padded_batches(windows, budget(prm)))


def rows(prm: PRM, windows: list[Window], batches: Iterable[list[int]]) -> list[float]:
    """transformers' own forward of padded rows."""
    import torch

    from prm.collate import pad

    found: list = [None] * len(windows)
    for batch in batches:
        tensors = pad([windows[i] for i in batch], 0)
        with torch.inference_mode():
            logits = prm.network(**{name: tensor.to(prm.network.device) for name, tensor in tensors.items()})
        values = iter(torch.sigmoid(logits).tolist())
        for i in batch:
            found[i] = [next(values) for _ in windows[i].reads]
    return [value for mine in found for value in mine]


def timed(ways: dict[str, Callable], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, repeat by repeat, in turn."""
    rounds = [{name: _seconds(way) for name, way in ways.items()} for _ in range(repeats)]
    return {name: [one[name] for one in rounds] for name in ways}


def _seconds(call: Callable) -> float:
    import torch

    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _ratio(slow, fast) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast))


def random_prm(folder: str, shape: Shape, pairs: Sequence[tuple[str, Sequence[str]]]) -> PRM:
    """A Llama of random weights behind a byte-level BPE tokenizer made from the (problem, steps)."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    from prm.model import PRM, Config

    words = bench_data.tokenizer(pairs)
    words.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaModel(
        LlamaConfig(
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads // 2,
            intermediate_size=shape.width * 8 // 3,
            vocab_size=len(words),
            max_position_embeddings=shape.max_tokens,
        )
    ).save_pretrained(folder)
    return PRM.create(Config(backbone=folder, lora=None, max_tokens=shape.max_tokens))
