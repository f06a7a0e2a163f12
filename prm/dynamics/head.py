"""A language model's output projection, taken apart so that it can be applied to a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from prm.errors import PrmError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBED = 4  # tokens on which the projection is compared with the model's own logits


@dataclass(frozen=True, slots=True)
class Head:
    """logits = cap(scale * (weight (V, D) @ h + bias (V,))), cap(x) = softcap * tanh(x / softcap) where softcap is set (Gemma)."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    @property
    def vocabulary(self) -> int:
        return self.weight.shape[0]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(N, V) of (N, D), in the weight's type."""
        return self._finished(torch.nn.functional.linear(hidden.to(self.weight.dtype), self.weight, self.bias))

    def tile(self, hidden: torch.Tensor, first: int, out: torch.Tensor) -> torch.Tensor:
        """Logits of `out`'s (N, C) columns, those from `first` on, written there; hidden and out in float32, whatever the weight's type."""
        part = slice(first, first + out.shape[1])
        weight = self.weight[part].float().T
        if self.bias is None:
            torch.mm(hidden, weight, out=out)
        else:
            torch.addmm(self.bias[part].float(), hidden, weight, out=out)
        return self._finished(out)

    def of_tokens(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(N,): each row's logit of one token, in float32."""
        made = (hidden.float() * self.weight[tokens].float()).sum(-1)
        return self._finished(made if self.bias is None else made.add_(self.bias[tokens]))

    def _finished(self, made: torch.Tensor) -> torch.Tensor:
        """What comes after the linear layer, in place."""
        if self.scale != 1.0:
            made.mul_(self.scale)
        return made if self.softcap is None else made.div_(self.softcap).tanh_().mul_(self.softcap)


@torch.inference_mode()
def head_of(model: PreTrainedModel) -> Head:
    """The model's head. Raises PrmError where its logits are made in a way this does not know: better no traces than wrong ones."""
    projection, config = model.get_output_embeddings(), model.config.get_text_config()
    if not isinstance(projection, torch.nn.Linear):
        raise PrmError(
            f"dynamics: the output projection of {type(model).__name__} is no linear layer; use another model"
        )
    scale = float(getattr(config, "logit_scale", None) or 1.0)  # Cohere multiplies, Granite divides
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    head = Head(projection.weight, projection.bias, scale, getattr(config, "final_logit_softcapping", None))
    ids = torch.arange(PROBED, device=model.device)[None] + 3
    want = model(input_ids=ids, use_cache=False).logits[0].float()
    got = head.logits(states(model, ids).last_hidden_state[0]).float()
    apart = float((got - want).abs().max() / want.abs().max().clamp(min=1e-6))
    if apart > (1e-3 if head.weight.dtype == torch.float32 else 5e-2):
        raise PrmError(
            f"dynamics: {type(model).__name__} makes its logits in a way not known here (its own differ by {apart:.0e} of the largest); use another model"
        )
    return head


def states(model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor | None = None, every: bool = False):
    """The output of the model without its head, so that no logits are made. every: with the states of all layers."""
    body = model.base_model if model.base_model is not model else model
    return body(input_ids=ids, attention_mask=mask, output_hidden_states=every, use_cache=False)
