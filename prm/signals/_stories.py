"""Where a solution first went wrong, from how far each step is confirmed: whole stories are compared.

A story is "no error" or "the first error at step e". A right step is not confirmed with chance novel (another route),
or bred if it uses a value that was not confirmed itself; a wrong step, and one that rests on it, with chance missed.
With h_t how far the values of step t are confirmed, r_t how far the routes to them (both without a factor where a step
has none, and r_t where h_t < 1/2: nobody comes by any route to a value that nobody has), l(h, m) = (1 - m) h + m (1 -
h), and p how likely the solution is right by its answer alone,

    right_t = l(h_t, novel) l(r_t, novel_route), or l(h_t, bred) l(r_t, missed_route)
    wrong_t = l(h_t, missed) l(r_t, missed_route)
    P(none) ~ p prod_t right_t
    P(e)    ~ (1 - p) u_e prod_{t < e} right_t wrong_e prod_{t > e} [d wrong_t + (1 - d) right_t]

d, how likely t rests on e, is .9 where t uses e and .3 where no use is seen: a wrong reading or formula is taken over
without any number to show for it. u_e, how likely an error enters at e, goes with the square root of e's length: the
more is said, the more can go wrong, but a step is also one thought however long. So an unconfirmed value from which
confirmed ones were computed is forgiven, of a row of unconfirmed ones the first is charged, and where siblings confirm
everything but the answer, the step that says most.

Source of .3 and the square root: solutions of problems that are not reported on (prm/signals/pairwise.py). After a
first error .4 of the steps that use none of its values are unconfirmed too (MATH), .04 before it. The length's
exponent fits as .85 on samples of MATH-500 and 1.2 on ProcessBench's solutions of olympiad problems; on GSM8K more
than .5 does worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

USES, APART = 0.9, 0.3


@dataclass(frozen=True)
class Chances:
    """That a step is not confirmed: right, right but from such a value, wrong or carried; the same of a route."""

    novel: float
    bred: float
    missed: float
    novel_route: float
    missed_route: float


def weigh(
    confirmed: Sequence[float | None],
    routes: Sequence[float | None],
    uses: Sequence[Sequence[bool]],
    lengths: Sequence[int],
    right: float,
    chances: Chances,
) -> tuple[float, list[float]]:
    """P(no error) and P(first error at step t) for every t. confirmed, routes: h and r; uses: [e][t], whether step t
    uses step e; lengths: of the steps, in characters; right: p. Time: the number of steps squared."""
    n, c = len(confirmed), chances
    routes = [None if _odd(h) else r for h, r in zip(confirmed, routes)]
    odd = [_odd(h) or _odd(r) for h, r in zip(confirmed, routes)]
    bred = [any(odd[e] and uses[e][t] for e in range(t)) for t in range(n)]
    good = [
        _likely(h, c.bred if b else c.novel) * _likely(r, c.missed_route if b else c.novel_route)
        for h, r, b in zip(confirmed, routes, bred)
    ]
    bad = [_likely(h, c.missed) * _likely(r, c.missed_route) for h, r in zip(confirmed, routes)]
    enters = [math.sqrt(max(1, length)) for length in lengths]
    stories, upto = [], 1.0
    for e in range(n):
        share = [USES if uses[e][t] else APART for t in range(e + 1, n)]
        after = math.prod(d * bad[t] + (1 - d) * good[t] for t, d in zip(range(e + 1, n), share))
        stories.append((1 - right) * enters[e] / sum(enters) * upto * bad[e] * after)
        upto *= good[e]
    none = right * upto
    total = none + sum(stories)
    return (none / total, [s / total for s in stories]) if total > 0 else (right, [(1 - right) / n] * n)


def _odd(h: float | None) -> bool:
    return h is not None and h < 0.5


def _likely(h: float | None, unconfirmed: float) -> float:
    return 1.0 if h is None else (1 - unconfirmed) * h + unconfirmed * (1 - h)
