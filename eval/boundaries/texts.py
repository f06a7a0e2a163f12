"""Solutions whose step breaks are hidden, and where the steps began.

The small world's are told as the policy without line breaks was taught them: steps of one operation or two, in few words or many, joined by a space, a
full stop or a comma. Real ones are joined by a space, with all white space inside them made one space and a leading "Step 3:" taken off. Halves
are of problems, by the hash of their texts: what is tuned on one is reported on the other.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prm.jsonl import read_rows
from prm.records import Problem, Sample
from prm.segmenters._fit import hidden_breaks
from prm.world import pretrain

WORLD_SEED = "boundaries"
_NUMBERED = re.compile(r"^Step \d+\s*[:.]\s*")


@dataclass(frozen=True)
class Hidden:
    """starts: the characters of `text` at which all steps but the first begin. part: "tune" or "test". source: where it is from."""

    problem: str
    text: str
    starts: tuple[int, ...]
    part: str
    source: str

    @property
    def row(self) -> tuple[Problem, Sample]:
        return Problem(self.problem, self.problem), Sample(self.problem, 0, self.text)


def part_of(problem: str) -> str:
    return ("tune", "test")[hashlib.sha256(problem.encode()).digest()[0] % 2]


def world(n: int, config: pretrain.Config) -> list[Hidden]:
    """n solutions drawn as the policy's training data are, from a stream of their own."""
    rng = random.Random(WORLD_SEED)
    made = []
    while len(made) < n:
        problem, steps, separator = pretrain.told(rng, config)
        starts, at = [], 0
        for step in steps[:-1]:
            at += len(step) + len(separator)
            starts.append(at)
        if starts:
            made.append(Hidden(problem, separator.join(steps), tuple(starts), part_of(problem), "world"))
    return made


def real(data: Path, each: int) -> list[Hidden]:
    """Up to `each` solutions of PARC, of ProcessBench (GSM8K and MATH) and of MATH, one a problem, of two steps or more."""
    made, seen = [], set()
    for source, rows in (("PARC", _parc(data)), ("ProcessBench", _processbench(data)), ("MATH", _math(data))):
        found = 0
        for problem, steps in rows:
            text, starts = hidden_breaks([_NUMBERED.sub("", step) for step in steps])
            if found < each and starts and problem not in seen:
                seen.add(problem)
                found += 1
                made.append(Hidden(problem, text, tuple(starts), part_of(problem), source))
    return made


def shown_elsewhere(data: Path, n: int, leave_out: Sequence[Hidden]) -> list[tuple[Problem, Sample]]:
    """Other people's solutions that show their breaks, for the form `shown`: GSM8K's training solutions (lines)."""
    known = {one.problem for one in leave_out}
    rows = [r for r in _rows(data / "gsm8k/train.jsonl.gz") if r["question"] not in known]
    texts = [(r["question"], re.sub(r"<<.*?>>", "", r["answer"]).replace("####", "The answer is")) for r in rows[:n]]
    return [(Problem(q, q), Sample(q, 0, text)) for q, text in texts]


def _parc(data: Path) -> Iterator[tuple[str, list[str]]]:
    for path in sorted((data / "parc").glob("*_positives.jsonl.gz")) + sorted(
        (data / "parc").glob("*_negatives.jsonl.gz")
    ):
        yield from ((row["question"], row["steps"]) for row in _rows(path))


def _processbench(data: Path) -> Iterator[tuple[str, list[str]]]:
    gsm8k, math = (_rows(data / f"processbench/{name}.jsonl.gz") for name in ("gsm8k", "math"))
    for pair in zip(gsm8k, math):  # as many of each
        yield from ((row["problem"], row["steps"]) for row in pair)


def _math(data: Path) -> Iterator[tuple[str, list[str]]]:
    for row in _rows(data / "math/math500.jsonl.gz"):
        if "[asy]" not in row["solution"]:  # a drawing's source is no text
            yield row["problem"], re.split(r"\n\s*\n", row["solution"])


def _rows(path: Path) -> list[dict]:
    return [row for _, row in read_rows(path)]
