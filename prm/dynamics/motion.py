"""How hidden states move: acceleration, turning angle, and likeness to their own recent past (METHODS, attractors)."""

from __future__ import annotations

import torch

NAN = float("nan")


def motion(hidden: torch.Tensor, window: int) -> dict[str, torch.Tensor]:
    """curl, curl_norm, turn and rpi (see `traces`) of states (..., T, D), each (..., T) in float32; NaN where a value has too little past.

    window: states of the past that RPI looks at, at least 1.
    """
    hidden = hidden.float()
    step = hidden.diff(dim=-2)  # step[t - 1] = h_t - h_{t-1}
    length = step.norm(dim=-1)
    now, before = step[..., 1:, :], step[..., :-1, :]
    curl = (now - before).norm(dim=-1)
    cosine = (now * before).sum(-1) / (length[..., 1:] * length[..., :-1])
    values = {"curl": (curl, 2), "curl_norm": (curl / length[..., 1:], 2), "turn": (cosine.clamp(-1, 1).acos(), 2)}
    values["rpi"] = (torch.cosine_similarity(hidden[..., 1:, :], past_means(hidden, window), dim=-1), 1)
    return {name: _behind(made, missing, hidden.shape[-2]) for name, (made, missing) in values.items()}


def past_means(hidden: torch.Tensor, window: int) -> torch.Tensor:
    """(..., T - 1, D): for t = 1..T-1 the mean of the states t - window .. t - 1, of as many as there are."""
    total = hidden.double().cumsum(-2)  # in double: a difference of long sums
    count = torch.arange(1, max(hidden.shape[-2], 1), device=hidden.device).clamp(max=window).unsqueeze(-1)
    sums = total[..., :-1, :].clone()
    sums[..., window:, :] -= total[..., : max(hidden.shape[-2] - 1 - window, 0), :]
    return (sums / count).float()


def _behind(values: torch.Tensor, missing: int, tokens: int) -> torch.Tensor:
    """`values` behind as many NaNs as the first token that has one needs."""
    made = values.new_full((*values.shape[:-1], tokens), NAN)
    made[..., min(missing, tokens) :] = values.masked_fill(values.isinf(), NAN)[..., : max(tokens - missing, 0)]
    return made
