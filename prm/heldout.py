"""Evaluation while a PRM trains, on problems that train nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prm.errors import PrmError
from prm.loss import loss_sum, weight_sum

if TYPE_CHECKING:
    from prm.model import PRM
    from prm.network import Network
    from prm.settings import Config, Evaluation
    from prm.train import Item
    from prm.trainer import StepTrainer


def split(items: list[Item], evaluation: Evaluation | None) -> tuple[list[Item], list[Item]]:
    """The items that train, and those held out: whole problems, by a hash of their ids alone, so more data moves none."""
    if evaluation is None:
        return items, []
    out = [_uniform(item.problem) < evaluation.held_out for item in items]
    parts = tuple([item for item, is_out in zip(items, out) if is_out == want] for want in (False, True))
    if not all(parts):
        found, way = ("all", "lower") if parts[1] else ("none", "raise")
        raise PrmError(
            f"train.evaluation.held_out: {evaluation.held_out} of the problems are {found} here; {way} it, give more problems, "
            "or train on all of them with train.evaluation=null"
        )
    classes = {value >= 0.5 for item in parts[1] for value, weight in zip(item.values, item.weights) if weight > 0}
    if evaluation.metric == "auroc" and len(classes) < 2:
        raise PrmError("train.evaluation.metric: auroc, but the held-out labels are all of one class; raise held_out")
    return parts


def _uniform(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


class HeldOut:
    """Evaluates a trainer's network on held-out items, keeps the best weights in a file, and says when to stop.

    Every process evaluates everything, so all of them decide alike.
    """

    def __init__(self, trainer: StepTrainer, prm: PRM, items: Sequence[Item], config: Config, file: Path):
        from prm.plan import Batches

        self.trainer, self.config, self.file = trainer, config, file
        size = config.batch // config.accumulate
        together = config.siblings > 1 or config.loss == "rank_problem"
        order = sorted(
            range(len(items)), key=lambda i: (items[i].problem if together else "", len(items[i].window.ids))
        )
        plan = [order[start : start + size] for start in range(0, len(order), size)]
        self.batches = Batches(prm, items, plan, config, trainer.train_dataset.packed)
        self.best, self.best_step, self.since = None, None, 0

    def end_step(self, step: int, last: int) -> bool:
        """Evaluates if it is time; True where training should stop."""
        evaluation = self.config.evaluation
        if step % evaluation.every and step != last:
            return False
        found = self.measure()
        self.trainer.log(found)
        value = found["eval_loss"] if evaluation.metric == "loss" else -found["eval_auroc"]
        if self.best is None or value < self.best:
            self.best, self.best_step, self.since = value, step, 0
            self._keep()
        else:
            self.since += 1
        return self.stopped

    @property
    def stopped(self) -> bool:
        """Whether so many evaluations in a row were no better that training ends."""
        patience = self.config.evaluation.patience
        return patience is not None and self.since >= patience

    def measure(self) -> dict[str, float]:
        """eval_loss: the training's loss without dynamic weights; eval_auroc: where the labels have both classes."""
        import torch
        from accelerate.utils import send_to_device
        from sklearn.metrics import roc_auc_score

        from prm import linear

        trainer, kind = self.trainer, self.config.loss
        model, parts = trainer.model_wrapped, []
        model.eval()
        top, bottom = 0.0, 0.0
        for batch in (self.batches[i] for i in range(len(self.batches))):
            batch = send_to_device(batch, trainer.args.device)
            labels = [batch.pop(name) for name in ("values", "weights", "groups")]
            with torch.no_grad(), trainer.compute_loss_context_manager(), linear.fast():
                logits = model(**batch)
            top += float(loss_sum(kind, logits, *labels))
            bottom += float(weight_sum(kind, *labels))
            parts.append(torch.stack([logits, *labels[:2]]).double().cpu())
        model.train()
        logits, values, weights = torch.cat(parts, dim=1)
        found = {"eval_loss": top / max(bottom, 1e-9)}
        right, seen = values >= 0.5, weights > 0
        if right[seen].any() and not right[seen].all():
            found["eval_auroc"] = float(roc_auc_score(right[seen], logits[seen], sample_weight=weights[seen]))
        return found

    def _keep(self) -> None:
        from safetensors.torch import save_file

        from prm.network import gathered

        first = self.trainer.args.should_save
        state = gathered(self.trainer.model, wanted=first)
        if first:
            fresh = self.file.with_suffix(".tmp")
            save_file(state, fresh)
            fresh.rename(self.file)

    def restore(self, network: Network) -> None:
        """The best weights, into a network that is whole."""
        from safetensors.torch import load_file

        from prm.network import load_trained

        load_trained(network, load_file(self.file))

    def state(self) -> dict:
        """For a checkpoint, as JSON."""
        return {"best": self.best, "best_step": self.best_step, "since": self.since}

    def load(self, state: dict) -> None:
        self.best, self.best_step, self.since = state["best"], state["best_step"], state["since"]
