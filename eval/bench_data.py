"""What the benches of training and scoring run on: sampled solutions of GSM8K problems, and a tokenizer made from them."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

POOL = "strictprm_gsm8k_math500_n32/gsm8k_n32.jsonl.gz"
SAMPLES = 32  # of a problem
Pairs = list[tuple[str, list[str]]]


def pairs(problems: int) -> tuple[Pairs, str]:
    """(problem, steps) of so many problems times 32, spread over the pool in $PRM_DATA or ../shared/data, and where they are from;
    where there is no pool, random words of the same lengths, of which solutions share what real ones do."""
    file = Path(os.environ.get("PRM_DATA", "../shared/data")) / POOL
    if not file.is_file():
        return [pair for p in range(problems) for pair in _synthetic(p)], "random words"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = rows[:: len(rows) // problems][:problems]
    found = [(row["question"], _steps(sample["text"])) for row in rows for sample in row["samples"]]
    return [pair for pair in found if pair[1]], f"GSM8K, {SAMPLES} samples a problem"


def tokenizer(rows: Sequence[tuple[str, Sequence[str]]]) -> PreTrainedTokenizerFast:
    """Byte-level BPE learned on the solutions: lengths like a real model's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator((text for problem, steps in rows for text in (problem, *steps)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>", pad_token="<|end|>")


def _steps(text: str) -> list[str]:
    """Cut behind blank lines."""
    return re.findall(r"\S.*?(?:\n\s*\n|\Z)", text, re.DOTALL)


def _synthetic(seed: int) -> Iterator[tuple[str, list[str]]]:
    rng = random.Random(seed)
    word = lambda: "".join(rng.choice("abcdefgh") for _ in range(3))
    problem = " ".join(word() for _ in range(45))
    common = [word() for _ in range(60)]
    for _ in range(SAMPLES):
        words = common[: rng.randint(0, 60)] + [word() for _ in range(rng.randint(60, 240))]
        yield problem, [" ".join(words[i : i + 20]) + "\n\n" for i in range(0, len(words), 20)]
