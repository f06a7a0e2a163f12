"""Pairwise judging: solutions (or next steps) of one problem are compared in pairs by a judge, and ranked by Copeland.

SERL's form. Each pair of distinct texts is judged `judgements` times, half of them with the order swapped. A pair is
decided where the judge prefers the same text in both orders, so a judge that always takes the first text decides
nothing. With wins and losses over the decided pairs,

    value = (1 + score) / 2,    score = (wins - losses) / decided        prm/copeland.py
    weight = consistent / (met + 2)                                      met: pairs judged; consistent: decided ones

and no decided pair means abstaining. Judges like length: a pair counts fully where the longer text is at most `longest`
times the shorter, and `outside` of a win else (0: such pairs are not asked). Verdicts that cannot be read are counted
in the provenance and ignored. Not every pair is judged: each text meets about `meets` others (prm/copeland.py).

level: "solution"   every step of a solution has the solution's value
       "step"       texts are the next steps after one beginning, the value is that step's; where a beginning goes on in
                    one way only, its next step abstains. Steps that write the same numbers (or, without numbers, the
                    same words) are the same step, so solutions diverge where they first compute something else.

A judge is a witness of its own; its blind spots are its model's, and it sees the very computation in doubt.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prm import plugins
from prm.copeland import copeland, pairings
from prm.progress import progress
from prm.records import Group, Problem, StepScores
from prm.signals import _assertions, _prompts

KEY = "judge"
CHUNK = 128  # pairs judged at a time, so that the bar moves
Standing = tuple[float | None, float, str]  # value, weight, provenance


@dataclass(frozen=True)
class Config:
    """engine: the judge, as in a recipe ({name: openai, chat: true, ...}); empty takes the recipe's own. level:
    "solution" or "step". judgements: of a pair, even. meets: how many others each text is compared with. longest: how
    many times the shorter text the longer one may be. outside: what a win counts beyond that. max_tokens: of a
    judgement."""

    engine: dict[str, Any] = field(default_factory=dict)
    level: str = "solution"
    judgements: int = 2
    meets: int = 4
    longest: float = 1.2
    outside: float = 0.0
    max_tokens: int = 512

    def __post_init__(self):
        if self.level not in ("solution", "step"):
            raise ValueError(f"level: {self.level!r} is neither solution nor step; choose one")
        if self.judgements < 2 or self.judgements % 2:
            raise ValueError(f"judgements: {self.judgements} is not even; 2 judges each order once")
        if self.meets < 1 or self.max_tokens < 1:
            raise ValueError("meets: it and max_tokens must be at least 1; 4 and 512 are usual")
        if self.longest < 1 or not 0 <= self.outside <= 1:
            raise ValueError("longest: it must be at least 1 and outside within [0, 1]; 1.2 and 0 are SERL's")


@dataclass
class _Contest:
    """Texts of one problem that compete after one beginning, without copies, and the pairs that are judged."""

    name: str
    problem: str
    begun: str
    texts: list[str] = field(default_factory=list)
    places: dict[Any, int] = field(default_factory=dict)  # what tells texts apart -> place in texts
    pairs: list[tuple[int, int]] = field(default_factory=list)

    def near(self, i: int, j: int, longest: float) -> bool:
        shorter, longer = sorted(len(self.texts[k].strip()) for k in (i, j))
        return longer <= longest * shorter


def check(config: Config) -> None:
    """Raises PrmError for a judge that cannot be opened."""
    if config.engine:
        judge = _plugin(config)
        plugins.check(judge.module, judge.config)


def label(groups: Sequence[Group], config: Config, context) -> list[StepScores]:
    """One StepScores a sample."""
    contests: dict[str, _Contest] = {}
    entered = [
        (sample, _enter(group.problem, steps.cut(sample.text), config.level, contests))
        for group in groups
        for sample, steps in zip(group.samples, group.steps)
    ]
    for contest in contests.values():
        contest.pairs = _draw(contest, config)
    verdicts = _judge([contest for contest in contests.values() if contest.pairs], config, context)
    standings = {name: _standings(contest, verdicts, config) for name, contest in contests.items()}
    rows = []
    for sample, places in entered:
        said = [standings[name][place] for name, place in places]
        values, weights, provenance = zip(*said) if said else ((), (), ())
        rows.append(StepScores(sample.problem_id, sample.index, "judge", KEY, values, weights, provenance))
    return rows


def _enter(problem: Problem, steps: list[str], level: str, contests: dict[str, _Contest]) -> list[tuple[str, int]]:
    """(contest, the text's place in it) of each step; a text that is there already does not join again."""
    if level == "solution":
        whole = "".join(steps)
        return [_join(problem, "", whole, (whole.strip(),), contests)] * len(steps) if steps else []
    path = [_what(step) for step in steps]
    return [_join(problem, "".join(steps[:k]), step, tuple(path[: k + 1]), contests) for k, step in enumerate(steps)]


def _join(problem: Problem, begun: str, text: str, path: tuple[str, ...], contests: dict) -> tuple[str, int]:
    """path: what leads to the text and then the text itself, by what tells texts apart."""
    name = f"judge/{problem.id}/{hashlib.blake2b(repr(path[:-1]).encode(), digest_size=6).hexdigest()}"
    contest = contests.setdefault(name, _Contest(name, problem.text, begun))
    place = contest.places.setdefault(path[-1], len(contest.texts))
    if place == len(contest.texts):
        contest.texts.append(text)
    return name, place


def _what(step: str) -> str:
    """What tells steps apart: their numbers, or their words."""
    return " ".join(sorted(_assertions.read(step).numbers)) or " ".join(step.lower().split())


def _draw(contest: _Contest, config: Config) -> list[tuple[int, int]]:
    def allowed(i: int, j: int) -> bool:
        return config.outside > 0 or contest.near(i, j, config.longest)

    return pairings(len(contest.texts), config.meets, allowed, random.Random(contest.name))


def _judge(contests: Sequence[_Contest], config: Config, context) -> dict[str, Counter]:
    """Question id -> how often "A", "B" or "" (malformed) was said."""
    problems = []
    for contest in contests:
        for i, j in contest.pairs:
            for name, (a, b) in zip(_names(contest, i, j), ((i, j), (j, i))):
                text = _prompts.compare(contest.problem, contest.begun, contest.texts[a], contest.texts[b])
                problems.append(Problem(name, text))
    said: dict[str, Counter] = defaultdict(Counter)
    if not problems:
        return said
    sampling = replace(context.recipe.sampling, samples=config.judgements // 2, max_tokens=config.max_tokens)
    engine = _engine(config, context)
    chunks = [problems[at : at + CHUNK] for at in range(0, len(problems), CHUNK)]
    for chunk in progress(chunks, what=f"judging {len(problems) // 2} pairs"):
        for sample in engine.sample(chunk, sampling):
            said[sample.problem_id]["" if sample.reason else _prompts.verdict(sample.text)] += 1
    return said


def _names(contest: _Contest, i: int, j: int) -> tuple[str, str]:
    return f"{contest.name}/{i}-{j}", f"{contest.name}/{j}-{i}"


def _standings(contest: _Contest, said: Mapping[str, Counter], config: Config) -> list[Standing]:
    verdicts = [(i, j, _margin(contest, i, j, said, config)) for i, j in contest.pairs]
    malformed = {(i, j): sum(said[name][""] for name in _names(contest, i, j)) for i, j in contest.pairs}
    standings = []
    for k, score in enumerate(copeland(len(contest.texts), verdicts)):
        mine = [(i == k, margin, malformed[i, j]) for i, j, margin in verdicts if k in (i, j)]
        decided = sum(margin != 0 for _, margin, _ in mine)
        wins = sum((margin > 0) == first for first, margin, _ in mine if margin)
        text = f"won {wins} lost {decided - wins} undecided {len(mine) - decided} malformed {sum(m for *_, m in mine)}"
        standings.append((None, 0.0, text) if score is None else ((1 + score) / 2, decided / (len(mine) + 2), text))
    return standings


def _margin(contest: _Contest, i: int, j: int, said: Mapping[str, Counter], config: Config) -> float:
    """Above 0 where i is preferred in both orders, below where j is, 0 where the orders do not agree."""
    first, swapped = (said[name]["A"] - said[name]["B"] for name in _names(contest, i, j))
    if first * swapped >= 0:
        return 0.0
    return math.copysign(1.0 if contest.near(i, j, config.longest) else config.outside, first)


def _plugin(config: Config) -> plugins.Plugin:
    return plugins.build("engines", config.engine, "name", None, "judge.engine")


def _engine(config: Config, context):
    return context.engine(_plugin(config)) if config.engine else context.engine()
