"""Every method of search at equal token budgets, beside majority, one sample and any-right, on runs' held-out
problems.

    python -m eval.search RUN... [--arm prm] [--n 200] [--budgets 4 8 16] [--recipe recipes/search.yaml] [--out FILE]

A budget of k is as many tokens a problem as k of the policy's samples have on average in the run; each method
draws that many at most, all count. Majority, one sample and any-right are of the solutions that best-of-N
finished. Methods that go step by step choose among what they finished by vote, and, as a second row, the best
solution: so that a search is compared with best-of-N and with the weighted vote by the choice that these make.
Differences are problem by problem at the same budget, with 95 % intervals (of several runs: worlds that weigh the
same, drawn anew like problems). The last line printed is JSON, --out
writes the same.

The methods' settings are the recipe's. They were chosen on other problems of the small world (--seed 77:
`problems.seed` of the run's held-out ones is replaced), never on those reported.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval import choices, command, gate
from eval.summary import clean
from prm import answers, apply, plugins, problems, recipe, references
from prm.errors import PrmError
from prm.plugins import Plugin
from prm.records import Group, Problem, Sample, Steps
from prm.rerank import solution_score
from prm.search import Common, Found, _recipe
from prm.store import Run

SPLIT = "test"
BASELINES = ("best_of_n", "weighted_vote")
STEPWISE = ("beam", "dvts", "tree")
BEST = "_best"  # a search's best solution instead of its vote's answer


@dataclass(frozen=True)
class Row:
    """One line of the table. right: 0 or 1 a problem (one sample: the share); tokens, finished: means a problem."""

    right: np.ndarray
    tokens: float
    finished: float


def measure(
    asked: Sequence[Problem], gold: Mapping[str, str], engine, prm, methods: Sequence[Plugin], told=lambda line: None
) -> dict[str, Row]:
    """One row a method, and those of independent samples; all at the methods' own budget. told: gets each method's
    name when it is done.
    """
    rows = {}
    for method in methods:
        found = method.module.search(asked, engine, prm, method.config)
        tokens, finished = np.mean([f.tokens for f in found]), np.mean([len(f.finished) for f in found])
        rows[method.name] = Row(_right(found, gold, method.config.answers), tokens, finished)
        if method.name in STEPWISE:
            best = [_best(one, method.config) for one in found]
            rows[method.name + BEST] = Row(_right(best, gold, method.config.answers), tokens, finished)
        if method.name == BASELINES[0]:
            judged = _judged(asked, found, gold, method.config.answers)
            for name, choose in (
                ("one_sample", choices.one_sample),
                ("majority", choices.by_majority),
                ("any_right", choices.any_right),
            ):
                rows[name] = Row(choose(judged), tokens, finished)
        told(method.name)
    return rows


def _best(found: Found, config: Common) -> Found:
    """The same search with its most valuable solution chosen."""
    if not found.finished:
        return found
    best = max(found.finished, key=lambda path: solution_score(path.scores, config.reduce))
    (answer,) = answers.read_answers([Sample(found.problem_id, 0, best.text)], config.answers)
    return replace(found, answer=answer.text or None, solution=best.text)


def _right(found: Sequence[Found], gold: Mapping[str, str], config: answers.Config) -> np.ndarray:
    """(P,) 1.0 where the answer is right; none counts as wrong."""
    with answers.open_pool(config) as pool:
        return np.array([answers.equivalent(f.answer or "", gold[f.problem_id], pool) for f in found], float)


def _judged(
    asked: Sequence[Problem], found: Sequence[Found], gold: Mapping[str, str], config: answers.Config
) -> list[choices.Judged]:
    groups = []
    for problem, one in zip(asked, found):
        samples = tuple(Sample(problem.id, i, path.text) for i, path in enumerate(one.finished))
        steps = tuple(Steps(problem.id, i, ()) for i in range(len(samples)))
        groups.append(Group(problem, samples, steps, tuple(answers.read_answers(samples, config))))
    return choices.judge(groups, gold, config)


def compared(worlds: Sequence[Mapping[str, Row]]) -> dict[str, dict]:
    """Each row as JSON, means over the runs: accuracy, tokens, finished, and (mean, low, high) over each baseline."""
    right = {name: [rows[name].right for rows in worlds] for name in worlds[0]}
    found = {}
    for name, mine in right.items():
        means = {
            "accuracy": float(np.mean([one.mean() for one in mine])),
            "tokens": float(np.mean([rows[name].tokens for rows in worlds])),
            "finished": float(np.mean([rows[name].finished for rows in worlds])),
        }
        over = {f"over_{base}": gate.difference(mine, right[base]) for base in BASELINES if base != name}
        found[name] = {**means, **over}
    return clean(found)


def verdict(budgets: Mapping[str, Mapping[str, Mapping]]) -> str:
    """Whether beams or tree search are above independent samples: by vote above best-of-N, and each by their own choice."""
    pairs = (
        ("best-of-N", "over_best_of_n", "", "vote"),
        ("best-of-N", "over_best_of_n", BEST, "best"),
        ("the weighted vote", "over_weighted_vote", "", "vote"),
    )
    told = []
    for base, key, suffix, how in pairs:
        above = [
            f"{name} at {k} samples' tokens"
            for k, rows in budgets.items()
            for name in STEPWISE
            if rows[name + suffix][key][1] > 0
        ]
        told.append(f"Above {base}, choosing by {how}, with the whole 95 % interval: {', '.join(above) or 'none'}.")
    return " ".join(told)


def table(budgets: Mapping[str, Mapping[str, Mapping]]) -> str:
    lines = []
    for k, rows in budgets.items():
        lines.append(f"{k} samples' tokens      right  tokens  finished   over best-of-N   over weighted vote")
        for name, row in sorted(rows.items(), key=lambda item: item[1]["accuracy"]):
            over = "   ".join(_points(row.get(f"over_{base}")) for base in BASELINES)
            lines.append(f"  {name:18} {row['accuracy']:8.3f} {row['tokens']:7.0f} {row['finished']:9.1f}   {over}")
    return "\n".join(lines)


def _points(interval: Sequence[float] | None) -> str:
    return " " * 22 if interval is None else "{:+5.1f} ({:+5.1f} to {:+5.1f})".format(*(100 * x for x in interval))


def _asked(loaded: recipe.Recipe, n: int, seed: int | None) -> tuple[list[Problem], dict[str, str]]:
    """The problems and their gold answers: the run's held-out ones, or others of the small world."""
    if seed is not None:
        source = loaded.problems[SPLIT]
        if not isinstance(source, problems.World):
            raise PrmError("--seed: draws other problems of the small world, and this run's are not of it")
        loaded = replace(loaded, problems={SPLIT: replace(source, seed=seed, n=n)})
    asked = problems.load(loaded.problems[SPLIT])[:n]
    return asked, {id: one.answer for id, one in references.load(loaded, SPLIT).items()}


