"""Engines: problems -> samples. One file each; `open_engine(config)` returns an Engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from prm.records import Problem, Sample


@dataclass(frozen=True)
class Sampling:
    """What is drawn from each problem, the same for every engine.

    samples: completions a problem. temperature: 0 is greedy. max_tokens: new tokens of a completion. stop: texts that
    end a completion. seed: with one engine and one config, the same seed gives the same samples.
    """

    samples: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self):
        if self.samples < 1:
            raise ValueError(f"samples: {self.samples} is not positive; 8 to 64 are usual")
        if self.temperature < 0:
            raise ValueError(
                f"temperature: {self.temperature} is negative; 0 is greedy, 1 the model's own distribution"
            )
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: {self.top_p} is outside (0, 1]; 1 keeps every token")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens: {self.max_tokens} is not positive; give the longest completion's length")
        if "" in self.stop:
            raise ValueError("stop: an empty text would end every completion at once; remove it")


@dataclass(frozen=True, slots=True)
class Counted(Sample):
    """A sample without token ids whose engine tells how many were drawn. tokens: the one that ended it included, which
    log-probabilities may leave out."""

    tokens: int = 0


def drawn(row: Sample) -> int:
    """How many tokens were drawn for a row; 0 where its engine does not tell."""
    told = row.tokens if isinstance(row, Counted) else 0
    return len(row.token_ids) or told or len(row.logprobs)


class Engine(Protocol):
    """What `open_engine(config)` returns."""

    def sample(
        self, problems: Sequence[Problem], sampling: Sampling, prefixes: Sequence[str] | None = None
    ) -> list[Sample]:
        """`sampling.samples` rows a problem, problem by problem, index 0..n-1; unusable ones carry a reason.

        What is drawn for a row depends on (seed, problem id, index) alone, so how problems are split over calls changes
        nothing; a problem that is continued from several prefixes needs an id for each.

        prefixes: one text a problem, put behind the prompt as the beginning of the completion. A row's text, token ids
        and log-probabilities hold only what was drawn after it. The engines that have a tokenizer append the prefix's
        own ids, tokenised alone, so the text of a sample's first steps goes on exactly where the sample was if the
        tokenizer cuts that text at the same places alone as within the sample: word-level ones and byte-level BPE do,
        where a step ends between two of their words; those that put a space before every text do not. A completion
        ended at once is "empty", as without a prefix. Raises ValueError for another number of prefixes than problems,
        PrmError where the engine cannot continue a text.
        """

    def close(self) -> None:
        """Frees the model or the connection."""
