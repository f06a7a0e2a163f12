"""A vote without a method: the share of samples with the same answer, on every step."""

from __future__ import annotations

from dataclasses import dataclass

from prm.records import StepScores

KEY = "vote"


@dataclass(frozen=True)
class Config:
    confidence: float = 1.0


def label(groups, config, context):
    return [_score(group, i, config) for group in groups for i in range(len(group.samples))]


def _score(group, i, config):
    clusters = [a.cluster for a in group.answers]
    steps, cluster = group.steps[i], clusters[i]
    n = len(steps.ends)
    value = clusters.count(cluster) / len(clusters) if cluster >= 0 else None
    weight = 0.0 if value is None else config.confidence
    return StepScores(steps.problem_id, steps.index, "fake", KEY, (value,) * n, (weight,) * n)
