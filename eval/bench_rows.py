"""Whether `prm score` needs more memory for more rows: the command itself, with a real PRM of random weights, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROWS = 8192  # two of the command's windows: what does not grow with the rows is all there

# `prm`, which then tells its own peak: what a parent measures of a child begins with the parent's size.
COMMAND = """
import re, sys
from prm.cli import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(status)
"""


def rows_memory_growth(rows: int = ROWS) -> float:
    """Peak memory of the process at ten times the rows over that at `rows`, minus 1. Every row has texts of its own."""
    from eval.bench_score import Shape, random_prm

    with tempfile.TemporaryDirectory() as folder:
        pairs = [(row["problem"], row["steps"]) for row in map(_row, range(200))]
        prm = random_prm(f"{folder}/backbone", Shape(width=32, layers=1, heads=2), pairs)
        prm.save(f"{folder}/prm")
        few, many = (_peak(Path(folder), count) for count in (rows, 10 * rows))
    return many / few - 1


def _peak(folder: Path, count: int) -> int:
    """Of one `prm score` over so many rows, in kB. Raises RuntimeError where it does not score them all."""
    with open(folder / "rows.jsonl", "w") as file:
        file.writelines(json.dumps(_row(i)) + "\n" for i in range(count))
    words = ["score", folder / "prm", folder / "rows.jsonl", "-o", folder / "scores.jsonl"]
    env = {**os.environ, "PRM_QUIET": "1"}
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"prm score: exit status {done.returncode}")
    with open(folder / "scores.jsonl") as scores:
        if (written := sum(1 for _ in scores)) != count:
            raise RuntimeError(f"prm score: {written} rows of {count}")
    return int(done.stdout)


def _row(i: int) -> dict:
    return {
        "id": i,
        "problem": f"What is {i} + {i % 7}?",
        "steps": [f"{i} + {i % 7} is asked.\n", f"It is {i + i % 7}."],
    }
