"""First-error F1 of a PRM on human-labelled solutions in ProcessBench's format (Zheng et al. 2024, arXiv 2412.06559).

    python -m eval.processbench --prm runs/pools/prm.prm-.../model --labelled processbench_gsm8k.jsonl.gz --threshold
    0.5

prints as its last line {"n_error", "n_correct", "acc_error", "acc_correct", "f1"}. The threshold is fixed beforehand:
one tuned on the file it is reported on measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from eval import command
from eval.metrics import first_error, first_error_f1
from prm.errors import PrmError
from prm.jsonl import read_rows, text_of


@dataclass(frozen=True)
class Labelled:
    """A solution with its human label. first_wrong: index of the first wrong step, -1 when every step is right."""

    id: str
    problem: str
    steps: tuple[str, ...]
    first_wrong: int

    def kinds(self) -> list[str]:
        """The label as a kind per step, as `label_quality` takes them."""
        if self.first_wrong < 0:
            return ["right"] * len(self.steps)
        return ["right"] * self.first_wrong + ["wrong"] + ["carried"] * (len(self.steps) - self.first_wrong - 1)


def read(path: str | os.PathLike) -> list[Labelled]:
    """The rows {"id", "problem", "steps": [str], "label": int} of a file. PrmError names the row at fault."""
    return [_labelled(row, f"{path} row {number}") for number, row in read_rows(path)]


def score(rows: Sequence[Labelled], values: Sequence[Sequence[float | None]], threshold: float) -> dict[str, float]:
    """First-error F1: a solution's first step with a value at or under `threshold` is called its first wrong one."""
    if len(rows) != len(values):
        raise ValueError(f"{len(rows)} solutions, {len(values)} scored")
    return first_error_f1([first_error(v, threshold) for v in values], [row.first_wrong for row in rows])


def shown(steps: Sequence[str]) -> list[str]:
    """The steps as they stood in the solution: ProcessBench cut at blank lines and dropped them."""
    return [step + "\n\n" for step in steps[:-1]] + [steps[-1]]


def _labelled(row: dict, where: str) -> Labelled:
    problem, steps, label = text_of(row, ("problem", "question"), where), row.get("steps"), row.get("label")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        raise PrmError(f"{where}: 'steps' must be a list of texts, at least one")
    if not isinstance(label, int) or not -1 <= label < len(steps):
        raise PrmError(
            f"{where}: 'label' must be the index of the first wrong of {len(steps)} steps or -1, not {label!r}"
        )
    return Labelled(str(row.get("id", where)), problem, tuple(steps), label)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.processbench", description=__doc__.split("\n")[0])
    parser.add_argument("--prm", required=True, help="a trained PRM's folder")
    parser.add_argument("--labelled", required=True, help="ProcessBench rows, .jsonl or .jsonl.gz")
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="a step at or under it is called wrong (default 0.5)"
    )
    options = parser.parse_args(arguments)
    rows = read(options.labelled)
    from prm.model import PRM

    model = PRM.load(options.prm)
    values = model.score_batch([(row.problem, shown(row.steps)) for row in rows])
    print(json.dumps(score(rows, values, options.threshold)))


if __name__ == "__main__":
    command(main)
