"""The loss: weighted soft binary cross-entropy, normalised over everything that one optimizer step sees.

    L = sum_i w_i BCE(logit_i, value_i) / sum_i w_i      over all steps of all micro-batches of all devices

The denominator is known before the first forward pass, so the gradient is the same for every split of a batch into
accumulation steps. `Dynamic` is SPRM's dynamic weighting (MetaStone-S1) made soft: a step whose own prediction disagrees
with its label counts less, as such a label is often wrong. SPRM's hard filter is floor=0, warmup=0, cap=1; in small worlds it
dropped 42 % of the steps, once a whole class, hence warm-up, floor and cap, and the log of what each class lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CLASSES = ("wrong", "right")  # a label's class: value < 0.5, value >= 0.5


@dataclass(frozen=True)
class Dynamic:
    """warmup: share of the optimizer steps before it starts. floor: the factor on a label that the prediction contradicts.

    cap: where more than this share of a class's weight is contradicted (running mean), the factor rises towards 1 so that
    no class loses more than cap * (1 - floor) of its weight.
    """

    warmup: float = 0.2
    floor: float = 0.1
    cap: float = 0.5

    def __post_init__(self):
        for name in ("warmup", "floor", "cap"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is outside [0, 1]")


def bce_sum(logits: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """sum_i w_i BCE(logit_i, value_i); logits, values in [0, 1] and weights all (S,)."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return (binary_cross_entropy_with_logits(logits, values, reduction="none") * weights).sum()


class Agreement:
    """The running share of each class's weight that predictions contradict, and the factors made from it.

    Shares move only between optimizer steps, so factors do not depend on how a batch is split. They start at 1: before
    anything is known the cap binds most.
    """

    def __init__(self, dynamic: Dynamic):
        import torch

        self.dynamic = dynamic
        self.shares = torch.ones(2, dtype=torch.float64)
        self.tally = torch.zeros(
            3, 2, dtype=torch.float64
        )  # this optimizer step's weight a class: all, contradicted, lost
        self.lost = torch.zeros(2, 2, dtype=torch.float64)  # since the last log: all, lost

    def factors(
        self, logits: torch.Tensor, values: torch.Tensor, weights: torch.Tensor, progress: float
    ) -> torch.Tensor:
        """What to multiply `weights` (S,) by. progress: share of the optimizer steps done."""
        import torch

        classes = (values >= 0.5).long()
        contradicted = ((logits > 0) != (values >= 0.5)) & (values != 0.5)
        relief = (self.dynamic.cap / self.shares.clamp(min=1e-9)).clamp(max=1).to(logits)
        factors = torch.ones_like(weights)
        if progress >= self.dynamic.warmup:
            factors = torch.where(contradicted, 1 - (1 - self.dynamic.floor) * relief[classes], factors)
        masses = torch.stack([weights, weights * contradicted, weights * (1 - factors)]).double().cpu()
        self.tally.index_add_(1, classes.cpu(), masses)
        return factors

    def end_step(self, reduce=lambda tensor: tensor) -> None:
        """Folds the optimizer step's tally in. reduce: sums a tensor over devices."""
        total, contradicted, lost = reduce(self.tally)
        seen = total > 0
        self.shares[seen] = 0.9 * self.shares[seen] + 0.1 * (contradicted / total.clamp(min=1e-9))[seen]
        self.lost[0] += total
        self.lost[1] += lost
        self.tally.zero_()

    def log(self) -> dict[str, float]:
        """The share of each class's weight that was lost since the last call, for the history."""
        shares = (self.lost[1] / self.lost[0].clamp(min=1e-9)).tolist()
        self.lost.zero_()
        return {f"down_{name}": share for name, share in zip(CLASSES, shares)}
