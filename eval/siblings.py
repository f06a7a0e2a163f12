"""First-error F1 on human-labelled solutions, each judged with a pool's samples of the same problem as its siblings.

    python -m eval.siblings --pool POOL.jsonl.gz --labelled PROCESSBENCH.jsonl.gz

prints as its last line {"n_error", "n_correct", "acc_error", "acc_correct", "f1"}; --out FILE keeps all rows with their
intervals (recipes/results/siblings-*.json are README.md's table). Problems are matched by their
texts; solutions whose problem the pool lacks are left out (and counted). The solution is one more sample of its
problem, labelled by the very code of `prm label`; its first step with a label at or under the recipe's threshold is
called its first error.

How the threshold was chosen: by principle, before any label was made on ProcessBench: 0.5 is where evidence turns,
and combining labels keeps that point. The signals' own constants come from solutions of problems that are not reported
on here (PARC, PRMBench, the solutions that come with GSM8K, ProcessBench's olympiad problems, the pools' own samples
with the first errors that a published PRM sees in them), which hardly tell them apart.

What was looked at: an earlier form of `pairwise` was run twice on all of ProcessBench here (F1 .661 on GSM8K with 32
samples, .385 on MATH). Since then the problems are split by the hash of their texts (`part`): failures in part A are
read and forms compared on it, so its figure is optimistic; part B was measured when a form stood, three times in all,
and its failures were never read. The present form, A / B / whole: GSM8K with 32 samples .800 / .692 / .735, with 8
.754 / .614 / .688, MATH .667 / .143 / .474. The two forms before it had .657 and .692 on B, .575 and .597, .143 and
.143: what the last changes gained on part A is hardly there on B. --part A or B measures one of them.

Baselines: "all right" calls nothing wrong; "numbers" calls wrong the first step with a new number that under 5 % of
the siblings have; TTRL labels every step by the vote; the prefix tree is what is left of Math-Shepherd where a pool allows
no rollouts: how the samples that share a step's prefix ended.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from eval import command, processbench
from eval.metrics import first_error, first_error_f1
from eval.summary import clean
from prm import answers, labelling
from prm.errors import PrmError
from prm.records import Group, Problem, Sample, Steps
from prm.store import write_file

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
RARE = 0.05
FIELD = {  # what the field makes of a vote, labelled by the same code
    "TTRL": {"majority": {}},
    "prefix tree, soft": {"prefix_tree": {}},
    "prefix tree, hard": {"prefix_tree": {"mode": "hard"}},
}
LAST_LINE = ("n_error", "n_correct", "acc_error", "acc_correct", "f1")


def judged(
    pool: str, rows: Sequence[processbench.Labelled], labeller: labelling.Labeller
) -> list[tuple[processbench.Labelled, Group]]:
    """Each labelled solution whose problem the pool has, with the group it is the last sample of."""
    by_text: dict[str, list[processbench.Labelled]] = {}
    for row in rows:
        by_text.setdefault(_plain(row.problem), []).append(row)
    found = []
    with answers.open_pool(labeller.answers) as comparer:
        for problem, samples in labelling.problems(pool):
            mine = by_text.pop(_plain(problem.text), [])
            if not mine:
                continue
            siblings = labeller.group(problem, samples, comparer)
            for row in mine:
                found.append((row, _with(siblings, problem, row, labeller, comparer)))
    return found


def _with(
    siblings: Group, problem: Problem, row: processbench.Labelled, labeller: labelling.Labeller, comparer
) -> Group:
    texts = processbench.shown(row.steps)
    sample = Sample(problem.id, len(siblings.samples), "".join(texts))
    steps = Steps(problem.id, sample.index, tuple(accumulate(map(len, texts))))
    samples = (*siblings.samples, sample)
    read = answers.read_answers(samples, labeller.answers, comparer)
    return Group(problem, samples, (*siblings.steps, steps), tuple(read))


def numbers(group: Group) -> list[float | None]:
    """The 20-line baseline: per step the smallest share of siblings that have a number which is new in it; None
    without a new one."""
    siblings = [_numbers(sample.text) for sample in group.samples[:-1]]
    seen, values = _numbers(group.problem.text), []
    for step in group.steps[-1].cut(group.samples[-1].text):
        new = _numbers(step) - seen
        seen |= new
        values.append(min((sum(n in s for s in siblings) / len(siblings) for n in new), default=None))
    return values


def _numbers(text: str) -> set[str]:
    return set(_NUMBER.findall(text.replace(",", "")))


def _plain(problem: str) -> str:
    return " ".join(re.findall(r"\w+", problem)).lower()


def part(problem: str) -> str:
    """ "A", whose solutions were read while the signals were made, or "B", which were not."""
    return "BA"[int(hashlib.sha1(_plain(problem).encode()).hexdigest(), 16) % 2 == 0]


def interval(predicted: Sequence[int], truth: Sequence[int], draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the F1 over solutions; draws without both kinds are left out."""
    rng, predicted, truth = np.random.default_rng(0), np.array(predicted), np.array(truth)
    drawn = (rng.integers(0, len(truth), len(truth)) for _ in range(draws))
    f1 = [first_error_f1(list(predicted[d]), list(truth[d]))["f1"] for d in drawn]
    return tuple(float(v) for v in np.nanpercentile(f1, [2.5, 97.5]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.siblings", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--pool", required=True, help='JSONL(.gz): {"problem" or "question", "samples": [{"text"} or {"blocks"}]}'
    )
    parser.add_argument(
        "--labelled", required=True, help='JSONL(.gz) in ProcessBench\'s format: {"problem", "steps", "label"}'
    )
    parser.add_argument("--recipe", help="a label recipe other than recipes/label.yaml")
    parser.add_argument("--part", choices=("A", "B"), help="only the problems that were looked at (A) or were not (B)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a JSON file for all rows with their intervals")
    options = parser.parse_args(arguments)
    if options.out and not options.out.absolute().parent.is_dir():
        raise PrmError(f"{options.out}: its folder does not exist; make it first")
    labeller = labelling.load(options.recipe)
    rows = [row for row in processbench.read(options.labelled) if options.part in (None, part(row.problem))]
    pairs = judged(options.pool, rows, labeller)
    if not pairs:
        raise PrmError(
            f"{options.labelled}: none of its {len(rows)} problems is in {options.pool}; "
            "they are matched by their texts"
        )
    told, everything = predicted(pairs, labeller), range(len(pairs))
    found = {
        "pool": Path(options.pool).name,
        "labelled": Path(options.labelled).name,
        "solutions": len(rows),
        "with_siblings": len(pairs),
        "threshold": labeller.threshold,
        "rows": measured(pairs, told, everything),
    }
    unread = [i for i in everything if part(pairs[i][0].problem) == "B"]
    if options.part is None and unread:
        found["unread"] = measured(pairs, told, unread)
    print(text(found))
    if options.out:
        write_file(options.out, (json.dumps(clean(found), indent=1) + "\n").encode())
    print(json.dumps(clean({key: found["rows"]["labels"][key] for key in LAST_LINE})))


def predicted(
    pairs: Sequence[tuple[processbench.Labelled, Group]], labeller: labelling.Labeller
) -> dict[str, list[int]]:
    """Each row's first error of every solution, -1 for none."""
    field = {name: replace(labeller, signals=signals, trust={}, needs=()) for name, signals in FIELD.items()}
    return {
        "all right": [-1] * len(pairs),
        "numbers": [first_error(numbers(group), RARE) for _, group in pairs],
        **{name: _called(pairs, theirs) for name, theirs in field.items()},
        "labels": _called(pairs, labeller),
    }


def measured(
    pairs: Sequence[tuple[processbench.Labelled, Group]], told: Mapping[str, Sequence[int]], kept: Sequence[int]
) -> dict[str, dict[str, float | list[float]]]:
    """Each row's first-error F1 on the kept solutions and its parts, with the interval of the F1. told: `predicted`'s."""
    truth = [pairs[i][0].first_wrong for i in kept]
    table = {name: [row[i] for i in kept] for name, row in told.items()}
    return {
        name: {**first_error_f1(called, truth), "interval": list(interval(called, truth))}
        for name, called in table.items()
    }


def _called(pairs: Sequence[tuple[processbench.Labelled, Group]], labeller: labelling.Labeller) -> list[int]:
    """The first error by a recipe's labels, -1 for none."""
    return [first_error(labeller.label([group])[-1].values, labeller.threshold) for _, group in pairs]


def text(found: dict) -> str:
    """The table for a terminal."""
    lines = [
        f"{found['with_siblings']} of {found['solutions']} solutions have siblings; threshold {found['threshold']}",
        f"{'':18} acc_error  acc_correct  f1     95 % interval",
    ]
    lines += [_line(name, row) for name, row in found["rows"].items()]
    if "unread" in found:
        lines += ["part B, whose failures were not read:", *(_line(*item) for item in found["unread"].items())]
    return "\n".join(lines)


def _line(name: str, row: dict) -> str:
    low, high = row["interval"]
    return f"{name:18} {row['acc_error']:9.3f}  {row['acc_correct']:11.3f}  {row['f1']:.3f}  {low:.3f} to {high:.3f}"


if __name__ == "__main__":
    command(main)
