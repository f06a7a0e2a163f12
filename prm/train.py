"""Training a PRM on labelled steps.

    train(rows, model.Config(), train.Config(), "runs/demo/prm")

`transformers.Trainer` with a plan, a collator and a loss of our own (trainer.py, loss.py). While it runs, checkpoints lie in
`<folder>.checkpoints`; the same call after a kill goes on from the last one. The model is written beside the folder and
renamed into place, so a folder that exists is complete; what lies there is never replaced. history.json in it holds the losses,
what was left out, and what dynamic weights took from each class in each epoch.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prm import config as configs
from prm import model as models
from prm.card import write_card
from prm.encode import Encoded, Window, encode_many
from prm.errors import PrmError
from prm.heldout import split
from prm.progress import progress, say
from prm.records import Problem, Sample, Steps, StepScores
from prm.settings import Config
from prm.settings import check as check_settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHUNK = 4096  # solutions tokenised at once


@dataclass(frozen=True, slots=True)
class Item:
    """A window, the labels of the steps it scores, and whose solution it is. Abstentions carry value 0 and weight 0."""

    window: Window
    values: array
    weights: array
    problem: str = ""


def train(
    rows: Iterable[tuple[Problem, Sample, Steps, StepScores]],
    prm_config: models.Config,
    train_config: Config,
    folder: str | Path,
    seed: int = 0,
    progress: Callable[..., Iterator] = progress,
) -> None:
    """Trains a PRM on labelled solutions and writes it to `folder`; the same inputs and seed give the same weights.

    Does nothing where `folder` holds the PRM of just this call. Raises PrmError where it holds anything else, where nothing can be
    learned (no label has weight), or where the loss is no longer finite. A row that cannot be encoded is left out and counted in
    history.json by reason. progress: as `prm.progress.progress`.
    """
    from transformers import set_seed

    folder = Path(folder)
    _check_folder(folder)
    check_settings(train_config)
    set_seed(seed)
    prm = models.PRM.create(prm_config)
    items, counts = encode_rows(_first_of_each(rows, train_config.per_problem), prm.tokenizer, prm_config, train_config)
    if not items:
        raise PrmError(f"train: no step with a label to learn from ({_told(counts)}); look at the labels' coverage")
    items, held_out = split(items, train_config.evaluation)
    checkpoints = folder.with_name(folder.name + ".checkpoints")
    run = _digest(items + held_out, prm_config, train_config, prm.fingerprint, seed)
    if _holds(folder, run):  # an earlier call finished; only its caller was stopped before it knew
        shutil.rmtree(checkpoints, ignore_errors=True)
        return
    if (
        int(os.environ.get("RANK", 0)) == 0
    ):  # the first of several processes; they wait for each other when the trainer is made
        _claim(checkpoints, run)

    if held_out:
        counts["held_out"] = len(held_out)
    from prm.trainer import fit

    history = fit(prm, items, train_config, checkpoints, seed, progress, held_out)
    if history is None:  # not the first of several processes: that one writes
        return
    _publish(prm, train_config, {"run": run, "counts": dict(counts), **history}, folder)
    shutil.rmtree(checkpoints)
    left_out = {
        name: n for name, n in counts.items() if n and name not in ("solutions", "windows", "labels", "held_out")
    }
    if left_out:
        say(f"train: {counts['solutions']} solutions; of these {_told(left_out)}")


def _first_of_each(rows: Iterable[tuple[Problem, Sample, Steps, StepScores]], limit: int | None) -> Iterator[tuple]:
    """The first `limit` rows of each problem (samples are exchangeable, so any choice of them is as good)."""
    taken: Counter = Counter()
    for row in rows:
        taken[row[0].id] += 1
        if limit is None or taken[row[0].id] <= limit:
            yield row


def encode_rows(
    rows: Iterable[tuple[Problem, Sample, Steps, StepScores]],
    tokenizer: PreTrainedTokenizerBase,
    config: models.Config,
    train_config: Config = Config(),
) -> tuple[list[Item], Counter]:
    """Items with at least one weight above 0, and counts of all that came and of what was left out, by reason."""
    items: list[Item] = []
    counts: Counter = Counter()
    rows = iter(rows)
    while chunk := list(itertools.islice(rows, CHUNK)):
        pairs = [(problem.text, steps.cut(sample.text)) for problem, sample, steps, _ in chunk]
        for (problem, sample, steps, labels), one in zip(chunk, encode_many(pairs, tokenizer, config)):
            if len(labels.values) != len(steps.ends):
                where = f"{sample.problem_id}, sample {sample.index}"
                raise ValueError(f"{where}: {len(labels.values)} labels for {len(steps.ends)} steps")
            counts["solutions"] += 1
            if one.reason:
                counts[one.reason] += 1
            windows = _whole(one, sample, config, train_config.too_long, counts)
            items_of = (_item(window, labels, train_config.wrong_weight, problem.id) for window in windows)
            kept = [item for item in items_of if any(item.weights)]
            if windows and not kept:
                counts["all_abstained"] += 1
            counts["windows"] += len(kept)
            counts["labels"] += sum(weight > 0 for item in kept for weight in item.weights)
            items += kept
    return items, counts


def _whole(one: Encoded, sample: Sample, config: models.Config, too_long: str, counts: Counter) -> list[Window]:
    """The windows without those of steps that lost tokens. PrmError where `too_long` is "fail" and something was lost."""
    if too_long == "fail" and (one.cut or one.reason == "problem_too_long"):
        what = f"step {one.cut[0] + 1}" if one.cut else "the problem"
        raise PrmError(
            f"train: {sample.problem_id}, sample {sample.index}: {what} is too long for prm.max_tokens {config.max_tokens}; "
            "raise that, or leave such steps out with train.too_long: drop"
        )
    counts["steps_too_long"] += len(one.cut)
    return [window for window in one.windows if not set(window.steps) & set(one.cut)]


def _item(window: Window, labels: StepScores, wrong_weight: float, problem: str) -> Item:
    values = array("f", (labels.values[i] or 0.0 for i in window.steps))
    weights = (labels.weights[i] * (1 + (wrong_weight - 1) * (1 - value)) for i, value in zip(window.steps, values))
    return Item(window, values, array("f", weights), problem)


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "no rows"


def _digest(items: list[Item], *parts) -> str:
    """What a checkpoint belongs to: the labels, windows and settings of one run."""
    digest = hashlib.sha256(json.dumps(configs.plain(parts)).encode())
    for item in items:
        digest.update(item.window.ids.tobytes() + item.values.tobytes() + item.weights.tobytes())
        digest.update(repr((item.window.reads, item.problem)).encode())
    return digest.hexdigest()


def _claim(checkpoints: Path, digest: str) -> None:
    """Keeps the checkpoints of an interrupted run of the same digest, removes those of any other."""
    mark = checkpoints / "run"
    if checkpoints.exists() and not (mark.is_file() and mark.read_text() == digest):
        shutil.rmtree(checkpoints)
    checkpoints.mkdir(parents=True, exist_ok=True)
    mark.write_text(digest)


def _check_folder(folder: Path) -> None:
    """PrmError, before anything is loaded, for a folder that holds something else than a finished training."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise PrmError(f"{folder}: is a file; name a folder")
    there = sorted(path.name for path in folder.iterdir())
    if there and not {"prm.json", "history.json"} <= set(there):
        raise PrmError(f"{folder}: holds what no training wrote ({', '.join(there[:3])}); give another folder")


def _holds(folder: Path, run: str) -> bool:
    """Whether the PRM of this very run lies there; PrmError where another's does."""
    history = folder / "history.json"
    if not history.is_file():
        return False
    try:
        made_by = json.loads(history.read_text())["run"]
    except (ValueError, KeyError, TypeError):
        made_by = "unknown"
    if made_by != run:
        raise PrmError(f"{folder}: holds a PRM of other data or settings; remove it, or give another folder")
    return True


def _publish(prm: models.PRM, train_config: Config, history: dict, folder: Path) -> None:
    """Writes the model beside `folder` and renames it into place, which is free or empty: a rename fails where it is neither.

    The name beside it is fixed, so what a kill leaves there is gone after the next call.
    """
    fresh = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    prm.save(fresh)
    (fresh / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    write_card(prm.config, train_config, history, fresh)
    fresh.rename(folder)
