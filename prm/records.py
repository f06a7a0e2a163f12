"""The rows that travel through a run: frozen, typed, never edited.

    Problem -> Sample -> Steps, Answer -> StepScores (signals) -> StepScores (labels) -> PRM -> StepScores (scores)

No row here has room for a gold answer. Gold lives in `prm.references`, which only `eval/` and the signal named `gold` may
import (`tests/test_gold_apart.py` walks the imports).

Signals, labels and PRM outputs are one type, `StepScores`, so one evaluator measures them all and every signal is a
baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """A question to be solved. `meta` holds only columns that a recipe names; never an answer."""

    id: str
    text: str
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion of one problem.

    token_ids, logprobs: one entry a completion token, as the engine drew them (log-probabilities in nats, of the model's
        own distribution before temperature); empty where the engine does not know them (replay).
    finish: "stop", "length", or "" where nothing was generated.
    reason: "" for a usable sample, else why it is not: "prompt_too_long", "empty", "cut_off", ... A sample with a reason
        is kept and counted, has no steps and no vote.
    """

    problem_id: str
    index: int
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finish: str = "stop"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """Where a sample's steps end, as exclusive character offsets into its text; joining the cuts gives the text back.

    Empty `ends` means the sample has no usable text; a non-empty one ends with len(text).
    """

    problem_id: str
    index: int
    ends: tuple[int, ...]

    def cut(self, text: str) -> list[str]:
        """The step texts, in order: "".join(steps.cut(text)) == text."""
        return [text[start:end] for start, end in zip((0, *self.ends), self.ends)]


@dataclass(frozen=True, slots=True)
class Answer:
    """A sample's final answer and the cluster of equivalent answers (within its problem) that it belongs to.

    cluster: 0, 1, ... in order of first appearance; -1 when no answer could be read, which matches nothing, itself included.
    reason: "" or why there is no answer: the sample's own reason, or "no_answer".
    """

    problem_id: str
    index: int
    text: str
    cluster: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepScores:
    """A value per step of one sample, with who said so.

    source: the name of the signal, the label set or the PRM.
    key: independence key. Two sources with one key are one witness (all that is derived from a vote shares "vote").
    values: in [0, 1], the belief that the step is right; None where the source abstains.
    weights: one a step, >= 0: a signal's confidence, a label's training weight; 0 wherever the value is None.
    provenance: what each step's value was made from, as text (labels: "signal=value@weight" pairs); empty or one a step.
    """

    problem_id: str
    index: int
    source: str
    key: str
    values: tuple[float | None, ...]
    weights: tuple[float, ...]
    provenance: tuple[str, ...] = ()

    def __post_init__(self):
        if len(self.values) != len(self.weights):
            raise ValueError(f"{self.source}: {len(self.values)} values, {len(self.weights)} weights")
        for value, weight in zip(self.values, self.weights):
            if value is None:
                if weight != 0:
                    raise ValueError(f"{self.source}: an abstention (None) must have weight 0, not {weight}")
            elif not (0.0 <= value <= 1.0 and 0.0 <= weight < float("inf")):
                raise ValueError(f"{self.source}: value {value} outside [0, 1] or weight {weight} not in [0, inf)")


@dataclass(frozen=True, slots=True)
class Group:
    """All that is known of one problem: its samples with their steps and answers, in the samples' order."""

    problem: Problem
    samples: tuple[Sample, ...]
    steps: tuple[Steps, ...]
    answers: tuple[Answer, ...]

    def __post_init__(self):
        for rows in (self.steps, self.answers):
            if [r.index for r in rows] != [s.index for s in self.samples]:
                raise ValueError(f"group {self.problem.id}: steps or answers do not line up with the samples")
