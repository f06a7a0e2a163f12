"""The process reward model: saved, loaded, and asked for step scores.

    prm = PRM.load("runs/demo/prm.prm-1a2b/model")
    prm.score("2 + 3 * 4 = ?", ["3 * 4 = 12\\n", "2 + 12 = 15\\n"])      # [0.98, 0.03]

A saved PRM is a folder: prm.json (config, version, the backbone's name and fingerprint), head.safetensors ("score.weight"),
the tokenizer, and either adapter_model.safetensors + adapter_config.json (LoRA; the backbone stays where it is) or backbone/
(trained whole). An export (prm/export.py) opens too: one model of transformers that holds backbone and head.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prm import backbone as backbones
from prm import config as configs
from prm import models, saved
from prm.encode import PROBLEM, Encoded
from prm.errors import PrmError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from prm.network import Network
    from prm.scorer import Scorer

DTYPES = ("float32", "bfloat16")
HEADS = ("linear", "sprm_mlp")


@dataclass(frozen=True)
class LoraConfig:
    """r: rank. alpha: the update is scaled by alpha / r. targets: "all-linear", a regular expression, or module names."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"

    def __post_init__(self):
        if self.r < 1:
            raise ValueError(f"r: {self.r} is not positive; 8 to 64 are usual, `lora: null` trains the whole backbone")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: {self.dropout} is outside [0, 1); 0 is usual here")


@dataclass(frozen=True)
class Config:
    """What a PRM is. backbone: "world", a folder or a hub id; any causal or encoder model of transformers.

    max_tokens: of one row; longer solutions are read in several windows (encode.py). template: the text around the problem,
    or "chat" for the tokenizer's own chat template. dtype: of the frozen backbone. attention: transformers' name, "sdpa",
    "eager", "flash_attention_2", ... head: "linear" or "sprm_mlp" (network.py). quantize: "nf4" holds the frozen backbone in 4 bits
    (QLoRA; needs a GPU and bitsandbytes).
    """

    backbone: str = "world"
    lora: LoraConfig | None = field(default_factory=LoraConfig)
    max_tokens: int = 1024
    template: str = PROBLEM + "\n"
    dtype: str = "float32"
    attention: str = "sdpa"
    head: str = "linear"
    quantize: str | None = None

    def __post_init__(self):
        if self.max_tokens < 8:
            raise ValueError(
                f"max_tokens: {self.max_tokens} leaves no room for a problem and its steps; 256 to 4096 are usual"
            )
        if self.template != "chat" and self.template.count(PROBLEM) != 1:
            raise ValueError(f'template: {self.template!r} must hold {PROBLEM} once, or be "chat"')
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: unknown {self.dtype!r}; choose one of {', '.join(DTYPES)}")
        if self.head not in HEADS:
            raise ValueError(f"head: unknown {self.head!r}; choose one of {', '.join(HEADS)}")
        if self.quantize not in (None, "nf4"):
            raise ValueError(f"quantize: unknown {self.quantize!r}; choose nf4, or null for full weights")
        if self.quantize and self.lora is None:
            raise ValueError(
                "quantize: weights of 4 bits cannot be trained themselves; give lora, or set quantize to null"
            )


def check(config: Config) -> None:
    """PrmError for what would fail later: a missing or unsafe backbone, more tokens than it has positions. Loads nothing."""
    models.check(config.backbone)
    backbones.check_quantize(config)
    facts = models.facts(config.backbone)
    backbones.check_positions(config, facts.get("max_position_embeddings", facts.get("n_positions")))


