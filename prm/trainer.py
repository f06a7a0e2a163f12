"""`transformers.Trainer` with our plan of batches, our loss and safe checkpoints."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from prm.collate import pack, pad
from prm.errors import PrmError
from prm.loss import Agreement, bce_sum
from prm.model import PRM, check_finite
from prm.network import packing_gap

if TYPE_CHECKING:
    from prm.train import Config, Item

SCOPE = 16  # batches whose windows are sorted by length together: less padding, batches still mixed


def fit(
    prm: PRM, items: Sequence[Item], config: Config, checkpoints: Path, seed: int, progress: Callable[..., Iterator]
) -> dict[str, list[dict]] | None:
    """Trains prm.network in place, resuming from `checkpoints`.

    Returns the history, None in all processes but the first: "steps", those logged, and with dynamic weights "epochs": what
    each class lost (`Agreement.told`).
    """
    trainer = make_trainer(prm, items, config, checkpoints, seed, progress)
    _check_packing(prm, config)
    last = _last_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    trainer.accelerator.wait_for_everyone()
    if not trainer.is_world_process_zero():
        return None
    told = {"epochs": trainer.agreement.told()} if trainer.agreement else {}
    return {"steps": [entry for entry in trainer.state.log_history if "loss" in entry], **told}


def make_trainer(
    prm: PRM, items: Sequence[Item], config: Config, checkpoints: Path, seed: int, progress: Callable[..., Iterator]
) -> StepTrainer:
    """The trainer with its plan of batches, ready to run."""
    from prm.train import SCHEDULES

    cuda = prm.network.head.weight.device.type == "cuda"
    world = int(os.environ.get("WORLD_SIZE", 1))  # processes, as torchrun and accelerate launch tell them
    batches = plan([len(item.window.ids) for item in items], config, seed, world)
    args = TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=1,  # one item of the plan is one micro-batch
        train_sampling_strategy="sequential",
        gradient_accumulation_steps=config.accumulate,
        num_train_epochs=1,  # the plan holds all epochs
        weight_decay=config.weight_decay,
        learning_rate=config.lr,
        lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=config.warmup,
        bf16=cuda and torch.cuda.is_bf16_supported() if config.bf16 is None else config.bf16,
        gradient_checkpointing=config.gradient_checkpointing,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        remove_unused_columns=False,
        logging_nan_inf_filter=False,
        logging_steps=10 if len(batches) >= 10 * config.accumulate else 1,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        seed=seed,
    )
    args._n_gpu = min(args.n_gpu, 1)  # one process, one GPU; several GPUs take several processes (accelerate launch)
    return StepTrainer(prm, args, Batches(prm, items, batches, config.packed), config, progress)


def plan(lengths: Sequence[int], config: Config, seed: int, world: int = 1) -> list[list[int]]:
    """All micro-batches of all epochs, in order, as indices into `lengths`.

    An epoch is shuffled, sorted by length within scopes of `SCOPE` batches, cut into batches of nearly equal size, and the
    batches shuffled. Each batch is then split among devices and accumulation steps: how changes nothing else.
    """
    parts = config.accumulate * world
    batches = []
    for epoch in range(config.epochs):
        rng = random.Random(f"{seed} {epoch}")
        order = rng.sample(range(len(lengths)), len(lengths))
        scope = SCOPE * config.batch
        order = [
            i
            for start in range(0, len(order), scope)
            for i in sorted(order[start : start + scope], key=lengths.__getitem__)
        ]
        cut = list(_split(order, -(-len(order) // config.batch)))
        batches += rng.sample(cut, len(cut))
    if min(map(len, batches)) < parts:
        least = min(map(len, batches))
        raise PrmError(
            f"train.accumulate: a batch of {least} solutions cannot be split in {parts}; lower it, or raise train.batch"
        )
    return [part for batch in batches for part in _split(batch, parts)]


def _split(order: Sequence[int], parts: int) -> Iterator[list[int]]:
    """`parts` runs whose sizes differ by one at most."""
    for i in range(parts):
        yield list(order[i * len(order) // parts : (i + 1) * len(order) // parts])


class Batches(torch.utils.data.Dataset):
    """The plan as tensors, made when asked for: the network's arguments (collate.py), `values` and `weights` (S,)."""

    def __init__(self, prm: PRM, items: Sequence[Item], plan: list[list[int]], packed: bool):
        self.items, self.plan, self.packed = items, plan, packed
        self.pad_id = prm.tokenizer.pad_token_id or 0
        self.capacity = None if "flash" in prm.config.attention else prm.config.max_tokens

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        items = [self.items[i] for i in self.plan[index]]
        windows = [item.window for item in items]
        batch = pack(windows, self.pad_id, self.capacity) if self.packed else pad(windows, self.pad_id)
        batch["values"] = torch.tensor([value for item in items for value in item.values])
        batch["weights"] = torch.tensor([weight for item in items for weight in item.weights])
        return batch


