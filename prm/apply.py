"""A trained PRM put to work on a user's file: what `prm score` (scorefile.py) and `prm rerank` share, and `prm rerank`.

What scoring needs beyond the weights (how the training cut steps, read answers and reduced scores) lies beside them in
usage.json, written by the run that trained the PRM; a PRM from elsewhere scores rows that bring their own steps.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prm import answers, config, plugins, store
from prm.errors import PrmError
from prm.jsonl import write_rows
from prm.progress import progress, say
from prm.records import Sample, StepScores
from prm.signals import Context
from prm.solutions import Row, Unread, check_usable, read_pools

BATCH = 256  # solutions handed to the PRM at once; it makes its own batches of tokens


@dataclass(frozen=True)
class Usage:
    """A PRM folder's usage.json; the reduction and segmenter are None where it has none. labels: "given" where step labels
    from outside trained it (`prm train`); separator: what then stood between steps that show no line break (`prm.joining`)."""

    reduce: str | None = None
    segmenter: dict[str, Any] | None = None
    answers: answers.Config = field(default_factory=answers.Config)
    labels: str = ""
    separator: str = ""


SEGMENTER = "segmenter"  # a fitted one's folder inside the PRM's


def rerank_file(path: str, folder: Path, out: str, method: str, reduce: str | None) -> int:
    """Chooses among each row's samples; writes {"problem_id", "choice", "text", "score", "reason", "values", "reasons"} rows.

    reason: "" or why nothing could be chosen, "bad_row: ..." for a row that cannot be used; reasons: the same for each sample that has no
    values. Raises PrmError, before the model is loaded, for a file that cannot be read or has no row that can be used.
    """
    from prm.rerank import rerank

    usage = read_usage(folder)
    reduce = reduction(folder, usage, reduce)
    pools, told = list(read_pools(path, usage)), []
    check_usable(pools)
    scores = _scored(folder, _cut([row for pool in pools if not isinstance(pool, Unread) for row in pool], usage))

    def made():
        for pool in pools:
            if isinstance(pool, Unread):
                told.append(pool.reason)
                yield _unread(pool)
                continue
            mine = [next(scores) for _ in pool]
            clusters = [
                a.cluster for a in answers.read_answers([sample for _, sample, _ in pool], usage.answers, comparer)
            ]
            choice = rerank(method, mine, clusters, reduce)
            reasons = [_reason(sample, row) for (_, sample, _), row in zip(pool, mine)]
            told.extend(reasons)
            yield _chosen(choice, [sample for _, sample, _ in pool], mine, reasons)

    with answers.open_pool(usage.answers) as comparer:
        count = write_rows(out, made())
    _tell(f"{count} problems", out, told)
    return count


def rerank_checked(path: str, out: str) -> int:
    """Chooses by `prm.rerank.checked_vote` without a model: a sample with a false equation or with an answer of another
    form than the question asks for (labelling.CHECKS) has little of a vote. Writes the rows of `rerank_file`."""
    from prm import labelling
    from prm.rerank import rerank

    told, bad = [], []

    def made():
        used = 0
        for given in progress(labelling.try_pool(path), what="checking"):
            if isinstance(given, Unread):
                bad.append(given)
                told.append(given.reason)
                yield _unread(given)
                continue
            problem, samples, cuts = given
            group, used = labelling.CHECKS.group(problem, samples, comparer, cuts), used + 1
            rows = labelling.CHECKS.label([group])
            choice = rerank("checked_vote", rows, [a.cluster for a in group.answers], "min")
            reasons = [sample.reason for sample in group.samples]
            told.extend(reasons)
            yield _chosen(choice, group.samples, rows, reasons)
        if not used:
            check_usable(bad)

    with answers.open_pool(labelling.CHECKS.answers) as comparer:
        count = write_rows(out, made())
    _tell(f"{count} problems", out, told)
    return count


def _chosen(choice, samples: Sequence[Sample], rows: Sequence[StepScores], reasons: list[str]) -> dict[str, Any]:
    return {
        "problem_id": choice.problem_id,
        "choice": choice.index,
        "text": None if choice.index is None else samples[choice.index].text,
        "score": choice.score,
        "reason": choice.reason,
        "values": [list(row.values) for row in rows],
        "reasons": reasons,
    }


def _unread(row: Unread) -> dict[str, Any]:
    none = dict.fromkeys(("choice", "text", "score"))
    return {"problem_id": row.problem_id, **none, "reason": row.reason, "values": [], "reasons": []}


def reduction(folder: Path, usage: Usage, given: str | None) -> str:
    """How the PRM's step scores make one: as given, else as its training said. PrmError where neither says, or it is unknown."""
    from prm.rerank import REDUCE

    reduce = given or usage.reduce
    if reduce is None:
        raise PrmError(
            f"{folder}: does not say how step scores make one score; give --reduce, one of {', '.join(REDUCE)}"
        )
    check_reduction(reduce)
    return reduce


