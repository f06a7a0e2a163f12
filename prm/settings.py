"""How a PRM is trained: every option of a recipe's `train` section."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from prm.errors import PrmError
from prm.loss import LOSSES, Dynamic

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
REPORTS = {"trackio": ("trackio",), "tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}


@dataclass(frozen=True)
class Evaluation:
    """held_out: share of the problems, chosen by a hash of their ids, that trains nothing and is evaluated every so many optimizer
    steps and at the end. metric: "loss", or "auroc" of the beliefs against the labels (>= .5, by weight); the weights of the best
    evaluation become the PRM. patience: so many evaluations in a row that are no better end the training; null: none do."""

    held_out: float = 0.05
    every: int = 100
    metric: str = "loss"
    patience: int | None = None

    def __post_init__(self):
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out: {self.held_out} is outside (0, 1); 0.02 to 0.1 are usual")
        if self.every < 1:
            raise ValueError(f"every: {self.every} is not positive")
        if self.metric not in ("loss", "auroc"):
            raise ValueError(f"metric: unknown {self.metric!r}; choose loss or auroc")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience: {self.patience} is not positive; null never stops early")


@dataclass(frozen=True)
class Config:
    """per_problem: train on the first so many solutions of each problem (null: all); labels may still come from more siblings.
    batch: solutions an optimizer step, over all devices (a solution in several windows counts as many). loss: "bce", "mse", "huber",
    "rank_solution" or "rank_problem" (loss.py).

    accumulate: micro-batches a device splits its part of a batch into; changes memory, not the result. siblings: so many solutions of
    one problem come in a batch side by side: a step then sees that many times fewer problems. packed: no padding, and what windows of
    a micro-batch begin with alike, such as siblings their prompt, is computed once (sharing.py); speed changes, not the result (but for
    dropout, drawn once for what is shared). null: where the backbone does that exactly, as causal ones do.

    lr, head_lr: peak rates of the backbone's weights and of the head (null: the same). beta2: AdamW's; 0.95 learns sooner in a few
    hundred steps. warmup: share of the steps. wrong_weight: wrong steps are rare, and this many times as heavy (a label of value v
    weighs 1 + (wrong_weight - 1)(1 - v) times as much); above 1 the PRM ranks sooner and is calibrated worse. dynamic: see loss.Dynamic.
    too_long: what becomes of a step (or problem) that does not fit in prm.max_tokens: "drop" (it trains nothing; counted as
    steps_too_long, problem_too_long) or "fail". bf16: null takes it where the GPU has it. save_every: optimizer steps between
    checkpoints. evaluation: see Evaluation; null: all problems train. report_to: "trackio", "tensorboard", "wandb" or "none".
    """

    per_problem: int | None = None
    epochs: int = 1
    batch: int = 64
    accumulate: int = 1
    siblings: int = 1
    packed: bool | None = None
    loss: str = "bce"
    lr: float = 2e-4
    head_lr: float | None = None
    beta2: float = 0.999
    wrong_weight: float = 1.0
    weight_decay: float = 0.0
    warmup: float = 0.05
    schedule: str = "linear"
    dynamic: Dynamic | None = None
    too_long: str = "drop"
    bf16: bool | None = None
    gradient_checkpointing: bool = False
    save_every: int = 200
    evaluation: Evaluation | None = None
    report_to: str = "none"

    def __post_init__(self):
        for name in ("epochs", "batch", "accumulate", "siblings", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive")
        if self.per_problem is not None and self.per_problem < 1:
            raise ValueError(f"per_problem: {self.per_problem} is not positive; null trains on all solutions")
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate: {self.accumulate} does not divide batch {self.batch}; choose one that does")
        for name in ("lr", "head_lr"):
            if (rate := getattr(self, name)) is not None and rate <= 0:
                raise ValueError(f"{name}: {rate} is not positive; 1e-4 to 1e-3 are usual with LoRA")
        if not 0 <= self.beta2 < 1:
            raise ValueError(f"beta2: {self.beta2} is outside [0, 1); 0.95 to 0.999 are usual")
        if self.dynamic is not None and self.dynamic.rule == "sprm" and self.wrong_weight != 1:
            raise ValueError("wrong_weight: the rule sprm balances the classes itself; set it to 1")
        if self.wrong_weight <= 0:
            raise ValueError(f"wrong_weight: {self.wrong_weight} is not positive; 1 weighs all labels alike")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay: {self.weight_decay} is negative; 0 to 0.1 are usual")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup: {self.warmup} is outside [0, 1); it is a share of the steps, 0.05 is usual")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule: unknown {self.schedule!r}; choose one of {', '.join(SCHEDULES)}")
        if self.too_long not in ("drop", "fail"):
            raise ValueError(f"too_long: {self.too_long!r} is neither drop nor fail; choose one")
        self._check_together()

    def _check_together(self):
        if self.loss not in LOSSES:
            raise ValueError(f"loss: unknown {self.loss!r}; choose one of {', '.join(LOSSES)}")
        if self.loss != "bce" and self.dynamic is not None and self.dynamic.rule == "sprm":
            raise ValueError(f"loss: the rule sprm is made for bce; drop dynamic, or set loss to bce, not {self.loss}")
        if self.loss == "rank_problem" and self.siblings == 1:
            raise ValueError("loss: rank_problem compares siblings; set siblings to 2 or more")
        if self.siblings > self.batch // self.accumulate:
            raise ValueError(
                f"siblings: {self.siblings} are more than the {self.batch // self.accumulate} solutions of a micro-batch"
            )
        if self.report_to != "none" and self.report_to not in REPORTS:
            raise ValueError(f"report_to: unknown {self.report_to!r}; choose one of none, {', '.join(REPORTS)}")


def check(config: Config) -> None:
    """PrmError where a package is missing that the settings need. Loads nothing."""
    packages = REPORTS.get(config.report_to, ())
    if packages and not any(importlib.util.find_spec(package) for package in packages):
        raise PrmError(f"train.report_to: {packages[0]} is not installed; pip install {packages[0]}, or set it to none")
