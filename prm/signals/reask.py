"""Re-asking by another route: is a step's result what the policy itself says when the same quantity is asked differently?

For each fact q = (operator, left, right) that a step asserts, every route r to q (prm/world/routes.py) is put to the policy as a new problem and
answered `samples` times. Routes are witnesses that err independently, each right with chance p and otherwise uniform over the other nine digits
(naive Bayes). With s_r(d) the share of route r's answers that map to digit d, and p = max_d mean_r s_r(d) within [.2, .95],

    P_q(d) = softmax_d( log(9 p / (1 - p)) sum_r s_r(d) ),   value(step) = min over its facts of P_q(asserted digit),

and the weight is P_q's largest minus its second largest.

The vote over the original question plays no part, so a misconception that all samples share is still outvoted by routes that don't meet it: an
independence key of its own. The answer's line is right where it repeats the last result (weight 1). Steps that assert nothing checkable
abstain; so does a fact that fewer than `fewest` routes answered (two are too few).
Only problems of the small world can be re-posed yet.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prm.progress import progress
from prm.records import Group, Problem, Sample, StepScores
from prm.world import routes as world_routes
from prm.world.facts import Fact
from prm.world.story import read_answer, read_equations, tell

KEY = "reask"
VERSION = 2
CHUNK = 128  # routes asked at a time, so that the bar moves


@dataclass(frozen=True)
class Config:
    """samples: answers a route. fewest: a fact that fewer routes answered is left unjudged. max_tokens: of one answer."""

    samples: int = 4
    fewest: int = 3
    max_tokens: int = 96

    def __post_init__(self):
        if self.samples < 1:
            raise ValueError(f"samples: {self.samples} is not positive; 4 to 16 are usual")


def label(groups: Sequence[Group], config: Config, context) -> list[StepScores]:
    """One StepScores a sample. Each fact is asked once a run, whichever shard meets it first: its answers depend on its name alone."""
    beliefs: dict[Fact, dict[int, float]] = context.cached("reask", dict)
    texts = [(sample, steps.cut(sample.text)) for group in groups for sample, steps in zip(group.samples, group.steps)]
    new = {fact for _, steps in texts for step in steps for fact, _ in _claims(step)} - beliefs.keys()
    beliefs.update(_ask(sorted(new), config, context))
    return [_score(sample, steps, beliefs) for sample, steps in texts]


def _claims(step: str) -> list[tuple[Fact, int]]:
    """The facts that a step asserts, with the digits it gives them."""
    return [((op, left, right), result) for left, op, right, result in read_equations(step)]


def _ask(facts: list[Fact], config: Config, context) -> dict[Fact, dict[int, float]]:
    """fact -> digit -> P_q(digit); empty where too few routes gave an answer that could be read."""
    asked = {fact: world_routes.routes(fact) for fact in facts}
    asked = {fact: routes if len(routes) >= config.fewest else [] for fact, routes in asked.items()}
    problems, mapped = [], {}
    for fact, routes in asked.items():
        for i, route in enumerate(routes):
            name = f"reask/{''.join(map(str, fact))}/{i}"
            problems.append(Problem(name, tell(route.program, random.Random(name))))
            mapped[name] = (fact, route)
    if not problems:
        return {fact: {} for fact in facts}
    sampling = replace(context.recipe.sampling, samples=config.samples, max_tokens=config.max_tokens)
    shares: dict[str, Counter] = {name: Counter() for name in mapped}
    chunks = [problems[at : at + CHUNK] for at in range(0, len(problems), CHUNK)]
    for chunk in progress(chunks, what=f"re-asking {len(facts)} facts by {len(problems)} routes"):
        for sample in context.engine().sample(chunk, sampling):
            if (digit := _answer(sample)) is not None:
                shares[sample.problem_id][mapped[sample.problem_id][1].answer_map(digit)] += 1
    return {fact: _pool([c for name, c in shares.items() if mapped[name][0] == fact], config.fewest) for fact in facts}


def _answer(sample: Sample) -> int | None:
    return None if sample.reason else read_answer(sample.text.rsplit("\n", 1)[-1])


def _pool(counts: list[Counter], fewest: int) -> dict[int, float]:
    """P_q from each route's count of answers by digit."""
    heard = [c for c in counts if c]
    if len(heard) < max(1, fewest):
        return {}
    votes = [sum(c[d] / c.total() for c in heard) for d in range(10)]
    p = min(0.95, max(0.2, max(votes) / len(heard)))
    odds = [math.exp(math.log(9 * p / (1 - p)) * (v - max(votes))) for v in votes]
    return {d: o / sum(odds) for d, o in enumerate(odds)}


def _score(sample: Sample, steps: list[str], beliefs: dict[Fact, dict[int, float]]) -> StepScores:
    judged, last = [], None
    for step in steps:
        claims, answer = _claims(step), read_answer(step)
        last = claims[-1][1] if claims else last
        copied = [(float(answer == last), 1.0)] if answer is not None and last is not None else []
        judged.append(_worst([_share(beliefs[fact], digit) for fact, digit in claims] + copied))
    values, weights = zip(*judged) if judged else ((), ())
    return StepScores(sample.problem_id, sample.index, "reask", KEY, values, weights)


def _worst(verdicts: list[tuple[float | None, float]]) -> tuple[float | None, float]:
    """(value, weight) of a step from those of what it asserts; it abstains with the first that does."""
    return min(verdicts, key=lambda v: (v[0] is not None, v), default=(None, 0.0))


def _share(belief: dict[int, float], digit: int) -> tuple[float | None, float]:
    if not belief:
        return None, 0.0
    first, second = sorted(belief.values(), reverse=True)[:2]
    return belief[digit], first - second
