"""The tables of README.md are written from runs' own files and never by hand.

    python -m eval.readme runs/demo      keeps the run's summary as recipes/results/demo.json and writes its table
    python -m eval.readme --check        fails where README.md differs from what recipes/results would write

A table stands between `<!-- table:demo -->` and `<!-- /table -->`. Runs themselves are not committed, their results
are, so the check works on a fresh clone. `table:siblings` is made of all recipes/results/siblings-*.json, which
`python -m eval.siblings --out` writes; boundaries, segments, roles, search and bench of what those evaluations write with --out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval import command
from eval.ablation import table as ablation
from eval.dynamics_tables import WRITERS as DYNAMICS
from eval.html import difference
from eval.siblings import FIELD
from eval.speed_tables import WRITERS as SPEED
from prm.errors import PrmError
from prm.store import write_file

WRITERS = {"ablation": ablation.markdown, **DYNAMICS, **SPEED}  # others are runs' summaries
_BLOCK = re.compile(r"(<!-- table:([\w-]+) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)


def table(found: Mapping) -> str:
    """A run's summary as Markdown: the rows, the verdict, what was measured. A number that the run lacks is "n/a"."""
    lines = ["| choosing by | accuracy | minus majority, points [95 %] |", "|---|---:|---:|"]
    for row in found["rows"]:
        name = f"**{row['name']}**" if row["role"] == "ours" else row["name"]
        lines.append(f"| {name} | {_three(row['accuracy'])} | {difference(row['difference'])} |")
    seeds = ", ".join(map(str, found["seeds"]))
    lines += [
        "",
        f"{found['problems']:,} held-out problems, {found['samples']} samples each, seed {seeds}. "
        f"Verdict: **{found['verdict']}**. {found['because']}",
    ]
    return "\n".join(lines)


def siblings(found: Sequence[Mapping]) -> str:
    """First errors found with sibling solutions, two lines a data set (the files that `eval.siblings --out` wrote)."""
    heads = [
        "labelled solutions",
        "siblings from",
        "n wrong / right",
        "number matching",
        *FIELD,
        "our labels, F1 [95 %]",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for one in found:
        lines.append(_siblings(one["labelled"], one["pool"], one["rows"]))
        if "unread" in one:
            lines.append(_siblings("... the half that was not read", "", one["unread"]))
    return "\n".join(lines)


def _siblings(labelled: str, pool: str, rows: Mapping[str, Mapping]) -> str:
    ours = rows["labels"]
    low, high = (_three(bound) for bound in ours["interval"])
    others = " | ".join(_three(rows[name]["f1"]) for name in ("numbers", *FIELD))
    counts = f"{ours['n_error']} / {ours['n_correct']}"
    return f"| {labelled} | {pool} | {counts} | {others} | {_three(ours['f1'])} [{low}, {high}] |"


def _three(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def filled(text: str, results: Path) -> str:
    """`text` with each table as `results` says. Raises PrmError for a marker without a result."""

    def fill(match: re.Match) -> str:
        if match[2] == "siblings":
            files = sorted(results.glob("siblings-*.json"))
            if not files:
                raise PrmError(
                    f"README.md: table:siblings has no {results}/siblings-*.json; python -m eval.siblings --out"
                )
            return f"{match[1]}{siblings([json.loads(file.read_text()) for file in files])}\n{match[4]}"
        path = results / f"{match[2]}.json"
        if not path.exists():
            raise PrmError(
                f"README.md: table:{match[2]} has no {path}; make the run, then python -m eval.readme runs/{match[2]}, "
                "or write it with the evaluation's --out"
            )
        write = WRITERS.get(match[2], table)
        return f"{match[1]}{write(json.loads(path.read_text()))}\n{match[4]}"

    return _BLOCK.sub(fill, text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.readme", description="Writes README.md's tables from runs' files."
    )
    parser.add_argument(
        "runs", nargs="*", help="run folders whose results are taken in; without any, only the tables are written"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a table is stale")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="default README.md")
    parser.add_argument("--results", type=Path, default=Path("recipes/results"), help="default recipes/results")
    options = parser.parse_args(arguments)
    if not options.readme.is_file():
        raise PrmError(f"{options.readme}: no such file; run this in the repository's root or give --readme")
    old = options.readme.read_text(encoding="utf-8")
    if options.check:
        if filled(old, options.results) != old:
            raise PrmError(f"{options.readme}: a table is stale; write it with python -m eval.readme")
        return
    for run in map(Path, options.runs):
        _take(run, options.results)
    write_file(options.readme, filled(old, options.results).encode())


def _take(run: Path, results: Path) -> None:
    path = run / "summary.json"
    if not path.exists():
        raise PrmError(
            f"{path}: no such file; write it with python -m eval.report {run}, or make ablation for the ablation"
        )
    results.mkdir(parents=True, exist_ok=True)
    write_file(results / f"{json.loads(path.read_text())['name']}.json", path.read_bytes())


if __name__ == "__main__":
    command(main)
