"""A PRM's scores of sampled solutions, as rows like any signal's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prm.encode import Encoded, encode_many
from prm.records import Problem, Sample, Steps, StepScores

if TYPE_CHECKING:
    from prm.model import PRM

KEY = "prm"


def score_samples(prm: PRM, rows: Iterable[tuple[Problem, Sample, Steps]], source: str) -> list[StepScores]:
    """One row a sample, in order: the belief that each step is right, weight 1.

    A sample without steps gets empty values. One that cannot be encoded (its problem is too long) abstains on every step,
    with the reason as each step's provenance.
    """
    return [scores for scores, _ in score_and_cut(prm, rows, source)]


def score_and_cut(
    prm: PRM, rows: Iterable[tuple[Problem, Sample, Steps]], source: str
) -> list[tuple[StepScores, tuple[int, ...]]]:
    """`score_samples`, each with the steps, from 0, that were too long and are scored by their last tokens alone (`Encoded.cut`)."""
    rows = list(rows)
    pairs = [(problem.text, steps.cut(sample.text)) for problem, sample, steps in rows]
    encoded = encode_many(pairs, prm.tokenizer, prm.config)
    scores = prm.score_encoded(encoded)
    return [
        (_row(sample, steps, one, mine, source), one.cut)
        for (_, sample, steps), one, mine in zip(rows, encoded, scores)
    ]


def _row(sample: Sample, steps: Steps, encoded: Encoded, scores: list[float], source: str) -> StepScores:
    count = len(steps.ends)
    if encoded.reason:
        why = (encoded.reason,) * count
        return StepScores(sample.problem_id, sample.index, source, KEY, (None,) * count, (0.0,) * count, why)
    return StepScores(sample.problem_id, sample.index, source, KEY, tuple(scores), (1.0,) * count)
