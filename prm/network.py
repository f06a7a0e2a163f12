"""The trainable module: a transformers backbone, LoRA inside it, and a head that gives one logit a position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from prm.errors import PrmError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from prm.model import LoraConfig


class Network(nn.Module):
    """Hidden states of the backbone, read where scores are asked for, times one vector.

    The head has no bias and starts small but not at zero, where no gradient would reach the backbone; its weight is saved as
    "score.weight", the name that sequence and token classification models of transformers and vLLM load.
    """

    accepts_loss_kwargs = (
        True  # tells transformers.Trainer that the loss is normalised over the accumulated batch (trainer.py)
    )

    def __init__(self, backbone: PreTrainedModel):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.config.get_text_config().hidden_size, 1, bias=False, dtype=torch.float32)
        nn.init.normal_(self.head.weight, std=self.head.in_features**-0.5)

    def forward(self, input_ids, at, attention_mask=None, position_ids=None) -> torch.Tensor:
        """Logits (S,) in float32 at the flat positions `at` (S,) of input_ids (B, T); a step's belief is their sigmoid."""
        inputs = {"attention_mask": attention_mask, "position_ids": position_ids}
        inputs = {name: tensor for name, tensor in inputs.items() if tensor is not None}
        hidden = self.backbone(input_ids=input_ids, **inputs).last_hidden_state
        with torch.autocast(
            hidden.device.type, enabled=False
        ):  # one vector: nothing to gain from bf16 here, digits to lose
            return self.head(hidden.flatten(0, 1)[at].float()).squeeze(-1)

    def gradient_checkpointing_enable(self, **options):
        """Called by transformers.Trainer; frozen embeddings must pass gradients on for LoRA behind checkpoints."""
        self.backbone.gradient_checkpointing_enable(**options)
        self.backbone.enable_input_require_grads()


def open_backbone(name: str, dtype: str, attention: str) -> PreTrainedModel:
    """A headless transformers model from safetensors, quietly; PrmError where it cannot serve as a backbone."""
    from transformers import AutoModel
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # its report of the language head that AutoModel leaves out is no news to a user
    logging.disable_progress_bar()
    try:
        backbone = AutoModel.from_pretrained(
            name, dtype=getattr(torch, dtype), attn_implementation=attention, use_safetensors=True
        )
    except (OSError, ValueError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise PrmError(f"prm.backbone: cannot load {name!r}: {first}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    if backbone.config.is_encoder_decoder:
        raise PrmError(f"prm.backbone: {name!r} is an encoder-decoder; use a causal model or an encoder")
    backbone.config.use_cache = False
    return backbone


def add_lora(backbone: PreTrainedModel, lora: LoraConfig) -> nn.Module:
    """The backbone frozen, with trainable low-rank factors beside its linear layers."""
    import peft
    import trl

    config = trl.get_peft_config(
        trl.ModelConfig(
            use_peft=True,
            lora_r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            lora_task_type=peft.TaskType.FEATURE_EXTRACTION.value,
        )
    )
    # Set here because ModelConfig turns a list of one name into a string, which peft reads as a regular expression.
    config.target_modules = lora.targets if isinstance(lora.targets, str) else set(lora.targets)
    config.exclude_modules = "pooler.*" if hasattr(backbone, "pooler") else None  # of encoders, never used here
    config.fan_in_fan_out = any(
        type(module).__name__ == "Conv1D" for module in backbone.modules()
    )  # GPT-2's linear layers
    try:
        return peft.get_peft_model(backbone, config)
    except ValueError as error:
        raise PrmError(f"prm.lora.targets: {str(error).splitlines()[0]}") from error


def position_limit(backbone: PreTrainedModel) -> int | None:
    """Tokens a row may have, None where nothing limits it. RoBERTa's kin lose the table's rows up to the padding index."""
    for name, module in backbone.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(backbone.config.get_text_config(), "max_position_embeddings", None)


@torch.no_grad()
def packing_gap(network: Network, vocabulary: int = 64) -> float:
    """How far hidden states move, relative to their size, when two windows share a packed row; 0 for sound packing.

    Encoders attend across the whole row, and some architectures ignore where positions restart: neither says so.
    """
    device = network.head.weight.device
    vocabulary = min(vocabulary, network.backbone.get_input_embeddings().num_embeddings)
    rows = torch.arange(14, device=device).mul(7).remainder(vocabulary).view(2, 7)
    positions = torch.arange(7, device=device).repeat(2)[None]
    mode = network.training
    network.eval()
    alone = network.backbone(input_ids=rows, attention_mask=torch.ones_like(rows)).last_hidden_state.flatten(0, 1)
    packed = network.backbone(input_ids=rows.view(1, -1), position_ids=positions).last_hidden_state[0]
    network.train(mode)
    return float((alone - packed).float().norm() / alone.float().norm())
