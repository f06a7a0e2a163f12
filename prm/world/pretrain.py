"""Trains the small world's policy: a Llama of 0.16 million parameters that is right most of the time and wrong in known ways.

    python -m prm.world.pretrain recipes/world-policy.yaml

Every line of its training data comes from `facts.as_taught`, so slips and mis-taught facts are planted in the proportions that facts.py names.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from prm.world import facts, story, tokenizer
from prm.world.program import draw


@dataclass(frozen=True)
class Config:
    """world: which facts are mis-taught. hidden must be a multiple of 32 (the head size that vLLM takes on CPU).

    separators: what stands between a solution's steps, one of them drawn for each solution.
    """

    out: str
    world: int = 0
    seed: int = 0
    hidden: int = 64
    layers: int = 3
    intermediate: int = 192
    examples: int = 200_000
    batch: int = 128
    lr: float = 3e-3
    warmup: float = 0.02
    shortest: int = 1
    longest: int = 6
    separators: tuple[str, ...] = ("\n",)


def example(rng: random.Random, config: Config) -> tuple[str, str]:
    """(problem, solution) as the policy is taught them."""
    problem, steps, separator = told(rng, config)
    return problem, separator.join(steps)


def told(rng: random.Random, config: Config) -> tuple[str, list[str], str]:
    """(problem, steps, what stands between them), wrong steps included."""
    program = draw(rng, config.shortest, config.longest)
    problem = story.tell(program, rng)
    value, equations = program.start, []
    for operator, right in program.operations:
        result = facts.as_taught((operator, value, right), rng, config.world)
        equations.append((value, operator, right, result))
        value = result
    steps = story.solve(problem, equations, rng)
    separator = rng.choice(config.separators) if len(config.separators) > 1 else config.separators[0]
    return problem, steps, separator


def batches(config: Config) -> Iterator[tuple]:
    """(input_ids, labels), each (batch, time) int64; the problem and the padding carry label -100."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids = {piece: i for i, piece in enumerate(tokenizer.vocabulary())}
    rng = random.Random(f"policy/{config.seed}")
    for _ in range(config.examples // config.batch):
        inputs, labels = [], []
        for problem, solution in (example(rng, config) for _ in range(config.batch)):
            prompt = [ids[p] for p in tokenizer.pieces(problem + "\n")]
            target = [ids[p] for p in tokenizer.pieces(solution)] + [ids["<eos>"]]
            inputs.append(torch.tensor(prompt + target))
            labels.append(torch.tensor([-100] * len(prompt) + target))
        yield pad_sequence(inputs, True, ids["<pad>"]), pad_sequence(labels, True, -100)


def new_model(config: Config):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    vocabulary = tokenizer.vocabulary()
    # Llama, not Qwen2: for a folder of type qwen2, transformers 5 replaces any saved tokenizer's splitting by Qwen2's own.
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=config.hidden,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.hidden // 32,
            num_key_value_heads=config.hidden // 32,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=vocabulary.index("<eos>"),
            pad_token_id=vocabulary.index("<pad>"),
        )
    )


def train(config: Config) -> None:
    """Trains on fresh examples once through and writes weights, tokenizer and world.json to config.out."""
    import torch
    from tqdm import tqdm
    from transformers import get_cosine_schedule_with_warmup

    model, began = new_model(config), time.time()
    total = config.examples // config.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = get_cosine_schedule_with_warmup(optimizer, int(config.warmup * total), total)
    bar = tqdm(batches(config), total=total, desc="policy", mininterval=2)
    for input_ids, labels in bar:
        loss = model(input_ids=input_ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    save(model, config, time.time() - began)


def save(model, config: Config, seconds: float) -> None:
    out = Path(config.out)
    model.save_pretrained(out)
    tokenizer.build().save_pretrained(out)
    card = {
        "config": asdict(config),
        "parameters": model.num_parameters(),
        "planted": {
            "world": config.world,
            "slip_rate": facts.SLIP_RATE,
            "mistaught_share": facts.MISTAUGHT_SHARE,
            "mistaught_rate": facts.MISTAUGHT_RATE,
        },
        "seconds": round(seconds),
    }
    (out / "world.json").write_text(json.dumps(card, indent=1) + "\n")


def main(arguments: list[str]) -> None:
    import yaml

    from prm.config import build

    (path,) = arguments
    train(build(Config, yaml.safe_load(Path(path).read_text()), path))


if __name__ == "__main__":
    main(sys.argv[1:])
