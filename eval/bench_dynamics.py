"""What dynamics cost: reading a text with KL flow, entropy, surprise and motion against a plain forward with logits.

time_ratio: a forward without logits, flow and motion, over the model's own forward with logits; the best of interleaved repeats, so that whatever
    else the machine does touches both. projection_ratio, stricter: flow alone over hidden @ weight.T alone.
memory_ratio: peak memory beyond the model's forward without logits: flow and motion, over the naive computation (logits of all tokens, their
    log-softmax, KL). Each in a process of its own: resident memory on a CPU (Linux), allocated on a GPU.
max_error: the largest distance of KL, entropy and surprise (nats) from float64.

The model is a Llama of random weights, with a head drawn wide enough for peaked distributions (entropy of about half the uniform's).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

from eval.memory import resident

if TYPE_CHECKING:
    import torch

REPEATS = 7
WINDOW = 8


@dataclass(frozen=True)
class Shape:
    tokens: int = 1024
    vocabulary: int = 32_000
    width: int = 512
    layers: int = 8


class Subject:
    """A random model with one text to read, in bfloat16 on a GPU and float32 elsewhere."""

    def __init__(self, shape: Shape):
        import torch
        from prm.dynamics.head import head_of
        from transformers import LlamaConfig, LlamaForCausalLM

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = torch.bfloat16 if self.device == "cuda" else torch.float32
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.width * 8 // 3,
            num_hidden_layers=shape.layers,
            num_attention_heads=max(1, shape.width // 64),
            max_position_embeddings=shape.tokens,
        )
        self.model = LlamaForCausalLM(config).to(self.device, self.dtype).eval()
        torch.nn.init.normal_(self.model.lm_head.weight, std=3 * shape.width**-0.5)
        self.head = head_of(self.model)
        self.ids = torch.randint(shape.vocabulary, (1, shape.tokens), device=self.device)
        self.first = torch.arange(shape.tokens, device=self.device) == 0

    def plain(self) -> torch.Tensor:
        return self.model(input_ids=self.ids, use_cache=False).logits

    def hidden(self) -> torch.Tensor:
        from prm.dynamics.head import states

        return states(self.model, self.ids).last_hidden_state

    def flow(self, hidden: torch.Tensor):
        from prm.dynamics.flow import flow

        return flow(hidden[0], self.ids[0], self.first, self.head)

    def motion(self, hidden: torch.Tensor):
        from prm.dynamics.motion import motion

        return motion(hidden, WINDOW)

    def naive(self, hidden: torch.Tensor) -> torch.Tensor:
        logp = self.head.logits(hidden[0]).float().log_softmax(-1)
        return (logp[1:].exp() * (logp[1:] - logp[:-1])).sum(-1)


def measure(shape: Shape = Shape(), repeats: int = REPEATS) -> dict:
    """The bench's part "dynamics": see the file's head; with seconds, MiB and what was measured beside the ratios."""
    import torch

    memory = {name: extra_memory(name, shape) for name in ("ours", "naive")}
    with torch.inference_mode():
        subject = Subject(shape)
        best = seconds(subject, repeats)
        error = max_error(subject)
    return {
        "time_ratio": best["ours"] / best["plain"],
        "memory_ratio": memory["ours"] / memory["naive"],
        "max_error": error,
        "projection_ratio": best["flow"] / best["projection"],
        "seconds": best,
        "extra_mib": memory,
        **asdict(shape),
        "n": shape.tokens,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if subject.device == "cuda" else "cpu",
        "dtype": str(subject.dtype).removeprefix("torch."),
    }


def seconds(subject: Subject, repeats: int) -> dict[str, float]:
    """The best of `repeats` for each, after one uncounted."""
    import torch

    hidden = subject.hidden()
    calls: dict[str, Callable] = {
        "plain": subject.plain,
        "ours": lambda: _ours(subject, subject.hidden()),
        "projection": lambda: hidden[0] @ subject.head.weight.T,
        "flow": lambda: subject.flow(hidden),
        "motion": lambda: subject.motion(hidden),
    }
    best = dict.fromkeys(calls, float("inf"))
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if subject.device == "cuda":
                torch.cuda.synchronize()
            if repeat:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def _ours(subject: Subject, hidden: torch.Tensor) -> None:
    subject.flow(hidden)
    subject.motion(hidden)


def max_error(subject: Subject, block: int = 64) -> float:
    """Nats between `flow` and float64 of the same hidden states and weights, a block of rows at a time."""
    hidden, tokens = subject.hidden(), subject.ids[0]
    made, weight = subject.flow(hidden), subject.head.weight.double()
    worst = 0.0
    for start in range(1, len(tokens), block):
        stop = min(start + block, len(tokens))
        logp = (hidden[0, start - 1 : stop].double() @ weight.T).log_softmax(-1)
        before, now = logp[:-1], logp[1:]
        want = {
            "kl": (now.exp() * (now - before)).sum(-1),
            "entropy": -(now.exp() * now).sum(-1),
            "surprise": -before.gather(1, tokens[start:stop, None]).squeeze(1),
        }
        worst = max(worst, *(float((getattr(made, k)[start:stop] - v).abs().max()) for k, v in want.items()))
    return worst


def extra_memory(name: str, shape: Shape) -> float:
    """Peak MiB of "ours" or "naive" beyond what the forward without logits left, in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        return alone.submit(_extra_memory, name, shape).result()


def _extra_memory(name: str, shape: Shape) -> float:
    import torch

    with torch.inference_mode():
        subject = Subject(shape)
        hidden = subject.hidden()
        call = {"ours": lambda: _ours(subject, hidden), "naive": lambda: subject.naive(hidden)}[name]
        if subject.device == "cuda":
            call()  # the kernel is compiled, the libraries have their workspaces
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            return (torch.cuda.max_memory_allocated() - before) / 2**20
        before = resident("VmRSS", reset=True)
        call()
        return (resident() - before) / 2**20
