"""Whether `prm score` needs more memory for more rows: the command itself, with a real PRM of random weights, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROWS = 5000  # more than one of the command's windows: what does not grow with the rows is all there


def rows_memory_growth(rows: int = ROWS) -> float:
    """Peak memory of the process at ten times the rows over that at `rows`, minus 1. Every row has texts of its own."""
    from eval.bench_score import Shape, random_prm

    with tempfile.TemporaryDirectory() as folder:
        texts = [text for row in map(_row, range(200)) for text in (row["problem"], *row["steps"])]
        prm = random_prm(f"{folder}/backbone", Shape(width=32, layers=1, heads=2), texts)
        prm.save(f"{folder}/prm")
        few, many = (_peak(Path(folder), count) for count in (rows, 10 * rows))
    return many / few - 1


def _peak(folder: Path, count: int) -> int:
    """Of one `prm score` over so many rows, in kB. Raises RuntimeError where it does not score them all."""
    with open(folder / "rows.jsonl", "w") as file:
        file.writelines(json.dumps(_row(i)) + "\n" for i in range(count))
    words = [sys.executable, "-m", "prm", "score", folder / "prm", folder / "rows.jsonl", "-o", folder / "scores.jsonl"]
    with subprocess.Popen(words, env={**os.environ, "PRM_QUIET": "1"}) as running:
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"prm score: exit status {running.returncode}")
    with open(folder / "scores.jsonl") as scores:
        if (written := sum(1 for _ in scores)) != count:
            raise RuntimeError(f"prm score: {written} rows of {count}")
    return usage.ru_maxrss


def _row(i: int) -> dict:
    return {
        "id": i,
        "problem": f"What is {i} + {i % 7}?",
        "steps": [f"{i} + {i % 7} is asked.\n", f"It is {i + i % 7}."],
    }
