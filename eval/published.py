"""Step scores that other PRMs gave a pool's samples, read from files; rows a PRM has not scored are absent, never made
up.

One row a sample in JSONL, gzipped or not: {"problem_id", "candidate_index", "step_scores": [float]} as published with
the StrictPRMBench pools, or what `prm label` and `prm score` write: {"problem_id", "sample", "values": [float | null]}.
Their steps are the publisher's own cuts, so they choose among answers here and are never set against step truth.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from eval.choices import by_problem
from prm.errors import PrmError
from prm.jsonl import read_rows
from prm.records import StepScores

KEY = "published"
_NAME = re.compile(r"(.+?)(?:_(?:gsm8k|math500))?\.jsonl(?:\.gz)?$")


def load(paths: Sequence[str | os.PathLike]) -> dict[str, dict[str, list[StepScores]]]:
    """PRM name -> problem id -> rows in sample order, of files and of folders' .jsonl[.gz] files.

    A PRM's name is its file's, without the data set's: qwen_prm_gsm8k and qwen_prm_math500 are one PRM's. Raises
    PrmError for a path without files, a row without these columns and a score outside [0, 1].
    """
    found: dict[str, dict[str, list[StepScores]]] = {}
    for path in map(Path, paths):
        files = sorted(f for f in path.iterdir() if _NAME.match(f.name)) if path.is_dir() else [path]
        if not files:
            raise PrmError(f"{path}: no .jsonl or .jsonl.gz file in it; give the folder of the step scores")
        for file in files:
            name = _name(file)
            rows = sorted((_row(row, name, f"{file} row {n}") for n, row in read_rows(file)), key=lambda r: r.index)
            for problem_id, scores in by_problem(rows).items():
                if problem_id in found.setdefault(name, {}):
                    raise PrmError(f"{file}: {name} has scored problem {problem_id} twice; keep one file of it")
                found[name][problem_id] = scores
    return found


def _name(file: Path) -> str:
    match = _NAME.match(file.name)
    if not match:
        raise PrmError(f"{file}: not a .jsonl or .jsonl.gz file; give step scores in that format")
    return match.group(1)


def _row(row: dict, name: str, where: str) -> StepScores:
    values = row.get("step_scores", row.get("values"))
    index = row.get("candidate_index", row.get("sample"))
    if not isinstance(values, list) or not isinstance(index, int) or not isinstance(row.get("problem_id"), str):
        raise PrmError(
            f"{where}: needs problem_id, candidate_index (or sample) and step_scores (or values); it has "
            f"{', '.join(row)}"
        )
    try:
        return StepScores(
            row["problem_id"], index, name, KEY, tuple(values), tuple(0.0 if v is None else 1.0 for v in values)
        )
    except (ValueError, TypeError) as error:
        raise PrmError(f"{where}: {error}; scores must be numbers in [0, 1] or null") from None
