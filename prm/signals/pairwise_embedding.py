"""Pairwise consistency of texts: does each sibling solution have a step that says the same?

    value = sum_j w_j max_{m near step} cos(e(step), e(step m of sibling j)) / sum_j w_j     (cosines below 0 count 0)

e: mean of the encoder's last hidden states over the text's tokens, unit length. m is near when its relative position
in sibling j (0 at the first step, 1 at the last) is within `window` of the step's own, so that order counts; w_j =
copies_j ** -1/2, texts equal to the sample's own left out. confidence = n / (n + 2) for n siblings (in w). A sample
without siblings abstains. Shapes: _S steps, _D embedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prm import models
from prm.errors import PrmError
from prm.records import Group, StepScores

if TYPE_CHECKING:
    import numpy as np

KEY = "vote"


@dataclass(frozen=True)
class Config:
    """model: a folder or hub id of an encoder. window: how far apart, of the solution's length, two steps may stand.
    batch: texts at once; max_tokens: a longer step is cut."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    window: float = 0.5
    batch: int = 64
    max_tokens: int = 128

    def __post_init__(self):
        if not 0 < self.window <= 1:
            raise ValueError(f"window: {self.window} is outside (0, 1]; 1 compares all steps")
        for name in ("batch", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive; give at least 1")


def check(config: Config) -> None:
    """Raises PrmError when the encoder's files cannot be used."""
    models.check(config.model)


def label(groups: Sequence[Group], config: Config, context) -> list[StepScores]:
    """One StepScores a sample; each distinct step text of a problem is embedded once."""
    encode = context.cached(("encoder", config.model), lambda: load(config.model))
    return [row for group in groups for row in _group(group, config, encode)]


def load(model: str):
    """A function (texts, batch, max_tokens) -> float32 (S, D) unit vectors."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    name = models.resolve(model)
    tokenizer = AutoTokenizer.from_pretrained(name)
    if tokenizer.pad_token is None:
        raise PrmError(f"pairwise_embedding: the tokenizer of {model} has no pad token; take a sentence encoder")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = AutoModel.from_pretrained(name, use_safetensors=True).to(device).eval()

    @torch.inference_mode()
    def encode(texts: Sequence[str], batch: int, max_tokens: int):
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # like lengths together: little padding
        found = torch.empty(len(texts), network.config.hidden_size)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            inputs = tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
            ).to(device)
            hidden = network(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            found[rows] = torch.nn.functional.normalize(mean, dim=-1).cpu()
        return found.numpy()

    return encode


def _group(group: Group, config: Config, encode) -> list[StepScores]:
    cuts = [[text.strip() for text in steps.cut(s.text)] for s, steps in zip(group.samples, group.steps)]
    texts = list(dict.fromkeys(text for cut in cuts for text in cut))
    vectors = dict(zip(texts, encode(texts, config.batch, config.max_tokens))) if texts else {}
    copies = Counter(s.text for s in group.samples)
    return [_sample(group, i, cuts, vectors, copies, config) for i in range(len(cuts))]


def _sample(
    group: Group, i: int, cuts: list[list[str]], vectors: dict[str, np.ndarray], copies: Counter, config: Config
) -> StepScores:
    import numpy as np

    sample, mine = group.samples[i], cuts[i]
    siblings = [j for j in range(len(cuts)) if cuts[j] and group.samples[j].text != sample.text]
    if not mine or not siblings:
        return StepScores(
            sample.problem_id, sample.index, "pairwise_embedding", KEY, (None,) * len(mine), (0.0,) * len(mine)
        )
    own_SD, places = np.stack([vectors[t] for t in mine]), _places(len(mine))
    total, mass = np.zeros(len(mine)), 0.0
    for j in siblings:
        weight = copies[group.samples[j].text] ** -0.5
        cosines = own_SD @ np.stack([vectors[t] for t in cuts[j]]).T
        near = np.abs(places[:, None] - _places(len(cuts[j]))[None]) <= config.window + 1e-9
        total += weight * np.where(near, cosines, 0.0).max(1).clip(0.0, 1.0)
        mass += weight
    return StepScores(
        sample.problem_id,
        sample.index,
        "pairwise_embedding",
        KEY,
        tuple(float(v) for v in (total / mass).clip(0, 1)),
        (mass / (mass + 2),) * len(mine),
    )


def _places(n: int) -> np.ndarray:
    import numpy as np

    return np.linspace(0.0, 1.0, n) if n > 1 else np.array([0.5])
