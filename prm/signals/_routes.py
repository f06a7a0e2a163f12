"""Asking for a quantity by several routes, one after another, until the answers settle it: the sequential half of `reask`.

A route's answer is a witness. Witnesses err independently: each is right with chance p and otherwise says any of the nine other digits alike
(naive Bayes). With s_r(d) the share of route r's answers that map to digit d and n routes heard,

    v(d) = sum_r s_r(d),    p = (8 + max_d v(d)) / (10 + n),    P(d) = softmax_d( log(9 p / (1 - p)) v(d) )

so p rests on how well this very quantity's routes agree and on their number (a Beta(8, 2) prior: a policy worth asking is right four times in
five). Two routes that agree give P = .995, three .9999.

An answer whose own text meets the computation in doubt is no other route: it is not heard (`met` counts it), whatever the route was meant to be.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prm.engines import drawn
from prm.records import Problem, Sample
from prm.world.facts import Fact
from prm.world.routes import Route
from prm.world.story import read_answer, read_equations, tell

PRIOR_RIGHT, PRIOR_WRONG = 8.0, 2.0
DIGITS = range(10)


@dataclass
class Inquiry:
    """What was asked for one fact and heard so far. answers: by route, the digits it came to; asked, met, tokens: of all answers."""

    fact: Fact
    routes: Sequence[Route]
    answers: dict[int, Counter] = field(default_factory=lambda: defaultdict(Counter))
    asked: int = 0
    met: int = 0
    tokens: int = 0

    def belief(self) -> list[float]:
        """P(d) for each digit; all alike where nothing was heard."""
        votes = [sum(c[d] / c.total() for c in self.answers.values()) for d in DIGITS]
        most = max(votes)
        p = (PRIOR_RIGHT + most) / (PRIOR_RIGHT + PRIOR_WRONG + len(self.answers))
        odds = [math.exp(math.log(9 * p / (1 - p)) * (v - most)) for v in votes]
        return [o / sum(odds) for o in odds]

    def next_problem(self) -> Problem:
        """The next question: the routes in turn, then again from the first."""
        name = f"reask/{''.join(map(str, self.fact))}/{self.asked}"
        route = self.routes[self.asked % len(self.routes)]
        return Problem(name, tell(route.program, random.Random(name)))

    def hear(self, sample: Sample, guard: bool) -> None:
        route = self.asked % len(self.routes)
        meets = any(
            equation[:3] == (self.fact[1], self.fact[0], self.fact[2]) for equation in read_equations(sample.text)
        )
        digit = None if sample.reason else read_answer(sample.text.rsplit("\n", 1)[-1])
        self.asked += 1
        self.met += meets
        self.tokens += drawn(sample)
        if digit is not None and not (guard and meets):
            self.answers[route][self.routes[route].answer_map(digit)] += 1


def inquire(
    routes: Mapping[Fact, Sequence[Route]],
    sample: Callable[[list[Problem]], Iterable[Sample]],
    first: int,
    most: int,
    certain: float,
    guard: bool,
) -> dict[Fact, Inquiry]:
    """Asks for every fact `first` times, then goes on with those whose likeliest digit is below `certain`, `most` times at most.

    sample: problems -> one sample each, in order. A fact without routes is not asked.
    """
    made = {fact: Inquiry(fact, found) for fact, found in routes.items()}
    open_ones = [one for one in made.values() if one.routes]
    for turn in range(most):
        if not open_ones:
            break
        for one, answer in zip(open_ones, sample([one.next_problem() for one in open_ones]), strict=True):
            one.hear(answer, guard)
        if turn + 1 >= first:
            open_ones = [one for one in open_ones if max(one.belief()) < certain]
    return made
