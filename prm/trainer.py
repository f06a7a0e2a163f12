"""`transformers.Trainer` with our plan of batches, our loss and safe checkpoints; one process or several, FSDP too."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments

from prm import linear, sharing
from prm.errors import PrmError
from prm.heldout import HeldOut
from prm.loss import Agreement, loss_sum, weight_sum
from prm.model import PRM, check_finite
from prm.network import gathered, load_trained
from prm.plan import Batches, plan
from prm.settings import SCHEDULES

if TYPE_CHECKING:
    from prm.settings import Config
    from prm.train import Item


def fit(
    prm: PRM,
    items: Sequence[Item],
    config: Config,
    checkpoints: Path,
    seed: int,
    progress: Callable[..., Iterator],
    held_out: Sequence[Item] = (),
) -> dict | None:
    """Trains prm.network in place, resuming from `checkpoints`; with held-out items, to the weights of the best evaluation.

    Returns the history, None in all processes but the first: "steps", those logged, with dynamic weights "epochs" (what each
    class lost, `Agreement.told`), and with held-out items "evaluations" and "best" (the step).
    """
    trainer = make_trainer(prm, items, config, checkpoints, seed, progress, held_out)
    first = trainer.is_world_process_zero()
    trainer.accelerator.wait_for_everyone()  # the first may still remove another run's checkpoints
    last = _last_checkpoint(checkpoints)
    if not (last and trainer.recall(last)):
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_fsdp_enabled:
        state = gathered(prm.network, wanted=first)
        if first:
            prm.network = PRM.create(prm.config, "cpu").network  # a whole one, where the old one's weights are spread
            prm.network.load_state_dict(state, strict=False)
    if not first:
        return None
    log = trainer.state.log_history
    told = {"steps": [entry for entry in log if "loss" in entry]}
    if trainer.agreement:
        told["epochs"] = trainer.agreement.told()
    if held_out:
        trainer.held_out.restore(prm.network)
        told |= {"evaluations": [entry for entry in log if "eval_loss" in entry], "best": trainer.held_out.best_step}
    return told


def make_trainer(
    prm: PRM,
    items: Sequence[Item],
    config: Config,
    checkpoints: Path,
    seed: int,
    progress: Callable[..., Iterator],
    held_out: Sequence[Item] = (),
) -> StepTrainer:
    """The trainer with its plan of batches, ready to run."""
    cuda = prm.network.device.type == "cuda"
    world = int(os.environ.get("WORLD_SIZE", 1))  # processes, as torchrun and accelerate launch tell them
    problems = [item.problem for item in items]
    micro = plan([len(item.window.ids) for item in items], config, seed, world, problems)
    batches = Batches(prm, items, micro, config, packs(prm, config))
    steps = len(batches) // (config.accumulate * world)
    args = TrainingArguments(
        output_dir=str(checkpoints),
        run_name=checkpoints.with_suffix("").name,
        project="prm",
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
        ddp_find_unused_parameters=prm.config.head == "sprm_mlp",  # the last layer's
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        remove_unused_columns=False,
        logging_nan_inf_filter=False,
        # A checkpoint does not hold the losses since the last log: logged where it is saved, they outlive a kill.
        logging_steps=math.gcd(10, config.save_every) if steps >= 10 else 1,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        report_to="none" if config.report_to == "tensorboard" else config.report_to,
        disable_tqdm=True,
        log_level="error",
        seed=seed,
    )
    args._n_gpu = min(args.n_gpu, 1)  # one process, one GPU; several GPUs take several processes (accelerate launch)
    if not cuda:
        args._setup_devices = torch.device("cpu")  # several processes have "cpu:0", which torch.load does not know
    trainer = StepTrainer(prm, args, batches, config, progress)
    if held_out:
        trainer.held_out = HeldOut(trainer, prm, held_out, config, checkpoints / "best.safetensors")
    if config.report_to == "tensorboard":
        trainer.add_callback(_tensorboard(checkpoints.with_suffix(".logs")))
    return trainer


class StepTrainer(Trainer):
    """Loss over the whole accumulated batch, dynamic weights, a stop at the first loss that is not finite."""

    def __init__(self, prm: PRM, args: TrainingArguments, batches: Batches, config: Config, progress):
        self.settings = config
        self.agreement = Agreement(config.dynamic) if config.dynamic else None
        self.held_out: HeldOut | None = None
        super().__init__(prm.network, args, train_dataset=batches, data_collator=lambda items: items[0])
        self.remove_callback(PrinterCallback)
        self.add_callback(_Steps(self, progress))
        if self.is_fsdp_enabled and self.accelerator.state.fsdp_plugin.fsdp_version != 2:
            raise PrmError("accelerate: FSDP of version 1 is not supported; launch with --fsdp_version 2")

    def train(self, *args, **options):
        with sharing.attending(self.model) if self.train_dataset.packed else nullcontext():
            return super().train(*args, **options)

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
        """The micro-batches of one optimizer step and the loss's denominator over all devices."""
        batches = list(islice(epoch_iterator, num_batches))
        labels = ([batch[name] for name in ("values", "weights", "groups")] for batch in batches)
        total = sum(weight_sum(self.settings.loss, *of) for of in labels)
        return batches, self.accelerator.reduce(total.to(device), "sum")

    def training_step(self, *args, **options) -> torch.Tensor:
        if self.settings.gradient_checkpointing:  # what runs again in the backward pass would run otherwise
            return super().training_step(*args, **options)
        with linear.fast():
            return super().training_step(*args, **options)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """This micro-batch's part of the batch's loss; devices average gradients, hence the factor num_processes."""
        inputs = dict(inputs)
        values, weights, groups = (inputs.pop(name) for name in ("values", "weights", "groups"))
        logits = model(**inputs)
        if self.agreement and self.agreement.dynamic.rule == "sprm":  # normalised by micro-batch, as published
            over_devices = lambda counts: self.accelerator.reduce(counts, "sum")
            loss = self.agreement.sprm(logits, values, weights, over_devices) / self.settings.accumulate
        else:
            if self.agreement:
                done = self.state.global_step / self.state.max_steps
                weights = weights * self.agreement.factors(logits.detach(), values, weights, done)
            total = num_items_in_batch.to(logits).clamp(min=1e-9)  # 0 where no pair can be ranked
            loss = loss_sum(self.settings.loss, logits, values, weights, groups) / total
            loss = loss * self.accelerator.num_processes
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
        state = gathered(self.model, wanted=self.args.should_save)
        if self.args.should_save:
            folder = Path(output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save_file(state, folder / "model.safetensors")
            for name, part in self._parts().items():
                (folder / f"{name}.json").write_text(json.dumps(part.state()))

    def _parts(self) -> dict:
        """What has a state of its own beside the weights and the optimizer."""
        parts = {"agreement": self.agreement, "held_out": self.held_out}
        return {name: part for name, part in parts.items() if part}

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        """Weights by name: frozen ones are not in a checkpoint, and Trainer would report each of them as missing."""
        from safetensors.torch import load_file

        folder = Path(resume_from_checkpoint)
        load_trained(self.model, load_file(folder / "model.safetensors"))
        self._load_parts(folder)

    def _load_parts(self, folder: Path) -> None:
        for name, part in self._parts().items():
            part.load(json.loads((folder / f"{name}.json").read_text()))

    def recall(self, checkpoint: Path) -> bool:
        """Whether the training had stopped early there: then its history and what was kept are loaded, and nothing is left to do."""
        if self.held_out is None:
            return False
        self._load_parts(checkpoint)
        if self.held_out.stopped:
            self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        return self.held_out.stopped


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
        log = control.should_log  # an evaluation's log would take this step's loss for told
        if self.trainer.held_out and self.trainer.held_out.end_step(state.global_step, state.max_steps):
            control.should_training_stop = True
        control.should_log = log


def packs(prm: PRM, config: Config) -> bool:
    """Whether windows are packed: as told, or where this very network does it exactly. PrmError where it is told to and cannot."""
    if config.packed is False:
        return False
    exact = sharing.exact(prm.network, prm.config.max_tokens)
    if config.packed and not exact:
        raise PrmError(
            f"train.packed: {prm.config.backbone!r} cannot be packed exactly: it is an encoder, has layers that see fewer than "
            f"prm.max_tokens ({prm.config.max_tokens}) tokens, or attention of its own kind; set it to false"
        )
    return exact


def _tensorboard(folder: Path) -> TrainerCallback:
    """Into a folder that stays: checkpoints are removed at the end."""
    from transformers.integrations import TensorBoardCallback

    callback = TensorBoardCallback()
    callback.logging_dir = str(folder)
    return callback


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole: Trainer writes trainer_state.json last."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1])):
        try:
            json.loads((path / "trainer_state.json").read_text())
            return path
        except (OSError, ValueError):
            continue
    return None
