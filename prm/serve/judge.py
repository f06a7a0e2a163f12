"""Whatever a request asks to be scored, as one batch for the PRM: token ids, texts, solutions in steps, whole answers."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prm import apply
from prm.encode import Encoded, Window, encode_many
from prm.errors import PrmError
from prm.joining import joined
from prm.records import Problem, Sample
from prm.rerank import solution_score
from prm.signals import Context

if TYPE_CHECKING:
    from prm.model import PRM

PROMPT = "{problem}"


@dataclass(frozen=True)
class Tokens:
    """Ids as they are; a score at every token, or at the last alone."""

    ids: tuple[int, ...]
    last: bool = False


@dataclass(frozen=True)
class Text:
    """A text tokenised in one go, as vLLM does it; `special`: with what the tokenizer itself adds (BOS, ...)."""

    text: str
    last: bool = False
    special: bool = True


@dataclass(frozen=True)
class Solution:
    """A score a step."""

    problem: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """A text that is still to be cut, as the PRM's training did; a score a step."""

    problem: str
    text: str


Item = Tokens | Text | Solution | Answer


@dataclass(frozen=True)
class Scored:
    """scores: sigmoids, in order; [] with a reason where it could not be scored. tokens: how many were read. cut: the steps that
    were too long and are scored by their last tokens alone (`Encoded.cut`)."""

    scores: list[float]
    reason: str = ""
    tokens: int = 0
    cut: tuple[int, ...] = ()


class Judge:
    """A PRM and what it says about its use. One thread at a time may ask it (tokenizers are not safe in several)."""

    def __init__(self, prm: PRM, usage: apply.Usage, reduce: str | None = None, prompt: str = PROMPT):
        """reduce: how step scores make one; None: as the training said. prompt: see `problem_of`."""
        if prompt.count(PROMPT) != 1:
            raise PrmError(
                f"prompt: {prompt!r} must hold {PROMPT} once, where the problem stands in the policy's prompt"
            )
        self.prm, self.usage, self.prompt = prm, usage, prompt
        self.reduce = reduce or usage.reduce
        if self.reduce:
            apply.check_reduction(self.reduce)
        self.segmenter = apply.segmenter_of(usage)

    @classmethod
    def load(
        cls,
        folder: Path,
        reduce: str | None = None,
        prompt: str = PROMPT,
        device: str = "auto",
        rewarding: bool = False,
    ) -> Judge:
        """rewarding: PrmError, too, for a PRM that lacks what `reward` needs. All is checked before the model is read."""
        from prm.model import PRM

        made = cls(None, apply.read_usage(folder), reduce, prompt)
        if rewarding:
            made.check_rewarding()
        made.prm = PRM.load(folder, device)
        return made

    def check_rewarding(self) -> None:
        """PrmError where neither the PRM nor its user says how step scores make one, or how a text is cut."""
        if self.reduce is None:
            raise PrmError("this PRM does not say how step scores make one; give the reduction (--reduce, PRM_REDUCE)")
        self.check(Answer("", ""))

    def check(self, item: Item) -> None:
        """PrmError for an item that this PRM can never score."""
        if isinstance(item, Answer) and self.segmenter is None:
            raise PrmError(
                "this PRM does not say how a text is cut into steps (no usage.json); ask /score with the steps"
            )
        if isinstance(item, Tokens):
            size = self.prm.network.base().get_input_embeddings().num_embeddings
            bad = next((i for i in (min(item.ids), max(item.ids)) if not 0 <= i < size), None)
            if bad is not None:
                raise PrmError(f"token id {bad} is outside the vocabulary of {size}")
            limit = self.prm.config.max_tokens
            if len(item.ids) > limit:
                raise PrmError(f"{len(item.ids)} tokens, but the PRM reads {limit}; prm.serve.text makes windows")

    def judge(self, items: Sequence[Item]) -> list[Scored]:
        """All of them, in order, in one call of the PRM. PrmError for a Text that can have no scores, before any are
        computed: those who ask so (vLLM's clients) have no place for a reason."""
        encoded = self._encoded(items)
        scores = self.prm.score_encoded(encoded)
        return [
            Scored(mine, one.reason, sum(len(w.ids) for w in one.windows), one.cut)
            for mine, one in zip(scores, encoded)
        ]

    def reward(self, scored: Scored) -> float | None:
        """One number for a solution; None where it was not scored."""
        return solution_score(scored.scores, self.reduce)

    def answer(self, problem: str, response: str) -> Answer:
        """A policy's response to a problem, without what only its prompts and its engine put around the two.

        The problem's outer white space goes: a prompt's last line break would stand before the template's own. The response's
        stays in front, where training read it as the policy wrote it, and goes with the special tokens behind: engines that
        keep those would make a step of them. A problem without a text has no answer to judge.
        """
        problem, text = problem.strip(), response.rstrip()
        while mark := next((m for m in self.prm.tokenizer.all_special_tokens if text.endswith(m)), None):
            text = text[: -len(mark)].rstrip()
        return Answer(problem, text if problem else "")

    def problem_of(self, prompt: str) -> str:
        """The problem inside a policy's prompt: what stands where self.prompt has {problem}.

        PrmError where the prompt is of another form: judging another text than the PRM was trained on is silently worse.
        """
        before, after = self.prompt.split(PROMPT)
        if not (prompt.startswith(before) and prompt.endswith(after) and len(prompt) >= len(before) + len(after)):
            raise PrmError(
                f"prompt {prompt[:60]!r}... is not of the form {self.prompt!r}; give another --prompt or PRM_PROMPT"
            )
        return prompt[len(before) : len(prompt) - len(after)]

    def _encoded(self, items: Sequence[Item]) -> list[Encoded]:
        cut = iter(self._cut([item for item in items if isinstance(item, Answer)]))
        apart = self.usage.separator  # as in training
        pairs = [
            (i.problem, next(cut) if isinstance(i, Answer) else joined(i.steps, apart)) for i in items if not _flat(i)
        ]
        solutions = iter(encode_many(pairs, self.prm.tokenizer, self.prm.config))
        return [self._window(item, i) if _flat(item) else next(solutions) for i, item in enumerate(items)]

    def _cut(self, answers: Sequence[Answer]) -> list[list[str]]:
        if not answers:
            return []
        rows = [(Problem(str(i), one.problem), Sample(str(i), 0, one.text)) for i, one in enumerate(answers)]
        found = self.segmenter.module.cut(rows, self.segmenter.config, Context())
        return [steps.cut(sample.text) for steps, (_, sample) in zip(found, rows)]

    def _window(self, item: Tokens | Text, place: int) -> Encoded:
        if isinstance(item, Tokens):
            ids = item.ids
        else:
            ids = self.prm.tokenizer(item.text, add_special_tokens=item.special, verbose=False)["input_ids"]
        if not ids:
            raise PrmError(f"input {place}: has no token")
        if len(ids) > self.prm.config.max_tokens:
            raise PrmError(f"input {place}: is longer than the {self.prm.config.max_tokens} tokens that the PRM reads")
        reads = (len(ids) - 1,) if item.last else tuple(range(len(ids)))
        return Encoded((Window(array("i", ids), reads, tuple(range(len(reads)))),))


def check_unscored(reward: float | None, name: str) -> None:
    """PrmError for a reward of what cannot be scored that is no finite number; name: of the setting."""
    if reward is not None and not math.isfinite(reward):
        raise PrmError(f"{name}: {reward} is not finite; give a number that the trainer can learn from, such as 0")


def _flat(item: Item) -> bool:
    return isinstance(item, (Tokens, Text))
