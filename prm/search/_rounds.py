"""What all methods share: a problem's search as a generator, all problems' in step, and the choice at the end.

    def method(config, lane):                           # one problem's search
        beams = [Path()]
        while ...:
            grown = yield [Ask(path) for path in beams]     # in the same order; None for one that came to nothing

Finished solutions are kept here as they come. When the budget is spent the generator is not asked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prm import answers
from prm.engines import Engine
from prm.errors import PrmError
from prm.records import Problem, Sample, StepScores
from prm.rerank import best_of_n, solution_score, weighted_vote
from prm.search import Common, Found, Path
from prm.search._draw import Job, Lane, serve
from prm.signals import Context

NOTHING = "budget: spent before a solution was finished"


@dataclass(frozen=True, slots=True)
class Ask:
    """A path to be drawn on by one step, or to its end."""

    path: Path
    whole: bool = False


Method = Generator[list[Ask], list[Path | None], None]


@dataclass
class _Search(Lane):
    """One problem's search: its lane, its generator, and what it has found.

    begun: the last paths that are not finished. idle: rounds in a row that drew nothing and brought nothing: one
    may be the end of what was too long, after two there is nothing to be had. short: the last round's jobs did not
    all fit the budget. rescued: the last round was not the method's, but finished a solution before the budget ends.
    """

    method: Method | None = None
    config: Common | None = None
    replies: list[Path | None] | None = None
    asked: list[Ask] | None = None
    before: int = 0
    idle: int = 0
    over: bool = False
    rescued: bool = False
    short: bool = False
    root: Any = None
    begun: list[Path] = field(default_factory=list)
    finished: list[Path] = field(default_factory=list)
    reasons: Counter = field(default_factory=Counter)

    def prepare(self) -> None:
        """The jobs of the next round: what the method asks for, or the longest begun solution where the budget
        runs out.
        """
        if self.asked is None:
            self.asked = self.method.send(self.replies)
        reserve = 0 if self.finished else getattr(self.config, "reserve", 0)
        self.rescued = reserve > 0 and not self.rescued and (self.short or self.left <= reserve)
        self.before = self.left
        if self.rescued:
            last = max(self.begun or [Path()], key=lambda path: (len(path.steps), value(path, self.config)))
            self.jobs, self.kept = [Job(last, True)], 0
        else:
            self.jobs, self.asked = [Job(ask.path, ask.whole) for ask in self.asked], None
            self.kept = reserve if self.left > reserve else 0

    def settle(self, scored: Sequence[Path | None], refused: bool) -> None:
        """Takes the round's paths, in the jobs' order. refused: the PRM took none of them, nor will it take others
        of this problem.
        """
        self.short = not all(job.done for job in self.jobs)
        self.idle = self.idle + 1 if self.left == self.before and not any(scored) else 0
        self.over = (self.short and self.kept == 0) or refused or self.idle > 1
        self.finished += [replace(path, partial=None) for path in scored if path is not None and path.finished]
        if not self.rescued:
            self.replies = list(scored)
            self.begun = [path for path in scored if path is not None and not path.finished] or self.begun


def run(
    method: Callable[[Common, Lane], Method],
    problems: Sequence[Problem],
    engine: Engine,
    prm,
    config: Common,
    choose: str,
    distinct: bool = True,
) -> list[Found]:
    """One outcome a problem. method: called with the config and the problem's lane, whose `left` tells what its
    budget still holds.

    distinct: a text finished twice counts once; for independent samples, whose frequency tells something, it
    counts each time.
    """
    context = Context()
    searches = [_Search(problem, config.budget, config=config) for problem in problems]
    for search in searches:
        search.method = method(config, search)
    while going := [search for search in searches if not search.over]:
        for search in going:
            search.prepare()
        serve(going, engine, config, context)
        _score(going, prm.scorer)
    with answers.open_pool(config.answers) as pool:
        return [_found(search, choose, distinct, pool) for search in searches]


def value(path: Path, config: Common) -> float:
    """The value of a solution, begun or finished; 1 before its first step."""
    return solution_score(path.scores, config.reduce) if path.scores else 1.0


def _score(searches: Sequence[_Search], scorer) -> None:
    """One call of the PRM for the round's paths; one that it refuses comes to nothing, for the reason that it gives."""
    made = [(search, job) for search in searches for job in search.jobs if job.done and not job.reason]
    accepted, refused = set(), set()
    for (search, job), scored in zip(made, _scored(scorer, [(search, job.path) for search, job in made])):
        if isinstance(scored, PrmError):
            job.reason = str(scored)
            refused.add(search.problem.id)
        else:
            job.path = scored
            accepted.add(search.problem.id)
    for search in searches:
        search.reasons.update(job.reason for job in search.jobs if job.reason)
        paths = [job.path if job.done and not job.reason else None for job in search.jobs]
        search.settle(paths, search.problem.id in refused - accepted)


def _scored(scorer, asked: Sequence[tuple[_Search, Path]]) -> list[Path | PrmError]:
    """The paths with their new steps scored, or why the PRM refused; equal ones are scored once."""
    keys = [(search.problem.text, path.steps, len(path.scores)) for search, path in asked]
    different = list(dict(zip(keys, asked)).values())
    try:
        found = _extended(scorer, different)
    except PrmError:  # of one of them: which?
        found = [_one(scorer, one) for one in different]
    known = dict(zip(dict.fromkeys(keys), found))
    made = []
    for key, (_, path) in zip(keys, asked):
        grown = known[key]
        if not isinstance(grown, PrmError):
            grown = replace(path, partial=grown[0], scores=(*path.scores, *grown[1]))
        made.append(grown)
    return made


def _one(scorer, asked: tuple[_Search, Path]):
    try:
        return _extended(scorer, [asked])[0]
    except PrmError as error:
        return error


def _extended(scorer, asked: Sequence[tuple[_Search, Path]]) -> list[tuple]:
    """(partial, new scores) of each path; the problem is read once in a search."""
    for search, _ in asked:
        if search.root is None:
            search.root = scorer.open(search.problem.text)
    fresh = [(path.partial or search.root, path.steps[len(path.scores) :]) for search, path in asked]
    read = iter(scorer.extend([(partial, steps) for partial, steps in fresh if steps]))
    return [next(read) if steps else (partial, []) for partial, steps in fresh]


def _found(search: _Search, choose: str, distinct: bool, pool) -> Found:
    config, id, tokens = search.config, search.problem.id, search.config.budget - search.left
    paths = list({path.text: path for path in search.finished}.values()) if distinct else search.finished
    if not paths:
        reason = "; ".join(reason for reason, _ in search.reasons.most_common()) or NOTHING
        return Found(id, None, None, None, tokens, reason)
    samples = [Sample(id, i, path.text) for i, path in enumerate(paths)]
    rows = [StepScores(id, i, "prm", "prm", p.scores, (1.0,) * len(p.scores)) for i, p in enumerate(paths)]
    told = answers.read_answers(samples, config.answers, pool)
    clusters = [answer.cluster for answer in told]
    best = best_of_n(rows, config.reduce, clusters)
    choice = weighted_vote(rows, clusters, config.reduce) if choose == "vote" else best
    if choice.index is None:  # no answer to vote on
        return Found(id, None, samples[best.index].text, None, tokens, choice.reason, tuple(paths))
    answer = told[choice.index]
    return Found(id, answer.text or None, samples[choice.index].text, choice.score, tokens, answer.reason, tuple(paths))
