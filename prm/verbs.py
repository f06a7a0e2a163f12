"""What each verb of the command line calls: arguments are checked against each other here, everything else lies in the modules called."""

from __future__ import annotations

import argparse
import os

from prm.errors import PrmError


def run(given: argparse.Namespace) -> None:
    from prm import pipeline, recipe

    loaded = recipe.load(given.recipe, given.overrides)
    if given.check:
        print(pipeline.checked(loaded))
    else:
        pipeline.run(loaded)


def show(given: argparse.Namespace) -> None:
    from prm import show, store

    run = store.Run(given.run)
    if given.who and given.problem:
        raise PrmError("--who tells of whole stages, --problem of one problem; give one of them")
    _page_options(given)
    if given.html is not None:
        lines = show.page(run, given.problem, given.html, given.model, given.roles)
    elif given.who:
        lines = show.who(run, given.stage)
    elif given.stage:
        lines = show.rows(run, given.stage, given.problem)
    else:
        lines = show.problem(run, given.problem, given.traces, given.model) if given.problem else show.stages(run)
    for line in lines:
        print(line)


def _page_options(given: argparse.Namespace) -> None:
    if given.html is None and given.roles:
        raise PrmError("--roles: goes with --html OUT, the page that shows them")
    if given.html is None and not given.traces and given.model:
        raise PrmError("--model: goes with --html OUT or --traces, which read the samples")
    if given.html is not None and given.traces:
        raise PrmError("--traces: the page shows every token's; leave it out, or --html")
    if (given.html is not None or given.traces) and (given.stage or not given.problem):
        raise PrmError("--html, --traces: show one problem; give --problem ID with them, and no STAGE")


def label(given: argparse.Namespace) -> None:
    from prm.labelling import label_pool

    _apart(given.pool, given.out)
    label_pool(given.pool, given.out, given.recipe)


def convert(given: argparse.Namespace) -> None:
    from prm import convert, recipefile

    _apart(given.data, given.out)
    sides = convert.sides(given.source, given.target, recipefile.of_overrides(given.overrides))
    convert.convert(given.data, given.out, *sides)


def train(given: argparse.Namespace) -> None:
    from prm import given as labels

    recipe = labels.load(given.recipe, given.backbone, given.format, given.overrides)
    labels.train_file(given.data, recipe, given.out)


def score(given: argparse.Namespace) -> None:
    from prm import apply, scorefile

    _apart(given.solutions, given.out)
    scorefile.score_file(given.solutions, apply.model_folder(given.model, given.arm), given.out, given.separator)


def rerank(given: argparse.Namespace) -> None:
    from prm import apply

    _apart(given.pool, given.out)
    if given.overrides and given.method != "reasked-vote":
        raise PrmError(f"'{given.overrides[0]}': values of a recipe go with --method reasked-vote alone; leave it out")
    if given.method == "checked-vote":
        if given.prm or given.arm or given.reduce or given.recipe:
            raise PrmError(
                "--method checked-vote: reads the texts alone; leave --prm, --arm, --reduce and --recipe out"
            )
        apply.rerank_checked(given.pool, given.out)
        return
    if given.arm and not given.prm:
        raise PrmError("--arm: goes with --prm, a run's folder")
    folder = apply.model_folder(given.prm, given.arm) if given.prm else None
    if given.method == "reasked-vote":
        _reasked(given, folder)
        return
    if given.recipe:
        raise PrmError("--recipe: goes with --method reasked-vote alone")
    if folder is None:
        raise PrmError(f"--prm: {given.method} needs a PRM's folder; give one, or --method checked-vote")
    apply.rerank_file(given.pool, folder, given.out, given.method.replace("-", "_"), given.reduce)


def _reasked(given: argparse.Namespace, folder) -> None:
    from prm import reasking

    if given.recipe is None:
        raise PrmError("--recipe: reasked-vote needs one with an engine and `repose`, such as recipes/reasked.yaml")
    reasking.reasked_vote(given.pool, given.out, given.recipe, given.overrides, folder, given.reduce)


def search(given: argparse.Namespace) -> None:
    from prm import apply
    from prm.search import _recipe

    _apart(given.problems, given.out)
    folder = apply.model_folder(given.prm, given.arm)
    _recipe.search_file(given.problems, folder, given.out, given.recipe, given.overrides)


def roles(given: argparse.Namespace) -> None:
    from prm.roles import recipe

    for line in recipe.lines(recipe.fit_corpus(recipe.load(given.recipe, given.corpus, given.overrides), given.out)):
        print(line)


def segmenter(given: argparse.Namespace) -> None:
    from prm.segmenters import _recipe

    recipe = _recipe.load(given.recipe, given.corpus, given.overrides)
    for line in _recipe.lines(_recipe.fit_corpus(recipe, given.out)):
        print(line)


def harvest(given: argparse.Namespace) -> None:
    from prm.roles import harvest

    harvest.harvest(given.roles, given.out, harvest.settings(given.corpus, given.overrides))


def export(given: argparse.Namespace) -> None:
    from prm import apply
    from prm import export as exporting
    from prm.progress import say

    out = exporting.export(apply.model_folder(given.model, given.arm), given.out, given.dtype)
    say(f"exported -> {out}; how to load it stands in {out / 'README.md'}")


def serve(given: argparse.Namespace) -> None:
    from pathlib import Path

    from prm import apply
    from prm.serve import app
    from prm.serve.judge import Judge, check_unscored

    check_unscored(given.unscored, "--unscored")
    folder, path = apply.model_folder(given.model, given.arm), Path(given.model).resolve()
    with app.listen(given.host, given.port) as found:
        judge = Judge.load(folder, given.reduce, given.prompt, given.device)
        app.serve(judge, given.name or given.arm or path.name, found, given.unscored, (given.model, str(path)))


def _apart(path: str, out: str) -> None:
    if os.path.exists(path) and os.path.exists(out) and os.path.samefile(path, out):
        raise PrmError(f"{out}: is the input too; give another -o")


GO_ON = (run, train, harvest)  # the verbs that keep what was finished when they are stopped
