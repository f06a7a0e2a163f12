"""Time and memory of the parts that must be fast, side by side with the plain way.

    python -m eval.bench [train] [dynamics] [score] [--out runs/bench/bench.json]

Runs the parts named, or all. What they measure goes to --out, each under its own key; other keys stay as they were, so parts can run one by one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from eval import bench_dynamics, bench_score, bench_train, bench_trl
from prm.errors import PrmError
from prm.jsonl import write_rows

OUT = Path("runs/bench/bench.json")
DYNAMICS_GOALS = {"time_ratio": 1.3, "memory_ratio": 0.25, "max_error": 1e-4}  # at most


def train() -> dict:
    bench_train.main([])
    found = bench_trl.measure()
    print(f"train: {found['reason']}" if "reason" in found else bench_trl.told(found))
    return {"train": found}


def dynamics() -> dict:
    found = bench_dynamics.measure()
    for name, goal in DYNAMICS_GOALS.items():
        print(f"dynamics: {name:13s} {found[name]:.3g} (goal: at most {goal:g})")
    return {"dynamics": found}


def score() -> dict:
    found = bench_score.measure()
    for name, goal in bench_score.GOALS.items():
        print(f"score: {name:20s} {found[name]:.3g} (goal: {goal})")
    return {"score": found}


PARTS: dict[str, Callable[[], dict]] = {"train": train, "dynamics": dynamics, "score": score}


def merge(out: Path, found: dict) -> None:
    """Adds the keys of `found` to the JSON object in `out`, or replaces them; makes file and folder where there are none."""
    try:
        known = json.loads(out.read_text()) if out.exists() else {}
    except ValueError as error:
        raise PrmError(f"{out}: not JSON ({error}); delete it and run the bench again") from None
    write_rows(out, [known | found])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m eval.bench", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args(arguments)
    unknown = [name for name in settings.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part '{unknown[0]}'; one of {', '.join(PARTS)}")
    try:
        for name in settings.parts or PARTS:
            merge(settings.out, PARTS[name]())
    except PrmError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