def _tokens_a_sample(run: Run) -> float:
    counts = [len(sample.token_ids) for sample in run.rows(f"samples.{SPLIT}") if sample.token_ids]
    if not counts:
        raise PrmError(f"{run.path}: its samples have no tokens to count; sample with an engine that tells them")
    return float(np.mean(counts))


def search(
    runs: Sequence[Run], arm: str, n: int, budgets: Sequence[int], settings: str, seed: int | None, say=print
) -> dict:
    """The last line's content, but for the verdict."""
    worlds = [_world(run, arm, n, budgets, settings, seed, say) for run in runs]
    found = {str(k): compared([rows[k] for _, rows in worlds]) for k in budgets}
    return {"n": sum(size for size, _ in worlds), "runs": len(runs), "arm": arm, "seed": seed, "budgets": found}


def _world(
    run: Run, arm: str, n: int, budgets: Sequence[int], settings: str, seed: int | None, say
) -> tuple[int, dict[int, dict[str, Row]]]:
    """One run: how many problems, and the rows at each budget."""
    from prm.model import PRM

    loaded, chosen, folder = recipe.of_run(run.path), _recipe.load(settings), apply.model_folder(run.path, arm)
    asked, gold = _asked(loaded, n, seed)
    usage, sample = apply.read_usage(folder), _tokens_a_sample(run)
    prm, found = PRM.load(folder), {}
    shared = {name: getattr(loaded.sampling, name) for name in ("max_tokens", "temperature", "top_p")}
    with closing(loaded.engine.module.open_engine(loaded.engine.config)) as engine:
        for k in budgets:
            now = replace(chosen, search={**chosen.search, **shared, "budget": round(k * sample)})
            methods = [_recipe.method(now, name, usage, settings) for name in plugins.names("search")]
            told = f"{run.path}, {k} samples' tokens"
            found[k] = measure(asked, gold, engine, prm, methods, lambda name: say(f"{told}: {name} done"))
    return len(asked), found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.search", description=__doc__.split("\n")[0])
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="a run's folder; its policy is the engine, its held-out problems are solved",
    )
    parser.add_argument("--arm", default="prm", help="whose PRM (default prm)")
    parser.add_argument("--n", type=int, default=200, help="how many problems of each run (default 200)")
    parser.add_argument(
        "--budgets", type=int, nargs="+", default=[4, 8, 16], help="in samples' tokens (default 4 8 16)"
    )
    parser.add_argument("--recipe", default="recipes/search.yaml", help="the methods' settings")
    parser.add_argument("--seed", type=int, help="other problems of the small world, to choose settings on")
    parser.add_argument("--out", help="JSON to write")
    given = parser.parse_args(arguments)
    found = search([Run(run) for run in given.runs], given.arm, given.n, given.budgets, given.recipe, given.seed)
    found["verdict"] = verdict(found["budgets"])
    print(table(found["budgets"]))
    print(found["verdict"])
    if given.out:
        Path(given.out).write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    command(main)
