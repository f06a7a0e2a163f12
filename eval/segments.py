"""Which steps make the better PRM? The same samples, signal, labels and training, cut by different segmenters.

    python -m eval.segments recipes/segments.yaml [--out recipes/results/segments.json] [key=value ...]

For each policy (one that ends its lines, one that writes no line breaks) and segmenter: the weighted vote and best-of-N of the PRM trained on such steps, and first errors.
A first error is an assertion: the first equation or answer that is wrong. The PRM calls the first step at or under a threshold wrong; a step of k assertions points at
each of them with 1/k, since long steps are easier to hit. F1 is as ProcessBench's, the harmonic mean over wrong and right solutions; the threshold is chosen on one half
of the problems and F1 told of the other.
Prints as its last line {POLICY: {SEGMENTER: {"vote", "best_of_n", "f1", ...}, ...}, ...}.
"""

from __future__ import annotations

import argparse
import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval import choices, command, gate
from eval.boundaries.texts import part_of
from eval.metrics import first_error
from eval.summary import Held, clean, read
from prm import pipeline, recipe
from prm.recipe import Recipe
from prm.records import Steps
from prm.store import Run, write_file
from prm.world.program import Program
from prm.world.truth import RIGHT, truth

ASSERTION = re.compile(r"\d [+\-*] \d = \d|The answer is \d")  # what a step of this world can be wrong about
ATTRACTOR = "{name: attractor, model: %s, form: expected, layers: [1]%s}"
SEGMENTERS: dict[str, dict[str, str]] = {
    "world": {
        "delimiter": "{name: delimiter, by: lines}",
        "attractor": ATTRACTOR % ("world", ""),
        "hybrid, both": ATTRACTOR % ("world", ", delimiters: {by: lines}"),
        "hybrid, agreed": ATTRACTOR % ("world", ", delimiters: {by: lines}, join: agree"),
    },
    "world-unbroken": {
        "delimiter": "{name: delimiter, by: lines}",  # finds none: the whole solution is one step
        "attractor": ATTRACTOR % ("world-unbroken", ""),
        "attractor, as published": "{name: attractor, model: world-unbroken, form: quantiles, layers: [2]}",
    },
}
THRESHOLDS = np.linspace(0.02, 0.98, 49)


def measured(loaded: Recipe) -> dict:
    """What the run's PRM is worth. Everything is read from the run's files and the references."""
    run = Run(loaded.folder)
    held = read(run, loaded)
    reduce = loaded.arms["prm"].reduce
    accuracy = {
        "vote": choices.by_vote(held.judged, held.scores["prm"], reduce),
        "best_of_n": choices.by_best(held.judged, held.scores["prm"], reduce),
    }
    majority = choices.by_majority(held.judged)
    found = {name: float(np.mean(values)) for name, values in accuracy.items()} | {"majority": float(np.mean(majority))}
    found["minus_majority"] = gate.difference([accuracy["vote"]], [majority])
    found["problems"], found["vote_P"] = len(held.judged), accuracy["vote"].tolist()
    return found | first_errors(held)


def first_errors(held: Held) -> dict:
    """F1 on the half of the problems that the threshold was not chosen on."""
    rows: dict[str, list[Judged]] = {"tune": [], "test": []}
    for group in held.groups:
        by_index = {row.index: row for row in held.scores["prm"][group.problem.id]}
        program = held.gold[group.problem.id].program
        for sample, steps in zip(group.samples, group.steps):
            if steps.ends:
                step, shared = first_wrong(program, sample.text, steps)
                rows[part_of(group.problem.text)].append(Judged(by_index[sample.index].values, step, shared))
    best = max(THRESHOLDS, key=lambda t: located(rows["tune"], t)["f1"])
    lengths = [len(row.values) for row in rows["test"]]
    return {**located(rows["test"], best), "threshold": float(best), "steps_a_solution": float(np.mean(lengths))}


@dataclass(frozen=True)
class Judged:
    """A solution's step scores; step: the one that holds the first wrong assertion, -1 for none; shared: how many assertions that step makes."""

    values: Sequence[float | None]
    step: int
    shared: int


def located(rows: Sequence[Judged], threshold: float) -> dict:
    """acc_error: the share of wrong solutions whose first wrong assertion was pointed at; a step of k assertions points at each with 1/k. acc_step: at its
    step. acc_correct: of right solutions, those of which nothing was called wrong. f1: harmonic mean of acc_error and acc_correct."""
    called = [first_error(row.values, threshold) for row in rows]
    hits = [found == row.step for found, row in zip(called, rows) if row.step >= 0]
    credit = [1 / row.shared if found == row.step else 0.0 for found, row in zip(called, rows) if row.step >= 0]
    passed = [found < 0 for found, row in zip(called, rows) if row.step < 0]
    error, correct = (float(np.mean(part)) if part else float("nan") for part in (credit, passed))
    f1 = 2 * error * correct / (error + correct) if error + correct else 0.0
    step = float(np.mean(hits)) if hits else float("nan")
    return {
        "f1": f1,
        "acc_error": error,
        "acc_step": step,
        "acc_correct": correct,
        "n_error": len(hits),
        "n_correct": len(passed),
    }


def first_wrong(program: Program, text: str, steps: Steps) -> tuple[int, int]:
    """(index of the step in which the first wrong assertion ends, or -1; how many assertions end in that step)."""
    ends = [m.end() for m in ASSERTION.finditer(text)]
    pieces = [text[a:b] for a, b in zip([0, *ends], ends)]
    wrong = next((i for i, kind in enumerate(truth(program, pieces)) if kind != RIGHT), None)
    if wrong is None:
        return (-1, 1) if pieces else (0, 1)  # a solution that asserts nothing is wrong from its start
    places = [bisect_right(steps.ends, end - 1) for end in ends]
    return places[wrong], places.count(places[wrong])


def compare(path: str, overrides: Sequence[str]) -> dict:
    found: dict = {}
    for policy, segmenters in SEGMENTERS.items():
        found[policy] = {}
        for name, segmenter in segmenters.items():
            loaded = recipe.load(path, [f"model={policy}", f"segmenter={segmenter}", *overrides])
            pipeline.run(loaded)
            found[policy][name] = measured(loaded)
            print(_line(policy, name, found[policy][name]), flush=True)
        _against_delimiter(found[policy])
    return found


def _against_delimiter(rows: Mapping[str, dict]) -> None:
    """Each segmenter's vote minus the delimiter's on the same problems, in place of the problems' own values."""
    base = rows["delimiter"]["vote_P"]
    for row in rows.values():
        row["minus_delimiter"] = gate.difference([row["vote_P"]], [base])
    for row in rows.values():
        del row["vote_P"]


def _line(policy: str, name: str, row: Mapping) -> str:
    return (
        f"{policy:15s} {name:24s} vote {row['vote']:.3f} (majority {row['majority']:.3f})  best-of-N {row['best_of_n']:.3f}  first errors F1 {row['f1']:.3f} "
        f"(wrong {row['acc_error']:.3f}, their steps {row['acc_step']:.3f}, right {row['acc_correct']:.3f})  {row['steps_a_solution']:.1f} steps a solution"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.segments", description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--out", type=Path, help="also write the last line there")
    given = parser.parse_args(arguments)
    found = clean(compare(given.recipe, given.overrides))
    if given.out:
        write_file(given.out, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found))


if __name__ == "__main__":
    command(main)
