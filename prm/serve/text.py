"""What a PRM reads, for clients that hold no weights: token ids of (problem, steps), and where each step's score stands.

    reader = Reader.open("my-prm")
    encoded = reader.encode([(problem, steps), ...])
    rows = post("/pooling", {"input": inputs(encoded), "task": "token_classify", "use_activation": True})["data"]
    scores(encoded, [row["data"] for row in rows])          # [[0.98, 0.03], ...]

It is the `encode` of training and scoring, so a score read this way is the PRM's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prm import saved
from prm.encode import Encoded, encode_many
from prm.errors import PrmError
from prm.model import Config, read_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Reader:
    """A PRM's (or an export's) tokenizer and config."""

    tokenizer: PreTrainedTokenizerBase
    config: Config

    @classmethod
    def open(cls, folder: str | Path) -> Reader:
        """Reads tokenizer and prm.json of a PRM's or an export's folder or hub id. PrmError where there is none."""
        from transformers import AutoTokenizer

        folder = saved.local(folder)
        config, _ = read_config(folder)
        return cls(AutoTokenizer.from_pretrained(str(folder)), config)

    def encode(self, pairs: Iterable[tuple[str, Sequence[str]]]) -> list[Encoded]:
        """Each (problem, steps) as windows of ids with their read positions, or the reason why there are none."""
        return encode_many(pairs, self.tokenizer, self.config)


def inputs(encoded: Iterable[Encoded]) -> list[list[int]]:
    """All windows' token ids, in order: the "input" of a request."""
    return [list(window.ids) for one in encoded for window in one.windows]


def scores(encoded: Sequence[Encoded], tokens: Sequence[Sequence[float | Sequence[float]]]) -> list[list[float]]:
    """Each solution's step scores; [] for one without windows. tokens: one value (or list of one) a token, window by window.

    Raises PrmError where a window's values are not one a token: a server that pools ("STEP", "LAST") answers with fewer.
    """
    made, values = [], iter(tokens)
    for one in encoded:
        row = [float("nan")] * sum(len(window.steps) for window in one.windows)
        for window in one.windows:
            given = next(values, ())
            if len(given) != len(window.ids):
                raise PrmError(f"{len(given)} values for {len(window.ids)} tokens; start the server to pool ALL tokens")
            for step, at in zip(window.steps, window.reads):
                row[step] = given[at] if isinstance(given[at], (int, float)) else given[at][0]
        made.append(row)
    return made
