"""Sequence log-probability: how likely the policy found the step's own tokens. The baseline that every signal must be
shown against.

    value = exp(mean over the step's tokens of log p(token))        the geometric mean of their probabilities

A step's tokens are those between its predecessor's end and its own (prm/spans.py). Abstains where the engine knows no
log-probabilities or not which tokens they are of (replayed samples, some servers), and on steps that own no token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prm.errors import PrmError
from prm.records import Group, Sample, Steps, StepScores
from prm.spans import token_ends

KEY = "policy"


@dataclass(frozen=True)
class Config:
    """tokenizer: folder or hub id of the tokenizer of the sampled tokens; empty: that of the recipe's engine."""

    tokenizer: str = ""


def label(groups: Sequence[Group], config: Config, context=None) -> list[StepScores]:
    """One StepScores a sample; every value has confidence 1."""
    return [_sample(sample, steps, config, context) for g in groups for sample, steps in zip(g.samples, g.steps)]


def _sample(sample: Sample, steps: Steps, config: Config, context) -> StepScores:
    values: list[float | None] = [None] * len(steps.ends)
    if steps.ends and sample.logprobs and sample.token_ids:
        ends = token_ends(sample.text, steps.ends, sample.token_ids, _tokenizer(config, context))
        values = [_likelihood(sample.logprobs[start:end]) for start, end in zip((0, *ends), ends)]
    weights = tuple(0.0 if value is None else 1.0 for value in values)
    return StepScores(sample.problem_id, sample.index, "logprob", KEY, tuple(values), weights)


def _likelihood(logprobs: Sequence[float]) -> float | None:
    return math.exp(min(0.0, sum(logprobs) / len(logprobs))) if logprobs else None


def _tokenizer(config: Config, context):
    name = (
        config.tokenizer
        or getattr(context.recipe.engine.config, "tokenizer", "")
        or getattr(context.recipe.engine.config, "model", "")
    )
    if not name:
        raise PrmError(
            "signals.logprob: cannot tell which tokenizer the samples were drawn with; set signals.logprob.tokenizer"
        )
    return context.cached(("tokenizer", name), lambda: _load(name))


def _load(name: str):
    from transformers import AutoTokenizer

    from prm.models import resolve

    return AutoTokenizer.from_pretrained(resolve(name))
