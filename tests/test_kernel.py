"""The GPU's kernel without a GPU: Triton's interpreter against the CPU's path and float64."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

SCRIPT = """
import json, torch
from prm.dynamics import kernel
from prm.dynamics.flow import _in_tiles
from prm.dynamics.head import Head

def worst(made, want):
    return max(float((getattr(made, n)[s:].double() - want[n][s:]).abs().max()) for n, s in (("kl", 1), ("entropy", 0), ("surprise", 1)) if len(made.kl) > s)

def exact(hidden, tokens, head):
    bias = None if head.bias is None else head.bias.double()
    logits = Head(head.weight.double(), bias, head.scale, head.softcap).logits(hidden.to(head.weight.dtype).double())
    logp = logits.log_softmax(-1)
    kl, surprise = torch.zeros(2, len(hidden)).double()
    kl[1:] = (logp[1:].exp() * (logp[1:] - logp[:-1])).sum(-1)
    surprise[1:] = -logp[:-1].gather(1, tokens[1:, None]).squeeze(1)
    return {"kl": kl, "entropy": -(logp.exp() * logp).sum(-1), "surprise": surprise}

torch.manual_seed(0)
for n, v, d, dtype, options in CASES:
    weight = (torch.randn(v, d) * 3 / d**0.5).to(getattr(torch, dtype))
    bias = torch.randn(v).to(weight.dtype) if options.pop("bias", False) else None
    programs = options.pop("programs", 8)
    kernel._programs = lambda device: programs
    head = Head(weight, bias, **options)
    hidden, tokens = torch.randn(n, d), torch.randint(v, (n,))
    made, want = kernel.flow_cuda(hidden, tokens, head), exact(hidden, tokens, head)
    tiles = _in_tiles(hidden.to(weight.dtype), tokens, head)
    assert bool(made.kl[0].isnan() and made.surprise[0].isnan())
    near = {"kl": tiles.kl.double(), "entropy": tiles.entropy.double(), "surprise": tiles.surprise.double()}
    print(json.dumps([n, v, d, dtype, worst(made, want), worst(made, near)]))
"""
CASES = [
    (1, 5, 3, "float32", {}),
    (37, 300, 70, "float32", {}),
    (37, 300, 70, "float32", {"bias": True, "scale": 0.5}),
    (33, 257, 64, "float32", {"softcap": 4.0, "programs": 1}),
    (64, 128, 32, "float32", {"programs": 100}),
    (70, 300, 70, "float16", {"bias": True}),
    (70, 300, 70, "bfloat16", {"softcap": 30.0, "scale": 2.0}),
]


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed: it comes with PyTorch's CUDA builds")
def test_the_kernel_is_the_cpus_path_and_float64_at_odd_sizes():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("CASES", repr(CASES))],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(CASES)
    for *case, from_exact, from_tiles in rows:
        assert from_exact < 1e-4 and from_tiles < 1e-4, (case, from_exact, from_tiles)
