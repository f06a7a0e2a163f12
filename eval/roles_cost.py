"""What the live mode costs: time of transformers' `generate` with a detector watching, over the same without."""

from __future__ import annotations

import time
from contextlib import nullcontext
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from prm.roles.model import Roles

TOKENS = 32  # generated in one run
BATCH, PROMPT, ROLES = 8, 32, 6


def overhead(model, roles: Roles, repeats: int) -> float:
    """Time with over time without, minus 1: each pair run one right after the other, in alternating order, the median of the pairs' ratios. Processor time on a
    CPU, where other programs may run beside it; greedy, BATCH rows of PROMPT random tokens, TOKENS more each."""
    import torch

    from prm.roles.live import watch

    torch.manual_seed(0)
    ids = torch.randint(3, model.config.vocab_size, (BATCH, PROMPT), device=model.device)
    options = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "do_sample": False,
        "min_new_tokens": TOKENS,
        "max_new_tokens": TOKENS,
    }
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter

    def timed(watched: bool) -> float:
        with watch(model, roles) if watched else nullcontext() as live:  # entered once for any number of generations
            began = clock()
            model.generate(**options)
            if watched:
                live.modes()
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            return clock() - began

    timed(True), timed(False)  # what is made on first use
    ratios = []
    for i in range(repeats):
        took = {watched: timed(watched) for watched in ((True, False) if i % 2 else (False, True))}
        ratios.append(took[True] / took[False])
    return median(ratios) - 1


def bench_model() -> tuple[PreTrainedModel, Roles]:
    """A Llama of random weights, width 512, 8 layers, vocabulary 32,000: 60 million parameters; and roles for it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    heads = {"num_attention_heads": 8, "num_key_value_heads": 8}
    shape = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "vocab_size": 32000}
    return LlamaForCausalLM(LlamaConfig(**shape, **heads)).eval(), _roles(shape["hidden_size"])


def _roles(width: int) -> Roles:
    """Some roles: what they are does not change how long it takes."""
    import numpy as np

    from prm.dynamics import reader as readers
    from prm.roles.cluster import Clusters
    from prm.roles.detector import Head
    from prm.roles.model import Role, Roles

    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(ROLES, width)), np.zeros(ROLES), rng.normal(size=(2, width)), np.zeros(1))
    clusters = Clusters(
        np.zeros(width), np.ones(width), np.eye(width), rng.normal(size=(ROLES, width)), np.ones(ROLES), 1.0
    )
    named = tuple(Role(str(k), 1, ()) for k in range(ROLES))
    return Roles(readers.Config(), {"name": "delimiter"}, "", named, clusters, head, 0.5, {})
