"""The trainable module: a transformers backbone, LoRA inside it, and a head that gives one logit a position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from prm.errors import PrmError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from prm.model import LoraConfig


SPRM_SCALE = 1e-4  # of the gradient that leaves SPRM's head


class Network(nn.Module):
    """Hidden states of the backbone, read where scores are asked for, and a head on them.

    linear    the last hidden states times one vector, no bias; starts small but not at zero, where no gradient would reach the
              backbone; saved as "score.weight", the name that sequence and token classification models of transformers and vLLM load.
    sprm_mlp  Linear(d, 2d), ReLU, Dropout(.5), Linear(2d, 1) on the second-last hidden states; what flows back into the backbone
              is scaled by 1e-4 (MetaStone-S1, arXiv 2507.01951). Of the backbone's last layer nothing is used or trained.
    """

    accepts_loss_kwargs = (
        True  # tells transformers.Trainer that the loss is normalised over the accumulated batch (trainer.py)
    )

    def __init__(self, backbone: PreTrainedModel, head: str = "linear"):
        super().__init__()
        self.backbone = backbone
        width = backbone.config.get_text_config().hidden_size
        self.scaled = head == "sprm_mlp"
        if self.scaled:
            layers = (nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(2 * width, 1))
            self.head = nn.Sequential(*layers).float()
        else:
            self.head = nn.Linear(width, 1, bias=False, dtype=torch.float32)
            nn.init.normal_(self.head.weight, std=width**-0.5)
        self._no_split_modules = self.base()._no_split_modules  # what FSDP wraps, one by one

    @property
    def device(self) -> torch.device:
        return next(self.head.parameters()).device

    def base(self) -> PreTrainedModel:
        """The backbone without LoRA's wrapper."""
        return getattr(self.backbone, "get_base_model", lambda: self.backbone)()

    def forward(self, **inputs) -> torch.Tensor:
        """Logits (S,) in float32 of a batch (collate.py), at its flat positions `at` (S,); a step's belief is their sigmoid."""
        hidden = self.hidden(**inputs)
        with torch.autocast(hidden.device.type, enabled=False):  # nothing to gain from bf16 here, digits to lose
            return self.head(hidden.float()).squeeze(-1)

    def hidden(self, at, **inputs) -> torch.Tensor:
        """What the head reads, (S, d)."""
        if not self.scaled:
            return self.backbone(**inputs).last_hidden_state.flatten(0, 1)[at]
        hidden = self.backbone(output_hidden_states=True, **inputs).hidden_states[-2].flatten(0, 1)[at]
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: gradient * SPRM_SCALE)
        return hidden

    def head_state(self) -> dict[str, torch.Tensor]:
        """The head's tensors by the names under which they are saved."""
        return {f"score.{name}": tensor.detach().cpu().contiguous() for name, tensor in self.head.state_dict().items()}

    def load_head(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of `head_state`."""
        self.head.load_state_dict({name.removeprefix("score."): tensor for name, tensor in state.items()})

    def gradient_checkpointing_enable(self, **options):
        """Called by transformers.Trainer; frozen embeddings must pass gradients on for LoRA behind checkpoints."""
        self.backbone.gradient_checkpointing_enable(**options)
        self.backbone.enable_input_require_grads()


def open_backbone(name: str, dtype: str, attention: str, quantize: str | None, device: str) -> PreTrainedModel:
    """A headless transformers model from safetensors, quietly; PrmError where it cannot serve as a backbone.

    quantize: "nf4" makes 4-bit weights with bitsandbytes, placed on `device` and prepared for LoRA (QLoRA, arXiv 2305.14314).
    """
    from transformers import AutoModel
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # its report of the language head that AutoModel leaves out is no news to a user
    logging.disable_progress_bar()
    try:
        backbone = AutoModel.from_pretrained(
            name,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            use_safetensors=True,
            **(_four_bits(dtype, device) if quantize else {}),
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
    for name, parameter in backbone.named_parameters():
        if name.startswith("pooler."):  # of encoders: nothing reads it, so it would have no gradient
            parameter.requires_grad_(False)
    if quantize:
        from peft import prepare_model_for_kbit_training

        backbone = prepare_model_for_kbit_training(backbone, use_gradient_checkpointing=False)  # the trainer's to say
    return backbone


def _four_bits(dtype: str, device: str) -> dict:
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
    return {"quantization_config": config, "device_map": {"": device}}


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


def gathered(network: nn.Module, wanted: bool) -> dict[str, torch.Tensor]:
    """The trainable tensors by name, on the CPU, whole also where FSDP spreads them: all processes must call. {} unless wanted."""
    found = {}
    for name, p in network.named_parameters():
        if p.requires_grad:  # one after another: whole ones of all at once may not fit
            whole = p.detach().full_tensor() if hasattr(p, "full_tensor") else p.detach()
            if wanted:
                found[name] = whole.cpu().contiguous()
    return found


@torch.no_grad()
def load_trained(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copies whole tensors, by name, into the trainable ones, spread by FSDP or not."""
    from torch.distributed.tensor import distribute_tensor

    for name, p in network.named_parameters():
        if p.requires_grad:
            tensor = state[name].to(p.device)
            p.copy_(distribute_tensor(tensor, p.device_mesh, p.placements) if hasattr(p, "full_tensor") else tensor)
