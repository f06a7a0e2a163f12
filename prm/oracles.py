"""Outcome oracles: how good is the outcome of a solution, without gold?

    score(group, rollouts=()) -> one Verdict (value, confidence) a sample of the group, then one a rollout

value: in [0, 1], or None where the oracle cannot tell; confidence: >= 0, 0 where the value is None. Rollouts are answers
of solutions drawn to be judged, clustered with the group's own (prm/prefixes.py): they are judged and have no vote.
Each oracle names its independence key: what is made from its verdicts rests on the same witness.

    majority    value = 1[answer in the largest cluster]
    soft_vote   value = (n_c - 1) / (n - 1)    a sample's own vote left out; n_c / n for a rollout, which has none

n votes in all, n_c for this answer's cluster. confidence = (n_1 - n_2) / n, the margin of the largest cluster over the
second. No answer, votes of one and tied votes have no verdict. Other oracles whose verdict is the answer's (re-asked
answers, Copeland's ranking) are a `ByAnswer` with their own function; whatever else has `key` and `score` will do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from prm.records import Answer, Group

Verdict = tuple[float | None, float]
NONE: Verdict = (None, 0.0)


class OutcomeOracle(Protocol):
    """What judges outcomes."""

    key: str

    def score(self, group: Group, rollouts: Sequence[Answer] = ()) -> list[Verdict]:
        """The verdicts on the group's samples, in order, and on the rollouts' answers behind them."""


@dataclass(frozen=True)
class ByAnswer:
    """The verdict on a solution is that on its answer, whoever gave it.

    judge: group -> (cluster -> verdict); a cluster that only rollouts gave is asked too, -1 (no answer) never.
    """

    key: str
    judge: Callable[[Group], Callable[[int], Verdict]]

    def score(self, group: Group, rollouts: Sequence[Answer] = ()) -> list[Verdict]:
        judge = self.judge(group)
        return [judge(a.cluster) if a.cluster >= 0 else NONE for a in (*group.answers, *rollouts)]


@dataclass(frozen=True)
class SoftVote:
    """The share of the votes, a sample's own left out."""

    key: str = "vote"

    def score(self, group: Group, rollouts: Sequence[Answer] = ()) -> list[Verdict]:
        votes, _, margin = count(group)
        total = votes.total()
        if not margin:
            return [NONE] * (len(group.answers) + len(rollouts))
        own = [((votes[a.cluster] - 1) / (total - 1), margin) if a.cluster >= 0 else NONE for a in group.answers]
        return own + [(votes[a.cluster] / total, margin) if a.cluster >= 0 else NONE for a in rollouts]


def count(group: Group) -> tuple[Counter[int], int, float]:
    """(votes by cluster, the leading cluster, its margin); the margin is 0 where one vote or a tie decides nothing."""
    votes = Counter(answer.cluster for answer in group.answers if answer.cluster >= 0)
    (first, most), (_, second) = [*votes.most_common(2), (-1, 0), (-1, 0)][:2]
    return votes, first, (most - second) / votes.total() if votes.total() > 1 else 0.0


def _leads(group: Group) -> Callable[[int], Verdict]:
    _, first, margin = count(group)
    return lambda cluster: (float(cluster == first), margin) if margin else NONE


VOTES: dict[str, OutcomeOracle] = {"majority": ByAnswer("vote", _leads), "soft_vote": SoftVote()}
