"""Step labels for samples that a user already has: `prm label`. No model, no gold, one problem in memory at a time.

    {"problem" or "question": text, "samples": [{"text"} or {"steps": [text, ...]} or {"blocks": [{"role", "content"}]}]}
    -> {"problem_id", "problem", "sample", "steps", "values", "weights"}      one row a sample

A text goes first. Steps are labelled as they are given and keep their line breaks: joined they are the text. Blocks are
the turns of a sample that used a tool: its role "code" is Python, "execution" what it printed, any other prose. A sample
that cannot be used (no text) is a row with a `reason` and without steps. What it does is `recipes/label.yaml`, or a
recipe given.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from prm import answers, config, labels, plugins, recipefile
from prm.errors import PrmError
from prm.jsonl import try_rows, write_rows
from prm.plugins import Plugin
from prm.progress import progress, say
from prm.recipe import Arm
from prm.records import Group, Problem, Sample, Steps, StepScores
from prm.signals import Context
from prm.solutions import Unread, pool_of

Cuts = Mapping[int, Steps]  # by the sample's index
Given = tuple[Problem, tuple[Sample, ...], Cuts]


@dataclass(frozen=True)
class Labeller:
    """A label recipe. segmenter: {name: ..., its config}; signals: name -> {signal: file's name if another, its
    config}; trust: per signal, 1 where it says nothing; threshold: a step with a label at or under it is called wrong
    (only evaluations use it); needs: signals of which one must speak of a step for it to have a label."""

    segmenter: dict[str, Any] = field(default_factory=lambda: {"name": "delimiter"})
    answers: answers.Config = field(default_factory=answers.Config)
    signals: dict[str, dict[str, Any]] = field(default_factory=lambda: {"pairwise": {}})
    trust: dict[str, float] = field(default_factory=dict)
    labels: labels.Config = field(default_factory=labels.Config)
    threshold: float = 0.5
    needs: tuple[str, ...] = ()

    def __post_init__(self):
        if not self.signals:
            raise ValueError("signals: empty; name at least one, such as pairwise")
        if self.labels.reliability != "trust":
            raise ValueError(
                "labels.reliability: a pool is labelled problem by problem, by the recipe's trust; set it to trust"
            )
        for name, trust in self.trust.items():
            if trust < 0:
                raise ValueError(f"trust.{name}: {trust} is negative; leave the signal out instead")
        for key, names in (("trust", self.trust.keys()), ("needs", self.needs)):
            if unknown := set(names) - self.signals.keys():
                raise ValueError(
                    f"{key}: {', '.join(sorted(unknown))} is not among the signals; name one of {', '.join(self.signals)}"
                )

    @cached_property
    def _context(self) -> Context:
        return Context()  # a segmenter may keep a model

    def cutter(self, file: str = "") -> Plugin:
        """The segmenter. file: what an error begins with."""
        return plugins.build("segmenters", self.segmenter, "name", "delimiter", f"{file}segmenter")

    def signal(self, name: str, file: str = "") -> Plugin:
        """The signal that the recipe calls `name`."""
        return plugins.build("signals", self.signals[name], "signal", name, f"{file}signals.{name}")

    def group(
        self, problem: Problem, samples: tuple[Sample, ...], pool: answers.Comparer, given: Cuts | None = None
    ) -> Group:
        """One problem's samples with their steps and answers. given: the steps of samples that brought theirs."""
        cutter, known = self.cutter(), dict(given or {})
        missing = [(problem, s) for s in samples if s.index not in known]
        known |= {cut.index: cut for cut in cutter.module.cut(missing, cutter.config, self._context)}
        steps = tuple(known[s.index] for s in samples)
        return Group(problem, samples, steps, tuple(answers.read_answers(samples, self.answers, pool)))

    def groups(self, pool: str | os.PathLike, comparer: answers.Comparer) -> Iterator[Group]:
        """The problems of the file `pool`, one at a time."""
        return (self.group(problem, samples, comparer, given) for problem, samples, given in _rows(pool))

    def label(self, groups: list[Group]) -> list[StepScores]:
        """The labels of every sample, in the groups' order. Raises PrmError for a signal that needs more than texts."""
        made = {name: self.signal(name) for name in self.signals}
        for name, plugin in made.items():
            if not getattr(plugin.module, "TEXT_ONLY", False):
                raise PrmError(
                    f"signals.{name}: needs a model or references, and a pool has only texts; take majority or pairwise"
                )
        by_signal = {name: plugin.module.label(groups, plugin.config, None) for name, plugin in made.items()}
        trust = {name: self.trust.get(name, 1.0) for name in by_signal}
        return [
            labels.combine(dict(zip(by_signal, rows)), trust, self.labels, "label", needs=self.needs)
            for rows in zip(*by_signal.values())
        ]


