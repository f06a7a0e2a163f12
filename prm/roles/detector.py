"""The live mode: from the hidden states of a stream, one token at a time, to the role of the segment it stands in.

Two linear maps of the states h_t, both taught by the offline segments and their roles alone. One tells whether a segment starts at token t,

    s_t = sigmoid(a . h_{t-1} + b . h_t + c),

the other which role the states since then have: its logits at their mean, the start being forgotten only as far as it is believed in,

    z_t = (1 - s_t) z_{t-1} + W h_t + d,     n_t = (1 - s_t) n_{t-1} + 1,     p_t = softmax(z_t / n_t).

The logits are linear, so their running mean is the logits of the running mean, at which the map was trained; a segment's whole mean is its centre.
Hysteresis: the mode switches when another role leads the current one by more than `margin` in z / n. The state is K + 3 numbers a stream, however long.
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
    """margin: nats by which another role must lead before the mode switches. tokens: that it is trained on, at most; a random part of more. decay: L2
    penalty of the weights of standardised states."""

    margin: float = 0.5
    tokens: int = 30_000
    decay: float = 1e-3

    def __post_init__(self):
        if self.margin < 0 or self.decay < 0:
            raise ValueError("margin, decay: must not be below 0")
        if self.tokens < 1:
            raise ValueError(f"tokens: {self.tokens} is not positive; 30000 is usual")


@dataclass(frozen=True, slots=True)
class Mode:
    """role: the one the stream is in. confidence: its probability, in [0, 1]. switched: whether it began at this token (a stream's first token begins one)."""

    role: int
    confidence: float
    switched: bool


@dataclass(frozen=True, eq=False)
class Head:
    """weight_KD, bias_K: W and d above. start_2D: a and b. start_bias_1: c."""

    weight_KD: np.ndarray
    bias_K: np.ndarray
    start_2D: np.ndarray
    start_bias_1: np.ndarray


class Detector:
    """R streams side by side, all at their own places; `push` is for one stream. Each begins with the first state it is given."""

    def __init__(self, head: Head, margin: float, device: str = "cpu"):
        import numpy as np
        import torch

        # One product gives it all: the logits, a 1 that counts the tokens, -(b . h + c), and -(a . h) for the token after.
        self._roles = len(head.bias_K)
        rows = np.concatenate([head.weight_KD, np.zeros((1, head.weight_KD.shape[1])), -head.start_2D[::-1]])
        shift = np.concatenate([head.bias_K, [1.0], -head.start_bias_1, [0.0]])
        self._weight = torch.tensor(rows.T, dtype=torch.float32, device=device).contiguous()
        self._shift = torch.tensor(shift, dtype=torch.float32, device=device)
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
        return self._advance(self._seen(hidden_RD))

    def _seen(self, hidden: torch.Tensor) -> torch.Tensor:
        """(N, K + 3) of (N, D)"""
        import torch

        return torch.addmm(self._shift, hidden.detach().float(), self._weight)

    def _advance(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        import torch

        k = self._roles
        if first := self._role_R1 is None:
            self._sums = seen[:, : k + 1]
        else:
            kept_R1 = torch.sigmoid(seen[:, k + 1 : k + 2] + self._before_R1)
            self._sums = torch.addcmul(seen[:, : k + 1], self._sums, kept_R1)
        self._before_R1 = seen[:, k + 2 :]
        mean_RK = self._sums[:, :k] / self._sums[:, k:]
        most_R1, best_R1 = mean_RK.max(1, keepdim=True)
        if first:
            self._role_R1, switched_R1 = best_R1, torch.ones_like(best_R1, dtype=torch.bool)
        else:
            switched_R1 = most_R1 - mean_RK.gather(1, self._role_R1) > self._margin
            self._role_R1 = torch.where(switched_R1, best_R1, self._role_R1)
        confidence_R1 = mean_RK.softmax(1).gather(1, self._role_R1)
        return self._role_R1[:, 0], confidence_R1[:, 0], switched_R1[:, 0]

    def detect(self, streams: Sequence[torch.Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Whole streams (T, D), from their first token: of each (role (T,) int, confidence (T,) float32), as `push` gives them one by one."""
        import numpy as np
        import torch

        lengths = [len(stream) for stream in streams]
        if not sum(lengths):
            return [(np.empty(0, int), np.empty(0, np.float32)) for _ in streams]
        seen_RTX = torch.nn.utils.rnn.pad_sequence([self._seen(stream) for stream in streams], batch_first=True)
        self.reset()
        made = [self._advance(seen) for seen in seen_RTX.unbind(1)]
        role_RT, confidence_RT = (torch.stack([told[i] for told in made], 1).cpu().numpy() for i in range(2))
        return [(role_RT[r, :n], confidence_RT[r, :n]) for r, n in enumerate(lengths)]


def train(
    hidden_TD: np.ndarray, segment_T: np.ndarray, opens_T: np.ndarray, role_N: np.ndarray, roles: int, decay: float
) -> Head:
    """The head for tokens one text after another. segment_T: each token's segment, ascending. opens_T: bool, a text's first token, where no start is to be
    told. role_N: of the segments.

    The role is learned at the mean of its segment's states so far, a token weighing by its place, 1/n at the first of n and 1 at the last: at the end
    it is to agree with what is said of the whole.
    """
    import numpy as np

    first_T = np.diff(segment_T, prepend=-1) > 0
    mean_TD, place_T = running_means(hidden_TD, first_T)
    weight_KD, bias_K = regression(mean_TD, role_N[segment_T], place_T, roles, decay)
    inner = np.flatnonzero(~opens_T)
    pairs = np.concatenate([hidden_TD[inner - 1], hidden_TD[inner]], 1)
    starts, shift = regression(pairs, first_T[inner].astype(int), np.ones(len(pairs)), 2, decay)
    return Head(weight_KD, bias_K, (starts[1] - starts[0]).reshape(2, -1), shift[1:] - shift[:1])


def running_means(hidden_TD: np.ndarray, first_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean of the segment's states up to each token (T, D) float32, place of the token in it (T,), from 1/n to 1)."""
    import numpy as np

    starts = np.flatnonzero(first_T)
    segment_T = np.cumsum(first_T) - 1
    sums = np.concatenate([np.zeros((1, hidden_TD.shape[1])), hidden_TD.cumsum(0, dtype=np.float64)])
    nth_T = np.arange(len(hidden_TD)) - starts[segment_T] + 1
    mean_TD = (sums[1:] - sums[starts[segment_T]]) / nth_T[:, None]
    return mean_TD.astype(np.float32), nth_T / np.bincount(segment_T)[segment_T]


def regression(x_ND: np.ndarray, y_N: np.ndarray, weight_N: np.ndarray, kinds: int, decay: float):
    """Multinomial logistic regression on standardised inputs, by L-BFGS from zero: the same data gives the same (weights (K, D), biases (K,)), which
    take the inputs as they are."""
    import numpy as np
    import torch

    mean_D, scale_D = x_ND.mean(0, dtype=np.float64), x_ND.std(0, dtype=np.float64)
    scale_D = np.where(scale_D > 1e-6 * max(scale_D.max(), 1e-12), scale_D, 1.0)
    x = torch.tensor((x_ND - mean_D) / scale_D, dtype=torch.float32)
    y, weight = torch.tensor(y_N), torch.tensor(weight_N / weight_N.sum(), dtype=torch.float32)
    w_KD = torch.zeros(kinds, x.shape[1], requires_grad=True)
    b_K = torch.zeros(kinds, requires_grad=True)
    optimizer = torch.optim.LBFGS([w_KD, b_K], max_iter=100, history_size=20, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        told = torch.nn.functional.cross_entropy(x @ w_KD.T + b_K, y, reduction="none")
        value = told @ weight + decay * w_KD.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    made_KD = w_KD.detach().numpy().astype(np.float64) / scale_D
    return made_KD, b_K.detach().numpy() - made_KD @ mean_D