class StepTrainer(Trainer):
    """Loss over the whole accumulated batch, dynamic weights, a stop at the first loss that is not finite."""

    def __init__(self, prm: PRM, args: TrainingArguments, batches: Batches, config: Config, progress):
        self.settings = config
        self.agreement = Agreement(config.dynamic) if config.dynamic else None
        super().__init__(prm.network, args, train_dataset=batches, data_collator=lambda items: items[0])
        self.remove_callback(PrinterCallback)
        self.add_callback(_Steps(self, progress))

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """AdamW with the head at its own rate."""
        rate = self.settings.lr if self.settings.head_lr is None else self.settings.head_lr
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        groups = [
            {"params": [p for name, p in trained if not name.startswith("head.")]},
            {"params": [p for name, p in trained if name.startswith("head.")], "lr": rate},
        ]
        decay = self.settings.weight_decay
        self.optimizer = torch.optim.AdamW(
            groups, lr=self.settings.lr, betas=(0.9, self.settings.beta2), weight_decay=decay, fused=True
        )
        return self.optimizer

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """The micro-batches of one optimizer step and the sum of their weights over all devices."""
        batches = list(islice(epoch_iterator, num_batches))
        total = sum(batch["weights"].sum(dtype=torch.float64) for batch in batches)
        return batches, self.accelerator.reduce(total.to(device), "sum")

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """This micro-batch's part of the batch's loss; devices average gradients, hence the factor num_processes."""
        values, weights = inputs.pop("values"), inputs.pop("weights")
        logits = model(**inputs)
        if self.agreement and self.agreement.dynamic.rule == "sprm":  # normalised by micro-batch, as published
            over_devices = lambda counts: self.accelerator.reduce(counts, "sum")
            loss = self.agreement.sprm(logits, values, weights, over_devices) / self.settings.accumulate
        else:
            if self.agreement:
                done = self.state.global_step / self.state.max_steps
                weights = weights * self.agreement.factors(logits.detach(), values, weights, done)
            loss = bce_sum(logits, values, weights) / num_items_in_batch.to(logits) * self.accelerator.num_processes
        if not torch.isfinite(loss):
            raise PrmError(
                f"training diverged: the loss is {float(loss.detach())} at step {self.state.global_step + 1} of {self.state.max_steps}, "
                "nothing was saved; lower train.lr or raise train.warmup"
            )
        return (loss, logits) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, **(self.agreement.log() if self.agreement and "loss" in logs else {})}, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Checkpoints hold what is trained and nothing else; weights that are not finite never become one."""
        from safetensors.torch import save_file

        check_finite(self.model)
        if self.args.should_save:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            trained = {
                name: p.detach().cpu().contiguous() for name, p in self.model.named_parameters() if p.requires_grad
            }
            save_file(trained, Path(output_dir) / "model.safetensors")
            if self.agreement:
                (Path(output_dir) / "agreement.json").write_text(json.dumps(self.agreement.state()))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        """Weights by name: frozen ones are not in a checkpoint, and Trainer would report each of them as missing."""
        from safetensors.torch import load_file

        self.model.load_state_dict(load_file(Path(resume_from_checkpoint) / "model.safetensors"), strict=False)
        if self.agreement:
            self.agreement.load(json.loads((Path(resume_from_checkpoint) / "agreement.json").read_text()))


class _Steps(TrainerCallback):
    """After each optimizer step, before a checkpoint: the progress bar, and the dynamic weights' tallies."""

    def __init__(self, trainer: StepTrainer, progress: Callable[..., Iterator]):
        self.trainer, self.progress = trainer, progress

    def on_train_begin(self, args, state, control, **kwargs):
        total = state.max_steps
        self.bar = self.progress(range(state.global_step, total), total, "train", state.global_step)
        next(self.bar, None)

    def on_step_end(self, args, state, control, **kwargs):
        next(self.bar, None)
        if self.trainer.agreement:
            accelerator = self.trainer.accelerator
            epoch = (state.global_step - 1) * self.trainer.settings.epochs // state.max_steps  # all are of one length
            self.trainer.agreement.end_step(
                epoch, lambda tally: accelerator.reduce(tally.to(accelerator.device), "sum").cpu()
            )


def _check_packing(prm: PRM, config: Config) -> None:
    """Packing is trusted only where this very network keeps packed windows apart."""
    if not config.packed:
        return
    try:
        gap = packing_gap(prm.network)
    except TypeError as error:  # a backbone whose forward takes no position_ids
        raise PrmError(f"train.packed: {prm.config.backbone!r} takes no positions; set it to false") from error
    if gap > (1e-3 if prm.config.dtype == "float32" else 5e-2):
        raise PrmError(
            f"train.packed: with {prm.config.backbone!r} solutions in one row see each other (hidden states move by {gap:.0%}); "
            "set it to false"
        )


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole: Trainer writes trainer_state.json last."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1])):
        try:
            json.loads((path / "trainer_state.json").read_text())
            return path
        except (OSError, ValueError):
            continue
    return None