class PRM:
    """A network, its tokenizer and its config. `PRM.create` starts one, `PRM.load` opens a saved one. Threads may score with
    one PRM; they take turns."""

    def __init__(self, config: Config, network: Network, tokenizer: PreTrainedTokenizerBase, fingerprint: str):
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.folder: Path | None = None  # where it was loaded from
        self.scoring = threading.RLock()  # a pass sets the network's attention and mode: one at a time

    @classmethod
    def create(cls, config: Config, device: str = "auto") -> PRM:
        """An untrained PRM on the config's backbone; what is random in it comes from torch's global seed."""
        models.check(config.backbone)
        path = models.resolve(config.backbone)
        prm = cls._assemble(config, path, path, device)
        backbones.check_tokens(prm)
        return prm

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> PRM:
        """A saved PRM, ready to score. folder: or a hub id, which is fetched. device: "auto" takes CUDA where there is one (this
        process's). PrmError where it is none, or damaged."""
        folder = saved.local(folder)
        config, card = read_config(folder)
        saved.check(folder, config)
        prm = cls._assemble(config, saved.backbone_path(folder, config), folder, device)
        if prm.fingerprint != card["backbone"]["fingerprint"] and config.lora:
            raise PrmError(
                f"{folder}: trained on other weights than {config.backbone!r} holds now; restore those or train again"
            )
        prm.network.load_head(saved.head_state(folder))
        if config.lora:
            saved.load_adapter(prm.network, folder)
            if (
                config.dtype == "float32" and not config.quantize
            ):  # nearly halves the time of scoring; bfloat16 would round the adapter away
                prm.network.backbone.merge_adapter()
        prm.network.requires_grad_(False).eval()
        prm.folder = folder
        return prm

    @classmethod
    def _assemble(cls, config: Config, backbone_path, tokenizer_path, device: str) -> PRM:
        import torch
        from transformers import AutoTokenizer

        from prm import network as networks

        if device == "auto":
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
        backbones.check_quantize(config)
        tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_path))
        backbone = networks.open_backbone(str(backbone_path), config.dtype, config.attention, config.quantize, device)
        backbones.check_positions(config, networks.position_limit(backbone))
        fingerprint = models.weights_fingerprint(backbone_path, backbone.config)
        backbone = networks.add_lora(backbone, config.lora) if config.lora else backbone
        network = networks.Network(backbone, config.head)
        return cls(config, network.to(device), tokenizer, fingerprint)

    def save(self, folder: str | Path) -> None:
        """Writes the folder described above. Refuses weights that are not finite."""
        folder = Path(folder)
        check_finite(self.network)
        saved.write_weights(self.network, self.config.lora is not None, folder)
        self.tokenizer.save_pretrained(str(folder))
        saved.write_card(self.config, self.fingerprint, folder)

    def push_to_hub(
        self,
        repo_id: str,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload a process reward model",
    ) -> str:
        """Uploads the folder this PRM was loaded from, with all that lies there (card, history, usage), or else what `save` writes; the
        commit's address. private, token: as huggingface_hub has them."""
        from tempfile import TemporaryDirectory

        from prm.card import push

        if self.folder is not None:
            return push(self.folder, self.config, repo_id, private, token, commit_message)
        with TemporaryDirectory() as folder:
            self.save(folder)
            return push(Path(folder), self.config, repo_id, private, token, commit_message)

    def score(self, problem: str, steps: Sequence[str]) -> list[float]:
        """The belief in [0, 1] that each step is right, given the problem and all the text shown before it.

        Joined, the steps are the solution: keep their line breaks, as segmenters do.
        """
        return self.score_batch([(problem, steps)])[0]

    def score_batch(
        self, pairs: Iterable[tuple[str, Sequence[str]]], progress: Callable[[int], None] | None = None
    ) -> list[list[float]]:
        """`score` of many (problem, steps), in their order (`Scorer.score`)."""
        return self.scorer.score(pairs, progress)

    def score_encoded(
        self, encoded: Sequence[Encoded], progress: Callable[[int], None] | None = None
    ) -> list[list[float]]:
        """Scores of encoded solutions; [] for one that was rejected."""
        return self.scorer.score_encoded(encoded, progress)

    @cached_property
    def scorer(self) -> Scorer:
        """What all scores come from; a search's too, step by step."""
        from prm.scorer import Scorer

        return Scorer(self)


def check_finite(network: Network) -> None:
    """PrmError if a trained weight is NaN or infinite."""
    for name, tensor in network.named_parameters():
        if tensor.requires_grad and not tensor.isfinite().all():
            raise PrmError(
                f"training diverged: {name} is not finite, nothing was saved; lower train.lr or raise train.warmup"
            )


def read_config(folder: Path) -> tuple[Config, dict]:
    """A saved PRM's config and all of its prm.json. PrmError where there is none, or it is damaged."""
    card = saved.card(folder)
    return configs.build(Config, card["config"], f"{folder}/prm.json: config"), card
