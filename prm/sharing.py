"""Attention over shared prefixes: every distinct prefix of a batch is computed once.

The windows of a batch, as paths from the root of one tree of tokens: a problem's solutions share the problem, and as far as they
begin alike, their first words. All that works token by token (projections, MLPs, norms) runs on the tree's N tokens without
padding; attention alone lays the paths out as W rows of L tokens, a few rows of like length at a time, causal as ever:

    x (N, ...)  ->  x[paths] (W, L, ...)  ->  attention  ->  rows of each token's first path (N, ...)

A causal model's hidden state depends on nothing but the tokens before, so this is exact, gradients too (dropout, where a backbone
has some, is drawn once for what is shared). A block mask over the tree would cost N x N; this costs the padded batch's attention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import embedding

from prm.errors import PrmError

if TYPE_CHECKING:
    from prm.network import Network

NAME = "shared_prefixes"


def use(network: Network) -> None:
    """Makes the network take batches of `collate.share` beside all others; PrmError where they would not be exact."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    base, name = network.base(), network.base().config._name_or_path
    if base.config._attn_implementation not in ("sdpa", NAME):
        raise PrmError(
            f"train.share_prompts: with prm.attention {base.config._attn_implementation!r} prompts cannot be shared; "
            "set prm.attention to sdpa, or share_prompts to false"
        )
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    base.set_attn_implementation(NAME)
    try:
        gap = sharing_gap(network)
    except TypeError as error:  # a backbone whose forward takes no positions or hands nothing to its attention
        raise PrmError(f"train.share_prompts: {name!r} cannot share prompts; set it to false") from error
    if gap > (1e-3 if base.dtype == torch.float32 else 5e-2):
        raise PrmError(
            f"train.share_prompts: {name!r} does not attend through shared prompts exactly (hidden states move by {gap:.0%}); "
            "set it to false"
        )


def check_sight(config, max_tokens: int) -> None:
    """PrmError where layers see fewer tokens than a window may hold. config: the backbone's."""
    config = config.get_text_config()
    for name in ("sliding_window", "attention_chunk_size"):
        sight = getattr(config, name, None)
        if sight and sight < max_tokens and getattr(config, "use_sliding_window", True):
            raise PrmError(
                f"train.share_prompts: the backbone's {name} is {sight}, and rows have up to {max_tokens} tokens; "
                "set share_prompts to false, or lower prm.max_tokens"
            )


def attend(module, query, key, value, attention_mask, paths=None, first=None, **options):
    """transformers' attention function: sdpa, by rows of `paths` where there are some.

    query, key, value (1, H, N, D); paths: (W, L) each, windows' tokens among the N, filled up on the right with any; first
    (N,): where a token lies first in the flat paths, one behind the other. Returns (1, N, H, D) and None, as all such functions.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if paths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    options["is_causal"] = True
    states = [states.transpose(1, 2).flatten(2)[0] for states in (query, key, value)]  # (N, H * D)
    width, made = query.shape[-1], []
    for part in paths:
        rows = (_rows(flat, part, width) for flat in states)
        made.append(sdpa_attention_forward(module, *rows, None, **options)[0].flatten(0, 1))
    made = torch.cat(made)
    return embedding(first, made.flatten(1)).view(1, len(first), *made.shape[1:]), None


def _rows(flat: torch.Tensor, paths: torch.Tensor, width: int) -> torch.Tensor:
    """(N, H * D) -> (W, H, L, D). An embedding is a gather whose gradient is summed fast on CPUs and GPUs."""
    return embedding(paths, flat).view(*paths.shape, -1, width).transpose(1, 2)


@torch.no_grad()
def sharing_gap(network: Network, vocabulary: int = 64) -> float:
    """How far hidden states move, relative to their size, when windows share their beginnings; 0 where that is sound."""
    from array import array

    from accelerate.utils import send_to_device

    from prm.collate import pad, share
    from prm.encode import Window

    device = network.device
    vocabulary = min(vocabulary, network.backbone.get_input_embeddings().num_embeddings)
    ids = [7 * i % vocabulary for i in range(24)]
    texts = [ids[:12], ids[:6] + ids[12:20], ids[:9] + ids[20:24], ids[12:19]]
    windows = [Window(array("i", text), tuple(range(len(text))), tuple(range(len(text)))) for text in texts]
    mode = network.training
    network.eval()
    alone, shared = (network.hidden(**send_to_device(batch, device)) for batch in (pad(windows, 0), share(windows)))
    network.train(mode)
    return float((alone - shared).float().norm() / alone.float().norm())
