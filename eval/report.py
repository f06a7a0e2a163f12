"""Measures a finished run against its references.

    python -m eval.report runs/demo
    python -m eval.report runs/pools --published /data/pool/prm_step_scores

prints the table; writes RUN/summary.json and RUN/report.html.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval import command, examples, html, summary
from prm import recipe
from prm.store import write_file


def write(run: str | Path, published: Sequence[str | Path] = ()) -> dict:
    """Writes summary.json and report.html into the run's folder; returns the summary."""
    found, held = summary.summarise(run, published)
    arms = recipe.of_run(run).arms
    shown = (
        examples.pick(held.groups, held.judged, held.gold, held.scores["prm"], arms["prm"].reduce)
        if "prm" in held.scores
        else []
    )
    write_file(Path(run) / "summary.json", json.dumps(found, indent=2, allow_nan=False).encode())
    write_file(Path(run) / "report.html", html.page(found, summary.clean(shown)).encode())
    return found


def text(found: Mapping) -> str:
    """The table and the verdict for a terminal."""
    width = max(len(row["name"]) for row in found["rows"])
    lines = [
        f"{found['name']}: {found['problems']} held-out problems, {found['samples']} samples each",
        "",
        f"{'':{width}}  accuracy   minus majority, points [95 % interval]",
    ]
    for row in found["rows"]:
        accuracy = "   n/a" if row["accuracy"] is None else f"{row['accuracy']:6.3f}"
        lines.append(f"{row['name']:{width}}    {accuracy}   {html.difference(row['difference'])}".rstrip())
    for title, key in (("labels, AUROC of steps", "label_auroc"), ("PRM, AUROC of steps", "prm_step_auroc")):
        if found[key]:
            kinds = "  ".join(
                f"{kind} {'n/a' if value is None else f'{value:.3f}'}" for kind, value in found[key].items()
            )
            lines += [""] * (key == "label_auroc") + [f"{title}: {kinds}"]
    if found["label_auroc"]:
        lines.append("(all: with the steps behind a first error, which count as wrong whatever they say)")
    return "\n".join([*lines, "", f"{found['verdict']}: {found['because']}"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.report",
        description="Measures a finished run against its references; "
        "prints the table, writes RUN/summary.json and RUN/report.html.",
    )
    parser.add_argument("run", help="the run's folder, such as runs/demo")
    parser.add_argument(
        "--published",
        nargs="+",
        default=[],
        metavar="PATH",
        help="step scores of other PRMs on the same samples, reduced by their minimum: folders or .jsonl[.gz] files",
    )
    options = parser.parse_args(arguments)
    print(text(write(options.run, options.published)))
    print(f"\n{options.run}/summary.json and {options.run}/report.html written")


if __name__ == "__main__":
    command(main)
