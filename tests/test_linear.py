"""Linear layers by oneDNN: torch's numbers forth and back, and no more kept than torch keeps."""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import linear as plain

from prm import linear


def kept(layers, x) -> int:
    """Bytes that the graph of x through frozen layers keeps."""
    found = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: found.setdefault(t.data_ptr(), t.nbytes) and t, lambda t: t
    ):
        y = layers(x)
    return sum(found.values()) + 0 * int(y.sum() > 0)


@pytest.mark.parametrize("shape", [(100, 8), (4, 30, 8), (2, 3, 40, 8)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "view", [lambda x: x, lambda x: x.transpose(0, 1), lambda x: x[1:], lambda x: x[:1].expand_as(x)]
)
def test_products_and_gradients_are_those_of_torch(shape, bias, view):
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(16, 8)
    found = []
    for context in (torch.enable_grad, linear.fast):
        leaves = [t.clone().requires_grad_() for t in (x, weight, torch.zeros(16) + 0.5)]
        with context():
            inputs = view(leaves[0]) if len(shape) > 2 else leaves[0]
            y = plain(inputs, leaves[1], leaves[2] if bias else None)
        y.pow(2).sum().backward()
        found.append([y, *(leaf.grad for leaf in leaves[: 2 + bias])])
    for ours, torchs in zip(*found):
        torch.testing.assert_close(ours, torchs, rtol=1e-4, atol=1e-4)


def test_it_is_another_kernel_and_small_products_stay_torchs(monkeypatch):
    seen = []
    real = linear._product
    monkeypatch.setattr(linear, "_product", lambda *given: seen.append(given[0].shape) or real(*given))
    with linear.fast(), torch.no_grad():
        plain(torch.randn(100, 8), torch.randn(4, 8))
        plain(torch.randn(10, 8), torch.randn(4, 8))
        plain(torch.randn(100, 0), torch.randn(4, 0))
    assert seen == [(100, 8)]


def test_frozen_layers_keep_no_activations():
    layers = torch.nn.Sequential(*(torch.nn.Linear(32, 32).requires_grad_(False) for _ in range(4)))
    x = torch.randn(200, 32, requires_grad=True)
    usual = kept(layers, x)
    with linear.fast():
        assert kept(layers, x) == usual


def test_a_second_derivative_is_refused_not_wrong():
    x, weight = torch.randn(100, 8, requires_grad=True), torch.randn(4, 8)
    with linear.fast():
        (first,) = torch.autograd.grad(plain(x, weight).pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiable"):
        first.sum().backward()


MANY_SIZES = """
import torch
from prm import linear

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

weight = torch.zeros(256, 256)
linear._product(torch.zeros(2000, 256), weight)
before = peak()
for size in range(1000, 2000, 2):
    linear._product(torch.zeros(size, 256), weight)
print(peak() - before)
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_batches_of_many_sizes_do_not_fill_the_memory():
    ours, torchs = (_grown({}), _grown(dict.fromkeys(linear.CAPACITIES, "1024")))
    assert ours < 0.5 * torchs, f"{ours} of {torchs} kB"


def _grown(capacities: dict[str, str]) -> int:
    env = {name: value for name, value in os.environ.items() if name not in linear.CAPACITIES}
    command = [sys.executable, "-c", MANY_SIZES]
    return int(subprocess.run(command, env=env | capacities, capture_output=True, text=True, check=True).stdout)
