"""Whether a backbone, its tokenizer and this machine can be what a PRM's config asks for."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from prm.encode import parts
from prm.errors import PrmError

if TYPE_CHECKING:
    from prm.model import PRM, Config


def check_positions(config: Config, limit: int | None) -> None:
    if limit is not None and config.max_tokens > limit:
        raise PrmError(
            f"prm.max_tokens: {config.max_tokens}, but {config.backbone!r} has {limit} positions; lower it to that"
        )


def check_tokens(prm: PRM) -> None:
    """PrmError where a text, or what stands around it, may become a token that the backbone has no embedding for."""
    tokenizer, size = prm.tokenizer, prm.network.base().get_input_embeddings().num_embeddings
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}  # no text becomes one
    ((prefix, steps),) = parts([("1", ["1"])], tokenizer, prm.config)
    around = [i for ids in (prefix, *(step.ids for step in steps if step)) for i in ids]
    highest = max([*around, *(i for i in tokenizer.get_vocab().values() if i not in special)])
    if highest >= size:
        raise PrmError(
            f"{prm.config.backbone}: its tokenizer has tokens up to id {highest}, its embeddings end at {size - 1}; give the "
            "tokenizer that belongs to it, or enlarge the model with resize_token_embeddings and save it"
        )


def check_quantize(config: Config) -> None:
    if config.quantize is None:
        return
    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise PrmError(
            f"prm.quantize: {config.quantize} needs bitsandbytes; pip install bitsandbytes, or set it to null"
        )
    if not torch.cuda.is_available():
        raise PrmError(f"prm.quantize: {config.quantize} needs a CUDA GPU, and there is none; set it to null")
