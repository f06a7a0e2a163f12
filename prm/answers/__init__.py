"""Final answers: read them from texts and cluster the equal ones, without ever seeing a gold answer.

    read_answers(samples, config) -> one Answer a sample

Answers are clustered within a problem by canonical form first (`canonical.py`, text only, microseconds). Math-Verify
is asked only about pairs of different canonical forms that are not both plain numbers, in worker processes with hard
time limits (`workers.py`; in threads or on its own signals it hangs: huggingface/Math-Verify issue 22). A comparison
that runs out of time counts as "not equal", so such an answer still equals its own canonical form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from prm.answers.canonical import canonical, needs_algebra
from prm.answers.extract import extract
from prm.answers.numeric import differ
from prm.answers.workers import Comparer
from prm.records import Answer, Sample

if TYPE_CHECKING:
    from prm.transforms import AnswerMap

STYLES = ("math", "last_number", "last_line")


@dataclass(frozen=True)
class Config:
    """style: "math": \\boxed{}, "#### X", "the answer is X", bold, or the result that the last sentence states;
    "last_number": the text's last number; "last_line": the last non-empty line, after a "...answer is/:" if it has
    one. Only "math" asks Math-Verify. timeout: seconds one comparison may take. workers: processes, started when the
    first comparison needs one.
    """

    style: str = "math"
    timeout: float = 3.0
    workers: int = 1

    def __post_init__(self):
        if self.style not in STYLES:
            raise ValueError(f"style: {self.style!r} is none of {', '.join(STYLES)}; choose one of them")
        if self.timeout <= 0:
            raise ValueError(f"timeout: {self.timeout} is not a time; give seconds > 0")
        if self.workers < 1:
            raise ValueError(f"workers: {self.workers} processes cannot work; give at least 1")


@contextmanager
def open_pool(config: Config) -> Iterator[Comparer]:
    """The worker processes that compare formulas, ended on leaving. Processes start when first needed."""
    with Comparer(workers=config.workers, timeout=config.timeout) as pool:
        yield pool


def read_answers(samples: Sequence[Sample], config: Config, pool: Comparer | None = None) -> list[Answer]:
    """The answer of each sample, in order, with its cluster among the answers of its problem.

    pool: from `open_pool`, to keep workers between calls; without one, one is opened for this call.
    """
    if pool is None:
        with open_pool(config) as own:
            return read_answers(samples, config, own)
    texts = ["" if s.reason else extract(s.text, config.style) for s in samples]
    return _clustered(samples, texts, [s.problem_id for s in samples], config, pool)


def read_reposed(
    samples: Sequence[Sample], of: Sequence[str], maps: Sequence[AnswerMap], config: Config, pool: Comparer
) -> list[Answer]:
    """The answers of samples of re-posed problems, carried back: `of` names each sample's original problem, within which the
    mapped answers are clustered. An answer that its map does not take is none."""
    texts = ["" if s.reason else extract(s.text, config.style) for s in samples]
    carried = [(text and one.apply(text)) or "" for text, one in zip(texts, maps, strict=True)]
    return _clustered(samples, carried, of, config, pool)


def _clustered(
    samples: Sequence[Sample], texts: Sequence[str], of: Sequence[str], config: Config, pool: Comparer
) -> list[Answer]:
    """One Answer a sample; texts are compared within the problems that `of` names."""
    forms = [canonical(text) for text in texts]
    by_problem: dict[str, list[int]] = {}
    for row, problem_id in enumerate(of):
        by_problem.setdefault(problem_id, []).append(row)
    distinct = {p: list(dict.fromkeys(forms[r] for r in rows if forms[r])) for p, rows in by_problem.items()}
    equal = _compare(distinct.values(), pool) if config.style == "math" else frozenset()
    clusters = {problem: _cluster(found, equal) for problem, found in distinct.items()}
    answers = []
    for sample, problem_id, text, form in zip(samples, of, texts, forms, strict=True):
        cluster = clusters[problem_id].get(form, -1)
        reason = "" if cluster >= 0 else sample.reason or "no_answer"
        answers.append(Answer(sample.problem_id, sample.index, text if form else "", cluster, reason))
    return answers


def equivalent(a: str, b: str, pool: Comparer) -> bool:
    """Whether two answers mean the same; an empty one equals nothing. For evaluation: `a` or `b` may be a reference."""
    a, b = canonical(a), canonical(b)
    if not a or not b:
        return False
    return a == b or (_comparable(a, b) and pool.equal([(a, b)])[0])


def _comparable(a: str, b: str) -> bool:
    return needs_algebra(a, b) and not differ(a, b)


def _compare(families: Sequence[list[str]], pool: Comparer) -> frozenset[tuple[str, str]]:
    pairs = [pair for forms in families for pair in combinations(forms, 2) if _comparable(*pair)]
    pairs = list(dict.fromkeys(pairs))
    return frozenset(pair for pair, same in zip(pairs, pool.equal(pairs)) if same)


def _cluster(forms: list[str], equal: frozenset[tuple[str, str]]) -> dict[str, int]:
    """Canonical form -> cluster. A form joins the first cluster whose first member it equals, so order of appearance
    decides."""
    heads: list[str] = []
    clusters: dict[str, int] = {}
    for form in forms:
        home = next((k for k, head in enumerate(heads) if (head, form) in equal), len(heads))
        if home == len(heads):
            heads.append(form)
        clusters[form] = home
    return clusters
