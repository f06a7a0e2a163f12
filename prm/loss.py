"""The loss: by default weighted soft binary cross-entropy, normalised over everything that one optimizer step sees.

    L = sum_i w_i l(logit_i, value_i) / sum_i w_i      over all steps of all micro-batches of all devices

    bce    BCE(logit, value)                           beliefs are probabilities
    mse    (sigmoid(logit) - value)^2                  regression; gentler on labels that are surely wrong
    huber  the same up to an error of .25, linear beyond it (Huber with delta .25, times 2)
    rank_* Bradley-Terry over the pairs whose values differ, of one window (rank_solution) or of a problem's windows that meet in a
           micro-batch (rank_problem):    l_ij = -log sigmoid(logit_i - logit_j),   w_ij = w_i w_j max(0, value_i - value_j)
           orders steps and leaves their level open: beliefs are scores, not probabilities. Of rank_problem other splits of a batch
           see other pairs.

The denominator is known before the first forward pass, so the gradient is the same for every split of a batch into
accumulation steps. Labels may be wrong where the PRM, as it learns, comes to contradict them; `Dynamic` weighs them anew at every step:

soft    With class c a label's (right: value >= .5), q = sigmoid(+-logit) what the PRM gives that class, progress past the warm-up:

            doubt  d_i = max(0, 1 - 2 q_i) |2 value_i - 1|            0 where it agrees, towards 1 where it is sure of the other class
            w_i <- w_i (1 - (1 - floor) d_i min(1, cap / D_c))       D_c: running mean of d in the class, by weight

        so that on average no class loses more than (1 - floor) cap of its weight. D moves between optimizer steps: splits change nothing.
sprm    MetaStone-S1 as published (arXiv 2507.01951 and its code): a hard filter, balanced by what it keeps. Of the steps with a label,
        whatever its weight, those are kept where logit > 0 and right or logit < 0 and wrong; n_c counts the kept, plus 1 a device:

            w_i = kept_i * (1.5 n_wrong / n if right, n_right / n if wrong),  n = n_right + n_wrong
            L = sum_i w_i BCE(logit_i, class_i) / (sum_i w_i + 1e-5)

        The sums are of one micro-batch, as there (the counts over all devices), and micro-batches are averaged: other splits of a
        batch give other gradients, and only with accumulate=1 is L the whole batch's. In small worlds it dropped 42 % of the steps and once a whole
        class, which a filter that starts with a one-sided head never gets back.

Either way what each class lost is counted, by logged step and by epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LOSSES = ("bce", "mse", "huber", "rank_solution", "rank_problem")
HUBER = 0.25
CLASSES = ("wrong", "right")  # a label's class: value < 0.5, value >= 0.5
TALLY = ("steps", "contradicted", "weight", "doubted", "lost")  # rows of a tally


@dataclass(frozen=True)
class Dynamic:
    """rule: "soft" or "sprm", which has no settings. warmup: share of the optimizer steps before soft weights start. floor: the
    factor on a label that the PRM is sure is wrong. cap: the share of a class's weight that doubt may reach."""

    rule: str = "soft"
    warmup: float = 0.2
    floor: float = 0.1
    cap: float = 0.5

    def __post_init__(self):
        if self.rule not in ("soft", "sprm"):
            raise ValueError(f"rule: {self.rule!r} is neither soft nor sprm; choose one")
        for name in ("warmup", "floor", "cap"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is outside [0, 1]")
            if self.rule == "sprm" and getattr(self, name) != getattr(Dynamic, name):
                raise ValueError(f"{name}: a setting of the rule soft, and sprm has none; leave it out")


def loss_sum(
    kind: str, logits: torch.Tensor, values: torch.Tensor, weights: torch.Tensor, groups: torch.Tensor
) -> torch.Tensor:
    """The numerator, sum of w l; logits, values in [0, 1], weights and groups (only pairs of one group are ranked) all (S,)."""
    import torch
    from torch.nn import functional as F

    if kind.startswith("rank"):
        return (_pairs(values, weights, groups).to(logits) * F.softplus(logits[None, :] - logits[:, None])).sum()
    if kind == "bce":
        losses = F.binary_cross_entropy_with_logits(logits, values, reduction="none")
    elif kind == "mse":
        losses = (torch.sigmoid(logits) - values) ** 2
    else:
        losses = 2 * F.huber_loss(torch.sigmoid(logits), values, reduction="none", delta=HUBER)
    return (losses * weights).sum()


def weight_sum(kind: str, values: torch.Tensor, weights: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """The denominator's part, in float64."""
    return (_pairs(values, weights, groups) if kind.startswith("rank") else weights).double().sum()


def _pairs(values: torch.Tensor, weights: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """w_ij (S, S): how much it counts that step i ranks above step j."""
    gap = (values[:, None] - values[None, :]).clamp(min=0)
    return gap * weights[:, None] * weights[None, :] * (groups[:, None] == groups[None, :])


class Agreement:
    """Weights from how far predictions agree with labels, and the count of what each class lost by it.

    Tallies are (steps, contradicted steps, weight, doubted weight, lost weight) by class. The running doubt starts at 1: before
    anything is known the cap binds most.
    """

    def __init__(self, dynamic: Dynamic):
        import torch

        self.dynamic = dynamic
        self.doubts = torch.ones(2, dtype=torch.float64)
        self.tally = torch.zeros(len(TALLY), 2, dtype=torch.float64)  # this optimizer step's
        self.logged = torch.zeros_like(self.tally)  # since the last log
        self.epochs: list[torch.Tensor] = []

    def factors(
        self, logits: torch.Tensor, values: torch.Tensor, weights: torch.Tensor, progress: float
    ) -> torch.Tensor:
        """What the rule soft multiplies `weights` (S,) by. progress: share of the optimizer steps done."""
        import torch

        right = values >= 0.5
        given = torch.sigmoid(torch.where(right, logits, -logits))
        doubts = (1 - 2 * given).clamp(min=0) * (2 * values - 1).abs()
        factors = torch.ones_like(weights)
        if progress >= self.dynamic.warmup:
            relief = (self.dynamic.cap / self.doubts.clamp(min=1e-9)).clamp(max=1).to(logits)
            factors = 1 - (1 - self.dynamic.floor) * doubts * relief[right.long()]
        self._count(right, weights, doubts, weights * (1 - factors))
        return factors

    def sprm(self, logits: torch.Tensor, values: torch.Tensor, weights: torch.Tensor, reduce) -> torch.Tensor:
        """The rule sprm's loss of one micro-batch. reduce: sums a tensor over devices."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        right, labelled = values >= 0.5, weights > 0
        kept = labelled & torch.where(right, logits > 0, logits < 0)
        n_wrong, n_right = reduce(torch.stack([(kept & ~right).sum() + 1, (kept & right).sum() + 1]).to(logits))
        balance = torch.where(right, 1.5 * n_wrong, n_right) / (n_wrong + n_right) * kept
        dropped = (labelled & ~kept).to(logits)
        self._count(right, labelled.to(logits), dropped, dropped)
        losses = binary_cross_entropy_with_logits(logits, right.to(logits), reduction="none")
        return (losses * balance).sum() / (balance.sum() + 1e-5)

    def _count(self, right: torch.Tensor, weights: torch.Tensor, doubts: torch.Tensor, lost: torch.Tensor) -> None:
        import torch

        steps = weights > 0
        rows = torch.stack([steps, steps & (doubts > 0), weights, weights * doubts, lost]).detach().double().cpu()
        self.tally.index_add_(1, right.long().cpu(), rows)

    def end_step(self, epoch: int, reduce=lambda tensor: tensor) -> None:
        """Folds the optimizer step's tally in. epoch: counts from 0. reduce: sums a tensor over devices."""
        tally = reduce(self.tally)
        weight, doubted = tally[TALLY.index("weight")], tally[TALLY.index("doubted")]
        seen = weight > 0
        self.doubts[seen] = 0.9 * self.doubts[seen] + 0.1 * (doubted / weight.clamp(min=1e-9))[seen]
        while len(self.epochs) <= epoch:
            self.epochs.append(tally.new_zeros(tally.shape))
        self.epochs[epoch] += tally
        self.logged += tally
        self.tally.zero_()

    def log(self) -> dict[str, float]:
        """The share of each class's weight that was lost since the last call, for the history."""
        weight, lost = self.logged[TALLY.index("weight")], self.logged[TALLY.index("lost")]
        shares = (lost / weight.clamp(min=1e-9)).tolist()
        self.logged.zero_()
        return {f"down_{name}": share for name, share in zip(CLASSES, shares)}

    def told(self) -> list[dict[str, dict[str, float]]]:
        """An epoch each: class -> steps, contradicted (the prediction is of the other class), weight, lost (of the weight)."""
        kept = [(i, name) for i, name in enumerate(TALLY) if name != "doubted"]
        return [
            {c: {name: round(float(tally[i, at]), 3) for i, name in kept} for at, c in enumerate(CLASSES)}
            for tally in self.epochs
        ]

    def state(self) -> dict[str, list]:
        """For a checkpoint, as JSON."""
        return {"doubts": self.doubts.tolist(), "epochs": [tally.tolist() for tally in self.epochs]}

    def load(self, state: dict[str, list]) -> None:
        import torch

        self.doubts = torch.tensor(state["doubts"], dtype=torch.float64)
        self.epochs = [torch.tensor(tally, dtype=torch.float64) for tally in state["epochs"]]
