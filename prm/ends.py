"""How texts are to be cut so that the steps of given rows come back: what `prm train` tells `prm score`, `prm rerank` and rewards.

Rows with steps say where theirs end; a text that comes without steps is read as they were only if it is cut alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prm import plugins
from prm.progress import say
from prm.records import Problem, Sample, Steps
from prm.segmenters import delimiter

FIRST = 1000  # solutions looked at
ENOUGH = 0.9  # agreement below which a user is told
FIRST_OF = {"\n": "lines"}  # of kinds that agree alike, by what stood between steps; else in BY's order

Solution = tuple[Problem, Sample, Steps]


@dataclass(frozen=True)
class Agreement:
    """Of ends within texts: how many the rows have, how many of these are found, how many are found besides."""

    given: int
    back: int
    others: int

    @property
    def share(self) -> float:
        """Jaccard's index; 1 where there are none."""
        return self.back / (self.given + self.others) if self.given + self.others else 1.0


def watched(rows: Iterable, first: list[Solution]) -> Iterator:
    """The rows; `first` gets the first of them."""
    for row in rows:
        if len(first) < FIRST:
            first.append(tuple(row[:3]))
        yield row


def segmenter(asked: dict[str, Any], separator: str, rows: Sequence[Solution]) -> dict[str, Any]:
    """`asked`; a delimiter without `by` gets the one that agrees best with where the rows' steps end."""
    if asked["name"] != "delimiter" or "by" in asked:
        return asked
    order = sorted(delimiter.BY, key=lambda by: by != FIRST_OF.get(separator))
    kinds = [{**asked, "by": by} for by in order]
    return max(kinds, key=lambda kind: agreement(kind, rows).share)  # the first of equals


def agreement(asked: dict[str, Any], rows: Sequence[Solution]) -> Agreement:
    """Where the segmenter ends steps, against where the rows do. Of white space between two steps either may have any part."""
    made = plugins.build("segmenters", asked, "name", None, "segmenter")
    found = made.module.cut([(problem, sample) for problem, sample, _ in rows], made.config, None)
    counts = [0, 0, 0]
    for (_, sample, steps), cut in zip(rows, found, strict=True):
        own, ours = (_inner(one.ends, sample.text) for one in (steps, cut))
        for i, some in enumerate((own, own & ours, ours - own)):
            counts[i] += len(some)
    return Agreement(*counts)


def tell(data: str, asked: dict[str, Any], rows: Sequence[Solution]) -> None:
    """One line where the segmenter would read these very texts as other steps. One that needs a model is not tried."""
    if not getattr(plugins.load("segmenters", asked["name"], "segmenter"), "TEXT_ONLY", False):
        return
    found = agreement(asked, rows)
    if found.share < ENOUGH:
        how = ", ".join(str(value) for value in asked.values())
        say(
            f"{data}: of the {found.given:,} step ends in its first {len(rows):,} solutions the PRM's segmenter ({how}) finds "
            f"{found.back:,}, and {found.others:,} others, so texts without steps are cut unlike these; score rows with 'steps', or "
            "give the segmenter that cut these (segmenter=...) in the same command: the PRM is not trained again"
        )


def _inner(ends: Sequence[int], text: str) -> set[int]:
    """The ends but the last, each moved to what the next step says first."""
    return {len(text) - len(text[end:].lstrip()) for end in ends[:-1]}
