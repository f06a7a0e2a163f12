"""config.build: the annotations are the schema, and an error names the key and the remedy."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from prm import config
from prm.errors import PrmError


@dataclass(frozen=True)
class Lora:
    r: int = 16
    targets: str | tuple[str, ...] = "all-linear"


@dataclass(frozen=True)
class Train:
    lr: float
    epochs: int = 1
    packed: bool = False
    stop: tuple[str, ...] = ()
    trust: dict[str, float] | None = None
    lora: Lora | None = None

    def __post_init__(self):
        if self.epochs < 1:
            raise ValueError(f"epochs: {self.epochs} is not positive; 1 is usual")


def build(**mapping):
    return config.build(Train, mapping, "x.yaml: train")


def test_values_take_the_types_of_the_annotations():
    made = build(lr=1, stop=["a"], trust={"s": 1}, lora={"r": 8, "targets": ["q"]})
    assert made == Train(1.0, stop=("a",), trust={"s": 1.0}, lora=Lora(8, ("q",)))
    assert isinstance(made.lr, float) and isinstance(made.trust["s"], float)


def test_plain_and_back():
    made = build(lr=0.1, lora={"r": 8})
    assert build(**config.plain(made)) == made


@pytest.mark.parametrize(
    "mapping, message",
    [
        (
            {"lr": 1, "epoch": 2},
            "x.yaml: train.epoch: unknown key; known keys: lr, epochs, packed, stop, trust, lora, "
            "did you mean 'epochs'?",
        ),
        ({}, "x.yaml: train.lr: missing; give it a value (a finite number)"),
        ({"lr": "1e-3"}, "x.yaml: train.lr: must be a finite number, not '1e-3' (str)"),
        ({"lr": float("nan")}, "x.yaml: train.lr: must be a finite number, not nan (float)"),
        ({"lr": 1, "epochs": True}, "x.yaml: train.epochs: must be an int, not true"),
        ({"lr": 1, "epochs": 1.0}, "x.yaml: train.epochs: must be an int, not 1.0 (float)"),
        ({"lr": 1, "epochs": None}, "x.yaml: train.epochs: must be an int, not null"),
        ({"lr": 1, "epochs": 0}, "x.yaml: train.epochs: 0 is not positive; 1 is usual"),
        ({"lr": 1, "stop": [1]}, "x.yaml: train.stop[0]: must be a string, not 1 (int)"),
        ({"lr": 1, "lora": {"rank": 8}}, "x.yaml: train.lora.rank: unknown key; known keys: r, targets"),
        ({"lr": 1, "lora": [8]}, "x.yaml: train.lora: must be a mapping of keys to values, not [8] (list)"),
    ],
)
def test_errors_name_the_key_and_the_remedy(mapping, message):
    with pytest.raises(PrmError) as caught:
        config.build(Train, mapping, "x.yaml: train")
    assert str(caught.value) == message


def test_import_prm_is_light():
    heavy = "{'torch', 'transformers', 'vllm', 'pandas', 'datasets', 'trl'}"
    code = f"import prm.cli, prm.pipeline, prm.recipe, sys; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