def check_reduction(reduce: str) -> None:
    from prm.rerank import REDUCE

    if reduce not in REDUCE:
        raise PrmError(f"--reduce: '{reduce}' is not known; give one of {', '.join(REDUCE)}")


def segmenter_of(usage: Usage) -> plugins.Plugin | None:
    """What cuts a text as the PRM's training did; None for a PRM that does not say."""
    if usage.segmenter is None:
        return None
    made = plugins.build("segmenters", usage.segmenter, "name", None, "usage.json: segmenter")
    plugins.check(made.module, made.config)
    return made


def read_usage(folder: Path) -> Usage:
    """PrmError where it is damaged, or names a fitted segmenter outside the PRM's folder."""
    path = folder / "usage.json"
    if not path.exists():
        return Usage()
    try:
        usage = config.build(Usage, json.loads(path.read_text()), f"{path}:")
    except ValueError as error:
        raise PrmError(f"{path}: not JSON ({error}); run the recipe again") from None
    if not (usage.segmenter and usage.segmenter.get("path")):
        return usage
    fitted = folder / str(usage.segmenter["path"])
    if folder.resolve() not in fitted.resolve().parents:
        raise PrmError(
            f"{path}: segmenter.path: {usage.segmenter['path']!r} leads outside the PRM's folder; copy the segmenter into it"
        )
    return replace(usage, segmenter={**usage.segmenter, "path": str(fitted)})


def write_usage(folder: Path, usage: dict[str, Any]) -> None:
    """usage.json and a copy of the fitted segmenter it names: a PRM's folder may be taken elsewhere."""
    segmenter = usage.get("segmenter") or {}
    if segmenter.get("path"):
        if not Path(segmenter["path"]).is_dir():
            raise PrmError(f"segmenter.path: {segmenter['path']}: no such folder; give the one that was fitted")
        shutil.copytree(segmenter["path"], folder / SEGMENTER, dirs_exist_ok=True)
        usage = {**usage, "segmenter": {**segmenter, "path": SEGMENTER}}
    store.write_file(folder / "usage.json", json.dumps(usage, indent=2).encode())


def model_folder(path: str | os.PathLike, arm: str | None) -> Path:
    """The PRM's folder: `path` itself, or in a run's folder the PRM of `arm` (which may be left out where there is but one)."""
    path = Path(path)
    if not path.is_dir():
        raise PrmError(f"{path}: no such folder; give a PRM's folder or a run's")
    if not (path / "run.json").exists():
        if arm is not None:
            raise PrmError(f"{path}: --arm goes with a run's folder, and this holds no run.json")
        if not any((path / name).exists() for name in ("prm.json", "usage.json")):
            raise PrmError(f"{path}: neither a PRM's folder (no prm.json) nor a run's (no run.json); give one of these")
        return path
    run = store.Run(path)
    arms = [stage.removeprefix("prm.") for stage in run.stages("prm.")]
    if arm is None and len(arms) == 1:
        (arm,) = arms
    if arm not in arms:
        unknown = f"no PRM '{arm}' here; " if arm is not None else ""
        raise PrmError(f"{path}: {unknown}name one of its PRMs with --arm: {', '.join(arms) or 'it trains none'}")
    if not run.complete(f"prm.{arm}"):
        raise PrmError(f"{path}: the PRM of {arm} is not trained yet; give its `prm run` command again")
    return run.model(arm)


def _cut(rows: list[Row], usage: Usage) -> list[Row]:
    """The rows with the steps that a segmenter finds where they brought none."""
    whole = [(problem, sample) for problem, sample, steps in rows if steps is None]
    if not whole:
        return rows
    segmenter, context = segmenter_of(usage), Context()
    batches = progress(range(0, len(whole), BATCH), what="cutting")
    found = (s for at in batches for s in segmenter.module.cut(whole[at : at + BATCH], segmenter.config, context))
    return [(problem, sample, next(found) if steps is None else steps) for problem, sample, steps in rows]


def _reason(sample: Sample, scores: StepScores) -> str:
    """Why a sample has no values: its own reason, or why it could not be encoded (see `score_samples`)."""
    return sample.reason or (scores.provenance[0] if scores.provenance else "")


def _tell(what: str, out: str, reasons: list[str]) -> None:
    counts = Counter(reason.split(":")[0] for reason in reasons if reason)
    say(
        f"{what} -> {out}" + ("; not scored: " if counts else "") + ", ".join(f"{n} {why}" for why, n in counts.items())
    )


def _scored(folder: Path, rows: list[Row]):
    from prm.model import PRM
    from prm.score import score_samples

    prm = PRM.load(folder)
    for at in progress(range(0, len(rows), BATCH), what="scoring"):
        yield from score_samples(prm, rows[at : at + BATCH], folder.name)
