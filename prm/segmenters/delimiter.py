r"""Cut a solution at the delimiters that its writer used: lines, blank lines, numbered items.

A cut falls before the first non-blank character of a step, so white space belongs to the step before it (leading white
space to the first). Code fences and LaTeX display blocks (\[...\], $$...$$, \begin{}...\end{} of display environments)
are never cut inside; a block that is never closed hides no cut.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from prm.records import Problem, Sample, Steps

TEXT_ONLY = True

BY = ("auto", "lines", "blank_lines", "numbered")
_ITEM = r"(?:\#{1,6}[ \t]+)?(?:\*\*)?(?:Step[ \t]+\d{1,3}\b|\d{1,3}[.)](?=[ \t*]))"
_CUTS = {
    "lines": re.compile(r"\n\s*(?=\S)"),
    "blank_lines": re.compile(r"\n[ \t\r]*\n\s*(?=\S)"),
    "numbered": re.compile(rf"\n\s*(?={_ITEM})"),
    "auto": re.compile(rf"\n[ \t\r]*\n\s*(?=\S)|\n\s*(?={_ITEM})"),
}
_ENVIRONMENT = r"\\begin\{(?P<env>(?:align|equation|gather|multline|eqnarray|cases|array|[pbvV]?matrix)\*?)\}"
_OPEN = re.compile(rf"(?P<fence>```)|(?P<bracket>\\\[)|(?P<dollars>\$\$)|{_ENVIRONMENT}")


@dataclass(frozen=True)
class Config:
    """by: "lines"; "blank_lines"; "numbered" (items "1.", "2)", "Step 3" start steps, nothing else does); "auto":
    blank lines, and numbered items too. min_chars: a shorter step joins the one before it. max_steps: what comes after
    joins the last allowed step; 0 = no limit.
    """

    by: str = "auto"
    min_chars: int = 1
    max_steps: int = 0

    def __post_init__(self):
        if self.by not in BY:
            raise ValueError(f"by: {self.by!r} is none of {', '.join(BY)}; choose one of them")
        if self.min_chars < 1:
            raise ValueError(f"min_chars: {self.min_chars} would allow empty steps; give at least 1")
        if self.max_steps < 0:
            raise ValueError(f"max_steps: {self.max_steps} is below 0; give 0 for no limit")


def cut(rows: Sequence[tuple[Problem, Sample]], config: Config, context=None) -> list[Steps]:
    """The steps of each sample, see `cut_sample`."""
    return [cut_sample(sample, config) for _, sample in rows]


def cut_sample(sample: Sample, config: Config) -> Steps:
    """The sample's steps; none for a sample with a reason or without a visible character. Linear in the text's
    length."""
    text = sample.text
    if sample.reason or not text.strip():
        return Steps(sample.problem_id, sample.index, ())
    starts = [m.end() for m in _CUTS[config.by].finditer(text)]
    starts = _outside(starts, blocks(text))
    ends, begin = [], 0
    for start in starts:
        if len(text[begin:start].strip()) >= config.min_chars:
            ends.append(start)
            begin = start
    if ends and len(text[begin:].strip()) < config.min_chars:
        ends.pop()
    if config.max_steps:
        ends = ends[: config.max_steps - 1]
    return Steps(sample.problem_id, sample.index, (*ends, len(text)))


def blocks(text: str) -> list[tuple[int, int]]:
    """(start, end) of the code fences and display formulas, in order, not nested; an unclosed opener is no block."""
    found, at, unclosed = [], 0, set()
    while match := _OPEN.search(text, at):
        closer = _closer(match)
        end = -1 if closer in unclosed else text.find(closer, match.end())
        if end < 0:
            unclosed.add(closer)  # no later one either: keeps the scan linear
            at = match.end()
        else:
            at = end + len(closer)
            found.append((match.start(), at))
    return found


def _closer(match: re.Match) -> str:
    if match["env"]:
        return rf"\end{{{match['env']}}}"
    return {"```": "```", "\\[": "\\]", "$$": "$$"}[match.group()]


def _outside(places: list[int], spans: list[tuple[int, int]]) -> list[int]:
    begins = [start for start, _ in spans]
    kept = []
    for place in places:
        k = bisect_right(begins, place) - 1
        if k < 0 or place >= spans[k][1] or place == spans[k][0]:
            kept.append(place)
    return kept