# What tells a wrong sample without asking the others: evidence that owes the vote nothing (`prm rerank --method checked-vote`).
CHECKS = Labeller(signals={"calculator": {}, "asked": {}})


def load(recipe: str | os.PathLike | None = None) -> Labeller:
    """A label recipe from its file; of a whole recipe (one with `problems`) the segmenter, answers and the first arm
    made of texts alone."""
    path = Path(recipe) if recipe is not None else recipefile.shipped("label.yaml")
    mapping = recipefile.read(path, (), unfilled=("problems", "references", "engine", "prm"))
    where = f"{path}:"
    made = _of_run_recipe(mapping, where) if "problems" in mapping else config.build(Labeller, mapping, where)
    made.cutter(f"{path}: ")
    for name in made.signals:
        made.signal(name, f"{path}: ")
    return made


def label_pool(
    pool: str | os.PathLike, out: str | os.PathLike, recipe: str | os.PathLike | None = None
) -> dict[str, int]:
    """Labels the samples of the file `pool` into the file `out`, which appears only when whole.

    Returns counts: "problems", "problems_of_one_sample", "steps CLASS" by class of label (prm.labels.counts) and
    "samples REASON" of those left out. Raises PrmError that names the row for input that cannot be read.
    """
    labeller, tally = load(recipe), Counter()
    with answers.open_pool(labeller.answers) as comparer:
        written = write_rows(out, _labelled(pool, labeller, comparer, tally))
    say(
        f"{written} samples of {tally['problems']} problems -> {out}: "
        + ", ".join(f"{n} {what}" for what, n in sorted(tally.items()) if n and what.startswith(("steps ", "samples ")))
    )
    if tally["problems_of_one_sample"]:
        say(
            f"{tally['problems_of_one_sample']} problems have a single usable sample: "
            "nothing to compare it with, at most its arithmetic is checked; draw more samples"
        )
    return dict(tally)


def read_pool(pool: str | os.PathLike, config: answers.Config | None = None) -> list[Group]:
    """All problems of a pool with steps and answers, as the default label recipe cuts them; config: how answers are
    read if otherwise."""
    labeller = load()
    labeller = labeller if config is None else replace(labeller, answers=config)
    with answers.open_pool(labeller.answers) as comparer:
        return list(labeller.groups(pool, comparer))


def problems(pool: str | os.PathLike) -> Iterator[tuple[Problem, tuple[Sample, ...]]]:
    """Each row's problem and samples. Raises PrmError that names the row for one that cannot be used."""
    return ((problem, samples) for problem, samples, _ in _rows(pool))


def _rows(pool: str | os.PathLike) -> Iterator[Given]:
    for given in try_pool(pool):
        if isinstance(given, Unread):
            raise given.error
        yield given


