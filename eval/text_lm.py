"""Trains a small causal language model of real mathematical prose, for entropy and surprise where no pretrained one can be had.

    python -m eval.text_lm --data ../shared/data -o runs/text_lm --minutes 40

Its texts are those of `eval.prose`. The same command goes on from the latest checkpoint; each checkpoint is a whole model folder of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from eval import command
from eval.prose import ASKED, LICENCES, documents, new_tokenizer
from prm.errors import PrmError
from prm.store import digest, lock


@dataclass(frozen=True)
class Config:
    """minutes: of training; the learning rate falls to a tenth by a half cosine over them. length: tokens of a row, which is also how many
    positions the model has. hidden must be a multiple of 32, the head size. save: minutes from checkpoint to checkpoint. bfloat16: of the
    matrix products in training alone, 1.7 times as fast on a core with AVX-512 BF16; weights and the held-out loss are float32.
    """

    minutes: float = 40.0
    seed: int = 0
    vocabulary: int = 4096
    hidden: int = 256
    layers: int = 4
    intermediate: int = 640
    length: int = 512
    rows: int = 4
    lr: float = 2e-3
    warmup: float = 0.03
    held_out: float = 0.02
    save: float = 4.0
    bfloat16: bool = True


def new_model(config: Config, tokenizer):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    # Llama, not Qwen2: for a folder of type qwen2, transformers 5 replaces any saved tokenizer's splitting by Qwen2's own.
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.hidden // 32,
            num_key_value_heads=config.hidden // 32,
            max_position_embeddings=config.length,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def packed(texts: Sequence[list[int]], length: int, seed: str):
    """(rows, length) int64: the texts' ids in an order drawn from `seed`, one behind another, cut into rows; the rest is dropped."""
    import torch

    order = random.Random(seed).sample(range(len(texts)), len(texts))
    flat = torch.tensor([i for k in order for i in texts[k]])
    if len(flat) < length:
        raise PrmError(f"the texts have {len(flat)} tokens together, not one row of {length}; give more data")
    return flat[: len(flat) // length * length].view(-1, length)


def batches(texts: Sequence[list[int]], config: Config, step: int) -> Iterator:
    """The batches from number `step` on, (rows, length), without an end. Each pass packs the texts anew."""
    passes = 0
    while True:
        rows = packed(texts, config.length, f"{config.seed}/{passes}")
        count = max(1, len(rows) // config.rows)
        for k in range(min(step, count), count):
            yield rows[k * config.rows : (k + 1) * config.rows]
        step, passes = max(0, step - count), passes + 1


def loss_of(model, rows) -> float:
    """Mean loss a token, nats, over packed rows."""
    import torch

    model.eval()
    with torch.inference_mode():
        total = sum(model(input_ids=part, labels=part).loss.item() * len(part) for part in rows.split(8))
    model.train()
    return total / len(rows)


def train(data: Path, out: Path, config: Config) -> dict:
    """Trains, or goes on, and writes the model, its tokenizer and lm.json to `out`. Returns the card."""
    found = documents(data)
    card = {"config": asdict(config), "texts": digest(found)}
    if (out / "lm.json").is_file():
        return _same(out, card)
    texts = [text for made in found.values() for text in made]
    random.Random(config.seed).shuffle(texts)
    held = max(1, round(config.held_out * len(texts)))
    with lock(out):
        return _Run(out, config, texts[held:], texts[:held], card | _counts(found, held)).train()


def _counts(found: dict[str, list[str]], held: int) -> dict:
    sources = {name: {"texts": len(made), "licence": LICENCES[name]} for name, made in found.items()}
    return {"sources": sources, "left_out": list(ASKED), "held_out_texts": held}


def _same(folder: Path, card: dict) -> dict:
    """The folder's card, which must be of the same settings and texts."""
    old = json.loads((folder / "lm.json").read_text())
    if any(old.get(key) != card[key] for key in ("config", "texts")):
        raise PrmError(f"{folder}: a model of other settings or other data; give another folder with -o")
    return old


class _Run:
    """One training: the model, its optimizer, and how far it is."""

    def __init__(self, out: Path, config: Config, texts: Sequence[str], held: Sequence[str], card: dict):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.out, self.config, self.card, self.step, self.seconds = out, config, card, 0, 0.0
        latest = max(out.glob("checkpoint-*[0-9]"), default=None)
        if latest:
            _same(latest, card)
            self.tokenizer = AutoTokenizer.from_pretrained(latest)
            self.model = AutoModelForCausalLM.from_pretrained(latest, dtype=torch.float32).train()
        else:
            self.tokenizer = new_tokenizer(texts, config.vocabulary)
            self.model = new_model(config, self.tokenizer).train()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.lr, weight_decay=0.1, betas=(0.9, 0.95), fused=True
        )
        if latest:
            state = torch.load(latest / "optimizer.pt", weights_only=True)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        self.texts, held_ids = self._ids(texts), self._ids(held)
        self.held = packed(held_ids, config.length, "held out")
        self.held_characters = sum(map(len, held)) / sum(map(len, held_ids))

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        made = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [[*ids, self.tokenizer.eos_token_id] for ids in made]

    def train(self) -> dict:
        """To the end of the minutes, with a checkpoint every few."""
        import torch
        from tqdm import tqdm

        began, saved, whole = time.monotonic() - self.seconds, self.seconds, self.config.minutes * 60
        bar = tqdm(desc="text lm", unit=" tokens", initial=self._tokens(), mininterval=10)
        for rows in batches(self.texts, self.config, self.step):
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate(self.seconds / whole)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
                loss = self.model(input_ids=rows, labels=rows).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step, self.seconds = self.step + 1, time.monotonic() - began
            bar.update(rows.numel())
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            if self.seconds >= whole:
                break
            if self.seconds - saved >= 60 * self.config.save:
                self._checkpoint()
                saved = time.monotonic() - began
        bar.close()
        return self._finish()

    def _rate(self, done: float) -> float:
        """The learning rate where a share `done` of the time is over: a warm-up, then a half cosine down to a tenth."""
        cosine = 0.55 + 0.45 * math.cos(math.pi * min(done, 1.0))
        return self.config.lr * min((done + 1e-3) / self.config.warmup, cosine)

    def _tokens(self) -> int:
        return self.step * self.config.rows * self.config.length

    def _save(self, folder: Path) -> dict:
        loss = loss_of(self.model, self.held)
        told = {
            "parameters": self.model.num_parameters(),
            "steps": self.step,
            "tokens_seen": self._tokens(),
            "tokens_of_texts": sum(map(len, self.texts)),
            "seconds": round(self.seconds),
            "held_out_tokens": self.held.numel(),
            "held_out_loss": round(loss, 4),
            "held_out_perplexity": round(math.exp(loss), 2),
            "held_out_bits_per_character": round(loss / self.held_characters / math.log(2), 4),
        }
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        (folder / "lm.json").write_text(json.dumps(self.card | told, indent=1) + "\n")
        print(f"\n{self._tokens()} tokens seen in {self.seconds:.0f} s: held-out loss {loss:.4f} a token", flush=True)
        return self.card | told

    def _checkpoint(self) -> None:
        """A folder that appears whole, by its rename; those before it go."""
        import torch

        old, part = list(self.out.glob("checkpoint-*[0-9]")), self.out / "checkpoint.part"
        shutil.rmtree(part, ignore_errors=True)
        self._save(part)
        state = {"optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds}
        torch.save(state, part / "optimizer.pt")
        part.rename(self.out / f"checkpoint-{self.step:07}")
        for folder in old:
            shutil.rmtree(folder)

    def _finish(self) -> dict:
        """lm.json last: it means that the folder is complete."""
        card = self._save(self.out)
        for folder in self.out.glob("checkpoint*"):
            shutil.rmtree(folder)
        return card


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.text_lm", description=__doc__.split("\n")[0])
    default = os.environ.get("PRM_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=default, metavar="FOLDER", help=f"default: $PRM_DATA, {default}")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="the model's folder")
    parser.add_argument("--minutes", type=float, default=Config.minutes, help="of training (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        raise PrmError(f"--minutes {options.minutes}: must be positive; {Config.minutes} was used")
    print(json.dumps(train(options.data, options.out, replace(Config(), minutes=options.minutes))))


if __name__ == "__main__":
    command(main)
