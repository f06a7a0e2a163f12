"""Traces of a stream: one token at a time, with a state that does not grow, equal to what `reader` gives for the whole text."""

from __future__ import annotations

from collections import deque

import torch

from prm.dynamics.motion import NAN


class Stream:
    """window: as in reader.Config. Holds the last distribution (V,) and the last max(window, 2) states (L, D), nothing else."""

    def __init__(self, window: int = 8):
        self._past: deque[torch.Tensor] = deque(maxlen=max(window, 2))
        self._window = window
        self._logp: torch.Tensor | None = None

    def push(
        self, hidden: torch.Tensor, token: int | None = None, logits: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """The traces at one more token: curl, curl_norm, turn, rpi (L,); with logits also kl and entropy, with the token too surprise (0-dim).

        hidden: (L, D), the states at the token. token: its id. logits: (V,), the model's for the token after it.
        """
        told = self._motion(hidden.float())
        if logits is not None:
            told |= self._flow(logits, token)
        return told

    def _motion(self, now: torch.Tensor) -> dict[str, torch.Tensor]:
        undefined = now.new_full(now.shape[:1], NAN)
        told = {"curl": undefined, "curl_norm": undefined, "turn": undefined, "rpi": undefined}
        past = list(self._past)
        if past:
            told["rpi"] = torch.cosine_similarity(
                now, torch.stack(past[-self._window :]).double().mean(0).float(), dim=-1
            )
        if len(past) > 1:
            step, before = now - past[-1], past[-1] - past[-2]
            length = step.norm(dim=-1)
            told["curl"] = (step - before).norm(dim=-1)
            told["curl_norm"] = (told["curl"] / length).masked_fill(length == 0, NAN)
            told["turn"] = ((step * before).sum(-1) / (length * before.norm(dim=-1))).clamp(-1, 1).acos()
        self._past.append(now)
        return told

    def _flow(self, logits: torch.Tensor, token: int | None) -> dict[str, torch.Tensor]:
        logp = torch.log_softmax(logits.float(), -1)
        p, before = logp.exp(), self._logp
        undefined = logp.new_tensor(NAN)
        told = {"entropy": -(p * logp).sum(), "kl": undefined, "surprise": undefined}
        if before is not None:
            told["kl"] = (p * (logp - before)).sum().clamp(min=0)
            told["surprise"] = undefined if token is None else -before[token]
        self._logp = logp
        return told
