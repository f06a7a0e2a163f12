"""`prm rerank --method reasked-vote`: the vote over problems that are asked again in other words.

Each problem is re-posed by the recipe's `repose` and put to its engine as often as its row has samples, one answer each; the answers are carried
back and vote, weighted by a PRM's scores where one is given. At the same number of samples this rests on other routes than the vote over the
samples that the row brings, so it does not share the errors which those make together.

The recipe is recipes/reasked.yaml or one like it; of a whole recipe no more is read (`READ`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

from prm import answers, plugins, recipe, recipefile, transforms
from prm.apply import check_reduction, read_usage, reduction, segmenter_of
from prm.errors import PrmError
from prm.jsonl import write_rows
from prm.labelling import try_pool
from prm.progress import progress, say
from prm.records import Answer, Problem, Sample, StepScores
from prm.rerank import majority, solution_score, weighted_vote
from prm.signals import Context
from prm.solutions import BAD, Unread, check_usable

CHUNK = 64  # problems asked at once
READ = ("engine", "sampling", "answers", "segmenter", "repose")  # sections; the segmenter is for a PRM that names none
_ELSE = {
    "name": "reasked",
    "problems": {"test": {"source": "world"}},
    "segmenter": "delimiter",
}  # a Recipe must have them


def load(path: str, overrides: Sequence[str] = ()) -> recipe.Recipe:
    """The recipe in a file, with `key=value` overrides of what is read. Raises PrmError, also for one that says not how to
    re-pose."""
    unread = {field.name for field in fields(recipe.Recipe)} - {*READ}
    for override in overrides:
        if (section := override.partition("=")[0].partition(".")[0]) in unread:
            raise PrmError(
                f"'{override}': reasked-vote does not read `{section}`, only {', '.join(READ)}; leave it out"
            )
    loaded = recipe.build({**_ELSE, **recipefile.read(Path(path), overrides, unfilled=unread)}, path)
    if loaded.repose is None:
        raise PrmError(
            f"{path}: has no `repose`; add repose.transform=text to the command (or world, for the small world)"
        )
    return loaded


def reasked_vote(
    path: str, out: str, recipe_path: str, overrides: Sequence[str], folder: Path | None, reduce: str | None
) -> int:
    """Writes {"problem_id", "answer", "score", "reason", "answers", "scores"} rows and returns their number.

    answer: the original problem's, or null with a reason, "bad_row: ..." for a row that cannot be used; score: its share of the
    samples or, with a PRM (`folder`), the sum of their scores; answers, scores: of each sample asked for, the latter null without a
    PRM. Raises PrmError for a recipe that cannot be read and for a `reduce` that is unknown or has no PRM.
    """
    loaded = load(recipe_path, overrides)
    for plugin in (loaded.engine, loaded.segmenter, loaded.repose.transform):
        plugins.check(plugin.module, plugin.config)
    reduce = _reduce(folder, reduce)
    rows = list(try_pool(path))
    check_usable(rows)
    pool = [(row[0], len(row[1])) for row in rows if not isinstance(row, Unread)]
    context = Context(loaded)
    try:
        with answers.open_pool(loaded.answers) as comparer:
            made = _rows(pool, context, comparer, folder, reduce)
            count = write_rows(out, (_unread(row) if isinstance(row, Unread) else next(made) for row in rows))
    finally:
        context.close()
    same = sum(not _other_words(problem, loaded) for problem, _ in pool)
    told = f"; {same} could not be put in other words and were asked as they are" if same else ""
    bad = count - len(pool)
    told += f"; not asked: {bad} {BAD}" if bad else ""
    say(f"{count} problems, {context.tokens:,} tokens generated -> {out}{told}")
    return count


def _rows(pool, context: Context, comparer, folder: Path | None, reduce: str | None) -> Iterator[dict]:
    for at in progress(range(0, len(pool), CHUNK), what="asking again"):
        chunk = pool[at : at + CHUNK]
        asked = [_asked(problem, n, context.recipe) for problem, n in chunk]
        flat = [one for mine in asked for one in mine]
        sampling = replace(context.recipe.sampling, samples=1)
        drawn = context.engine().sample([one.problem for one in flat], sampling)
        read = answers.read_reposed(
            drawn, [o.of for o in flat], [o.map for o in flat], context.recipe.answers, comparer
        )
        scores = _scored([o.problem for o in flat], drawn, context, folder) if folder else [None] * len(drawn)
        start = 0
        for (problem, _), mine in zip(chunk, asked):
            part = slice(start, start := start + len(mine))
            yield _voted(problem, read[part], scores[part], reduce)


def _asked(problem: Problem, n: int, loaded: recipe.Recipe) -> list[transforms.Reposed]:
    return transforms.asked_again(problem, n, loaded.sampling.seed, loaded.repose.transform)


def _other_words(problem: Problem, loaded: recipe.Recipe) -> bool:
    (one,) = _asked(problem, 1, loaded)
    return one.problem.text != problem.text


def _scored(asked: Sequence[Problem], drawn: Sequence[Sample], context: Context, folder: Path) -> list[StepScores]:
    from prm.model import PRM
    from prm.score import score_samples

    prm = context.cached(("prm", folder), lambda: PRM.load(folder))
    cut = segmenter_of(read_usage(folder)) or context.recipe.segmenter
    steps = cut.module.cut(list(zip(asked, drawn)), cut.config, context)
    return score_samples(prm, list(zip(asked, drawn, steps)), folder.name)


def _voted(problem: Problem, read: Sequence[Answer], scores: Sequence[StepScores | None], reduce: str | None) -> dict:
    clusters = [answer.cluster for answer in read]
    of_problem = [replace(row, problem_id=problem.id, index=i) for i, row in enumerate(scores) if row is not None]
    chosen = weighted_vote(of_problem, clusters, reduce) if of_problem else majority(clusters, problem.id)
    return {
        "problem_id": problem.id,
        "answer": None if chosen.index is None else read[chosen.index].text,
        "score": chosen.score,
        "reason": chosen.reason,
        "answers": [answer.text or None for answer in read],
        "scores": [solution_score(row.values, reduce) for row in of_problem] or None,
    }


def _unread(row: Unread) -> dict:
    none = {"answer": None, "score": None, "reason": row.reason}
    return {"problem_id": row.problem_id, **none, "answers": [], "scores": None}


def _reduce(folder: Path | None, given: str | None) -> str | None:
    if folder is not None:
        return reduction(folder, read_usage(folder), given)
    if given is not None:
        check_reduction(given)
        raise PrmError("--reduce: goes with --prm; without one every sample has one vote")
    return None
