"""Best-of-N and weighted vote of every text-only signal, and of any step scores, on a pool of samples.

    python -m eval.bestofn --pool POOL.jsonl.gz --references POOL.jsonl.gz [--scores FILE_OR_FOLDER ...]

prints as its last line {"n", "mean", "majority", "oracle", "SIGNAL": {"bon", "vote"}, ...}: accuracies in [0, 1].

Of a signal that is there to accuse (calculator, asked) only accusations count, so that a sample nobody accuses keeps
its vote. "checked" is all of these together, evidence added across keys: `prm rerank --method checked-vote`.
It looks at no vote. Its rules come from: equations, the half of StrictPRMBench's problems whose text's sha256
is even; forms asked for, that half, the GSM8K and MATH training splits' answers (where the belief .02 was set too)
and, for "not whole", another pool of GSM8K test problems.

POOL rows: {"problem" or "question", "problem_id"?, "samples": [{"text"}]}. References rows: the same id, or the same
problem text where rows have no id, and the gold answer in `gold` or, failing that, `answer` (--gold names another
column). Scores: files as `eval.published` reads them; a folder prm_step_scores beside the pool is taken unasked. A
score that knows some of the problems only is measured on those and says how many in an "n" of its own; one that knows
none is left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval import choices, command, gate, published
from eval.gate import points
from eval.summary import clean
from prm import answers, labelling, plugins
from prm.errors import PrmError
from prm.jsonl import read_rows
from prm.problems import id_of
from prm.records import Group
from prm.rerank import undecided

BESIDE = "prm_step_scores"


def measure(
    groups: Sequence[Group],
    gold: Mapping[str, str],
    sources: Mapping[str, choices.Scores],
    config: answers.Config,
    reduce: str,
) -> tuple[dict, dict[str, np.ndarray]]:
    """(the last line's content, accuracy per problem of each row "NAME bon" / "NAME vote" and of "majority")."""
    judged = choices.judge(groups, gold, config)
    rows = {
        "mean": choices.one_sample(judged),
        "majority": choices.by_majority(judged),
        "oracle": choices.any_right(judged),
    }
    found: dict = {"n": len(judged), **{name: float(row.mean()) for name, row in rows.items()}}
    for name, scores in sources.items():
        bon, vote = choices.by_best(judged, scores, reduce), choices.by_vote(judged, scores, reduce)
        known = ~np.isnan(bon)
        if not known.any():
            continue
        found[name] = {"bon": float(bon[known].mean()), "vote": float(vote[known].mean())}
        if not known.all():
            found[name]["n"] = int(known.sum())
        rows |= {f"{name} bon": bon, f"{name} vote": vote}
    return clean(found), rows


def signals(groups: Sequence[Group]) -> dict[str, choices.Scores]:
    """Each text-only signal's scores with its default config, and "checked"; majority has a row of its own."""
    modules = {name: plugins.load("signals", name) for name in plugins.names("signals") if name != "majority"}
    found = {}
    for name, module in modules.items():
        if getattr(module, "TEXT_ONLY", False):
            rows = module.label(groups, module.Config(), None)
            found[name] = [undecided(row) for row in rows] if getattr(module, "ACCUSES", False) else rows
    found["checked"] = [undecided(row) for row in labelling.CHECKS.label(list(groups))]
    return {name: choices.by_problem(rows) for name, rows in found.items()}


def references(path: str, id_column: str, gold_column: str | None) -> dict[str, str]:
    """Problem id (without an id column: the hash of the problem's text) -> gold answer."""
    found = {}
    for number, row in read_rows(path):
        where = f"{path} row {number}"
        text = "problem" if "problem" in row else "question"
        value = next((row[c] for c in ([gold_column] if gold_column else ["gold", "answer"]) if c in row), None)
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise PrmError(f"{where}: no gold answer in {gold_column or 'gold or answer'}; name its column with --gold")
        found[id_of(row, id_column if id_column in row else None, text, where)] = str(value)
    return found


def table(found: Mapping, rows: Mapping[str, np.ndarray]) -> str:
    """One line a row, with the paired difference to majority."""
    differences = [gate.difference([row], [rows["majority"]]) for row in rows.values()]
    width = max(map(len, rows))
    return "\n".join(
        f"{name:{width}}  {np.nanmean(row):.3f}" + ("" if name == "majority" else f"   {points(difference)}")
        for (name, row), difference in zip(rows.items(), differences)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.bestofn", description=__doc__.split("\n")[0])
    parser.add_argument("--pool", required=True, help='JSONL(.gz): {"problem" or "question", "samples": [{"text"}]}')
    parser.add_argument("--references", required=True, help="JSONL(.gz) with the gold answers; may be the pool itself")
    parser.add_argument("--scores", nargs="+", default=[], help="step scores: files or folders (eval/published.py)")
    parser.add_argument(
        "--id", default="problem_id", help="column of the problem's id in the references (default problem_id)"
    )
    parser.add_argument("--gold", help="column of the gold answer (default: gold, else answer)")
    parser.add_argument("--style", default="math", choices=answers.STYLES, help="how answers are read (default math)")
    parser.add_argument("--reduce", default="min", help="step values -> one score (default min)")
    options = parser.parse_args(arguments)
    config = answers.Config(style=options.style)
    gold = references(options.references, options.id, options.gold)
    groups = labelling.read_pool(options.pool, config)
    beside = Path(options.pool).parent / BESIDE
    others = published.load([*options.scores, *([beside] if beside.is_dir() else [])])
    found, rows = measure(groups, gold, {**signals(groups), **others}, config, options.reduce)
    print(table(found, rows))
    print(json.dumps(found))


if __name__ == "__main__":
    command(main)