def try_pool(pool: str | os.PathLike) -> Iterator[Given | Unread]:
    """As `problems`, with the steps of the samples that bring theirs, and rows that cannot be used among the others."""
    seen: dict[str, str] = {}
    for number, row in try_rows(pool):
        where = f"{pool} row {number}"
        try:
            problem, given = pool_of(row, where)
            if (at := seen.setdefault(id := problem.id, where)) != where:
                raise PrmError(f"{where}: the problem '{id}' stands in {at} too; put all its samples in one row")
        except PrmError as error:
            yield Unread.of(row, str(pool), number, error)
            continue
        samples = tuple(_sample(id, i, one) for i, one in enumerate(given))
        told = {s.index: _given_steps(one) for s, one in zip(samples, given) if not s.reason}
        cuts = {i: Steps(id, i, tuple(accumulate(map(len, steps)))) for i, steps in told.items() if steps}
        yield problem, samples, cuts


def _sample(id: str, index: int, given: Any) -> Sample:
    text = given if isinstance(given, str) else given.get("text") if isinstance(given, Mapping) else None
    if text is None and isinstance(given, Mapping):
        text = "".join(_given_steps(given)) or _joined(given.get("blocks"))
    if not isinstance(text, str):
        return Sample(id, index, "", finish="", reason="no_text")
    return Sample(id, index, text, reason="" if text.strip() else "empty")


def _given_steps(sample: Any) -> list[str]:
    """The steps of a sample that comes in steps and without a text, which would go first; [] where it is something else."""
    steps = sample.get("steps") if isinstance(sample, Mapping) and sample.get("text") is None else None
    fits = isinstance(steps, list) and all(isinstance(step, str) and step for step in steps)
    return steps if fits else []


def _joined(blocks: Any) -> str | None:
    """The text of a sample that comes in blocks, code and output in fences; None where it is something else."""
    fence = {"code": "```python\n{}\n```", "execution": "```output\n{}\n```"}
    if not isinstance(blocks, list) or not all(
        isinstance(block, Mapping) and isinstance(block.get("content"), str) for block in blocks
    ):
        return None
    return "\n\n".join(fence.get(block.get("role"), "{}").format(block["content"]) for block in blocks)


def _labelled(
    pool: str | os.PathLike, labeller: Labeller, comparer: answers.Comparer, tally: Counter
) -> Iterator[dict[str, Any]]:
    for group in progress(labeller.groups(pool, comparer), what="label"):
        rows = labeller.label([group])
        tally["problems"] += 1
        tally["problems_of_one_sample"] += sum(not s.reason for s in group.samples) == 1
        tally.update({f"steps {what}": n for what, n in labels.counts(rows).items()})
        for sample, steps, row in zip(group.samples, group.steps, rows):
            made = {
                "problem_id": group.problem.id,
                "problem": group.problem.text,
                "sample": sample.index,
                "steps": steps.cut(sample.text),
                "values": list(row.values),
                "weights": list(row.weights),
            }
            if sample.reason:
                tally[f"samples {sample.reason}"] += 1
                made["reason"] = sample.reason
            yield made


def _of_run_recipe(mapping: Mapping[str, Any], where: str) -> Labeller:
    kept = {key: mapping[key] for key in ("segmenter", "answers", "signals") if key in mapping}
    made = config.build(Labeller, kept, where)
    modules = {name: made.signal(name, f"{where} ").module for name in made.signals}
    text_only = {name for name, module in modules.items() if getattr(module, "TEXT_ONLY", False)}
    for arm in config.convert(dict[str, Arm], mapping.get("arms", {}), config.at(where, "arms")).values():
        if arm.signals.keys() <= text_only:
            signals = {name: made.signals[name] for name in arm.signals}
            by_trust = replace(arm.labels, reliability="trust")  # a pool has no split to estimate reliabilities on
            return replace(made, signals=signals, trust=dict(arm.signals), labels=by_trust, needs=arm.needs)
    raise PrmError(
        f"{where} no arm whose signals read texts alone (majority, pairwise), and a pool has only texts; "
        "give another recipe"
    )
