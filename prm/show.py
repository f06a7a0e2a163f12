"""What a run holds, as text: its stages, the rows of a stage, who said what of the labels, or all that is known of one problem
(as text, or as a page whose tokens carry their traces)."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

from prm import config, witnesses
from prm.errors import PrmError
from prm.pipeline import summary
from prm.records import Group, StepScores
from prm.stages import MODELS
from prm.store import Run, write_file


def stages(run: Run) -> Iterator[str]:
    """A line a stage, in the order they run; then a line a trained PRM, with the folder that PRM.load and `prm score` take."""
    for stage in run.stages():
        folder = run.folder(stage)
        yield summary(folder) if folder.path.exists() else f"{stage:<28} not begun"
    for arm in (stage.removeprefix("prm.") for stage in run.stages("prm.") if run.complete(stage)):
        yield f"PRM {arm}: {run.model(arm)}"


def who(run: Run, stage: str | None) -> Iterator[str]:
    """What each independence key said, for one label stage or all. Raises PrmError where the named stage has nothing to tell."""
    for name in [stage] if stage else run.stages("labels."):
        manifest = run.folder(name).manifest()
        if "witnesses" in (manifest or {}):
            yield name
            yield from witnesses.lines(manifest["witnesses"])
            continue
        state = "is not complete" if manifest is None else "tells of no witnesses"
        if stage:
            raise PrmError(f"{name}: {state}; name a stage of labels, or give the `prm run` command again")
        yield f"{name} {state}"


def rows(run: Run, stage: str, problem_id: str | None) -> Iterator[str]:
    """A stage's rows as JSON, a line each."""
    if stage.split(".")[0] in MODELS:
        raise PrmError(f"{stage}: a model, not rows; it lies in {run.folder(stage).path / 'model'}")
    found = problem_id is None
    for row in run.rows(stage):
        if problem_id in (None, getattr(row, "problem_id", None) or getattr(row, "id", None)):
            found = True
            yield json.dumps(config.plain(row), ensure_ascii=False)
    if not found:
        raise PrmError(
            f"{stage}: no row of a problem '{problem_id}'; `prm show {run.path} problems.test` lists problems"
        )


def problem(run: Run, problem_id: str, traces: bool = False, model: str | None = None) -> Iterator[str]:
    """The problem, and each sample's steps with every signal's, label's and PRM's value beside them; with `traces` also the mean of each
    trace over the step's tokens, as `model` (None: the one sampled from) reads them."""
    split, group = _found(run, problem_id)
    scores, means = _scores(run, split, problem_id), {}
    if traces:
        from prm.page import data, reading

        means = data.step_means(data.gather(run, group, scores, reading.plan(run, model, None)))
    yield from _group(group, scores, means)


def page(run: Run, problem_id: str, out: str, model: str | None, roles: str | None) -> Iterator[str]:
    """Writes one problem as an HTML page, its tokens with the traces that `model` (None: the one sampled from) has of them; `roles`: a folder
    of saved roles, or None. Raises PrmError before a model is loaded."""
    from prm.page import data, html, reading

    path = _writable(out)
    split, group = _found(run, problem_id)
    plan = reading.plan(run, model, roles)
    made = html.page(data.gather(run, group, _scores(run, split, problem_id), plan)).encode()
    write_file(path, made)
    yield f"{out}: {len(group.samples)} samples, {len(made) / 1e6:.1f} MB; open it in a browser, no network is needed"


def _writable(out: str) -> Path:
    """The path, its folder made. A model is long to load: what cannot be written is told before."""
    path = Path(out)
    if path.is_dir():
        raise PrmError(f"{out}: is a folder; name a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PrmError(f"{out}: cannot be written ({error.strerror}: {error.filename}); write elsewhere") from None
    if not os.access(path.parent, os.W_OK):
        raise PrmError(f"{out}: {path.parent} may not be written by you; write elsewhere")
    return path


def _found(run: Run, problem_id: str) -> tuple[str, Group]:
    """The problem with its samples, and the split that it is in."""
    for split in (stage.removeprefix("problems.") for stage in run.stages("problems.")):
        for group in run.groups(split):
            if group.problem.id == problem_id:
                return split, group
    raise PrmError(
        f"{run.path}: no problem '{problem_id}' with samples, steps and answers; `prm show {run.path} problems.test` "
        "lists them"
    )


def _scores(run: Run, split: str, problem_id: str) -> dict[str, dict[int, StepScores]]:
    """Short stage name ("signal.majority") -> sample index -> scores."""
    found = {}
    for start in ("signal.", "labels.", "scores."):
        for stage in run.stages(start):
            if stage.endswith(f".{split}"):
                found[stage.removesuffix(f".{split}")] = {
                    r.index: r for r in run.rows(stage) if r.problem_id == problem_id
                }
    return {name: by_index for name, by_index in found.items() if by_index}


def _group(
    group: Group, scores: dict[str, dict[int, StepScores]], means: dict[int, list[dict[str, float | None]]]
) -> Iterator[str]:
    yield f"problem {group.problem.id}"
    yield textwrap.indent(group.problem.text.strip(), "  ")
    for sample, steps, answer in zip(group.samples, group.steps, group.answers):
        said = (
            f"answer {answer.text} (cluster {answer.cluster})" if answer.cluster >= 0 else f"no answer: {answer.reason}"
        )
        yield f"\nsample {sample.index}: {said}"
        if sample.reason:
            yield f"  rejected: {sample.reason}"
        for i, step in enumerate(steps.cut(sample.text)):
            yield textwrap.indent(step.strip(), "  ")
            values = [f"{name} {_value(by_index[sample.index].values[i])}" for name, by_index in scores.items()]
            if values:
                yield "      " + "  ".join(values)
            if means:
                yield "      " + "  ".join(f"{name} {_value(v, 3)}" for name, v in means[sample.index][i].items())


def _value(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
