"""The live mode: a linear head from the hidden state of one token to the role of the segment it stands in, and when to believe it.

Hysteresis is Page's (1954) test for a change, one sum for each role r other than the current one c, in nats:

    S_r <- max(0, S_r + log p(r | h_t) - log p(c | h_t)),   switch to the r of the largest S once it exceeds `margin`, then start over.

A role so takes over when it has been ahead by enough in all, at once where one token is clear, over several where they are not. `margin` 0 is no
hysteresis. The state is a role and K sums for each stream, however long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Config:
    """margin: nats by which another role must lead before the mode switches. tokens: that the head is trained on, at most; a random part of more.
    decay: L2 penalty of its weights. late: weight a token by its place within its segment, from 1/n at the first to 1 at the last of n."""

    margin: float = 2.0
    tokens: int = 100_000
    decay: float = 1e-4
    late: bool = False

    def __post_init__(self):
        if self.margin < 0 or self.decay < 0:
            raise ValueError("margin, decay: must not be below 0")
        if self.tokens < 1:
            raise ValueError(f"tokens: {self.tokens} is not positive; 100000 is usual")


@dataclass(frozen=True, slots=True)
class Mode:
    """role: the one the stream is in. confidence: the head's probability of it at this token. switched: whether it began at this token (a stream's first
    token begins one)."""

    role: int
    confidence: float
    switched: bool


@dataclass(frozen=True, eq=False)
class Head:
    """logits (K,) = weight_KD @ h + bias_K."""

    weight_KD: np.ndarray
    bias_K: np.ndarray


class Detector:
    """R streams side by side, each at its own state; a new one starts each. `push` is for one stream."""

    def __init__(self, head: Head, margin: float, device: str = "cpu"):
        import torch

        self._weight_DK = torch.tensor(head.weight_KD.T, dtype=torch.float32, device=device).contiguous()
        self._bias_K = torch.tensor(head.bias_K, dtype=torch.float32, device=device)
        self._margin = margin
        self.reset()

    def reset(self) -> None:
        """Forgets the past: the next states are the first of new streams."""
        self._role_R1 = None

    def push(self, hidden_D: torch.Tensor) -> Mode:
        """The mode at one more token of one stream."""
        role_R, confidence_R, switched_R = self.step(hidden_D[None])
        return Mode(int(role_R), float(confidence_R), bool(switched_R))

    def step(self, hidden_RD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One more token of each stream -> (role_R, confidence_R, switched_R)."""
        return self._advance(self.logp(hidden_RD))

    def logp(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., K) of (..., D)"""
        import torch

        return torch.log_softmax(hidden.float() @ self._weight_DK + self._bias_K, -1)

    def _advance(self, logp_RK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        import torch

        if self._role_R1 is None:
            here_R1, self._role_R1 = logp_RK.max(-1, keepdim=True)
            self._ahead_RK = torch.zeros_like(logp_RK)
            return self._role_R1[:, 0], here_R1[:, 0].exp(), torch.ones_like(here_R1[:, 0], dtype=torch.bool)
        here_R1 = logp_RK.gather(1, self._role_R1)
        ahead_RK = (self._ahead_RK + logp_RK - here_R1).clamp_(min=0)
        most_R1, best_R1 = ahead_RK.max(-1, keepdim=True)
        switched_R1 = most_R1 > self._margin
        self._role_R1 = torch.where(switched_R1, best_R1, self._role_R1)
        self._ahead_RK = ahead_RK.masked_fill_(switched_R1, 0)
        return self._role_R1[:, 0], logp_RK.gather(1, self._role_R1)[:, 0].exp(), switched_R1[:, 0]

    def detect(self, streams: Sequence[torch.Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Whole streams (T, D), from their first token: of each (role (T,) int, confidence (T,) float32), as `push` gives them one by one."""
        import numpy as np
        import torch

        lengths = [len(stream) for stream in streams]
        if not sum(lengths):
            return [(np.empty(0, int), np.empty(0, np.float32)) for _ in streams]
        padded_RTK = torch.nn.utils.rnn.pad_sequence([self.logp(stream) for stream in streams], batch_first=True)
        self.reset()
        made = [self._advance(logp_RK) for logp_RK in padded_RTK.unbind(1)]
        role_RT, confidence_RT = (torch.stack([told[i] for told in made], 1).cpu().numpy() for i in range(2))
        return [(role_RT[r, :n], confidence_RT[r, :n]) for r, n in enumerate(lengths)]


def train(hidden_TD: np.ndarray, role_T: np.ndarray, weight_T: np.ndarray, roles: int, decay: float) -> Head:
    """Multinomial logistic regression on standardised states, by L-BFGS from zero: the same data gives the same head."""
    import numpy as np
    import torch

    mean_D, scale_D = hidden_TD.mean(0), hidden_TD.std(0)
    scale_D = np.where(scale_D > 1e-6 * max(scale_D.max(), 1e-12), scale_D, 1.0)
    x_TD = torch.tensor((hidden_TD - mean_D) / scale_D, dtype=torch.float32)
    y_T, weight_T = torch.tensor(role_T), torch.tensor(weight_T / weight_T.sum(), dtype=torch.float32)
    w_KD = torch.zeros(roles, x_TD.shape[1], requires_grad=True)
    b_K = torch.zeros(roles, requires_grad=True)
    optimizer = torch.optim.LBFGS([w_KD, b_K], max_iter=200, history_size=20, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        told = torch.nn.functional.cross_entropy(x_TD @ w_KD.T + b_K, y_T, reduction="none")
        value = told @ weight_T + decay * w_KD.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    weight_KD = w_KD.detach().numpy().astype(np.float64) / scale_D
    return Head(weight_KD, b_K.detach().numpy() - weight_KD @ mean_D)
