"""Drawing for many problems at once, within each one's budget: whole solutions, or one more step of those begun.

An engine tells how a text ended, not where its steps do. So a draw is at most `step_tokens` long, the segmenter
finds the first end of a step in what came, and the rest is kept on the path. With `stop` the draw itself ends at
the step's end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from prm import plugins
from prm.engines import Engine, Sampling, drawn
from prm.errors import PrmError
from prm.records import Problem, Sample
from prm.search import Common, Path
from prm.signals import Context

_TAIL = 16  # tokens looked at for the text that stopped a draw
CUT_OFF = "cut_off"


@dataclass
class Job:
    """A path to be drawn on. whole: to its end, else by one step. path: as far as it is; done: it has got what it
    should, or `reason` why not.
    """

    path: Path
    whole: bool
    done: bool = False
    reason: str = ""
    stopped: bool = False


@dataclass
class Lane:
    """One problem's share of a batch. left: tokens of its budget, of which `kept` are not for this round; drawn:
    draws so far, which number their seeds."""

    problem: Problem
    left: int
    kept: int = 0
    drawn: int = 0
    jobs: list[Job] = field(default_factory=list)

    def affordable(self, config: Common) -> Iterator[tuple[Job, int]]:
        """(job, its most new tokens) for the jobs, in order, whose tokens together fit what is left. Most take
        less than their most, so the others find room in the next call; only the first, which nobody is before, is
        given less."""
        left, first = self.left - self.kept, True
        for job in self.jobs:
            if job.done:
                continue
            room = config.max_tokens - job.path.tokens - job.path.ahead_tokens
            if room < 1:
                job.done, job.reason = True, CUT_OFF
                continue
            limit = config.max_tokens if job.whole else config.step_limit
            most = _grain(min(room, left), limit)
            if most < 1 or (left < min(room, limit) and not first):
                return
            left, first = left - most, False
            yield job, most


def serve(lanes: Sequence[Lane], engine: Engine, config: Common, context: Context) -> None:
    """Draws until every job is done or its problem's budget is spent: then it is left as it is, not done.

    One call of the engine for all, but where budgets or solutions near their ends: their draws are shorter.
    Raises PrmError for an engine that does not tell how many tokens it drew.
    """
    tokenizer = _tokenizer(engine, config)
    _cut([(lane, job) for lane in lanes for job in lane.jobs if job.path.ahead], config, context)
    while batch := [(lane, job, most) for lane in lanes for job, most in lane.affordable(config)]:
        calls = defaultdict(list)
        for lane, job, most in batch:
            calls[job.whole, most].append((lane, job))
        for (whole, most), part in sorted(calls.items()):
            stop = () if whole else getattr(config, "stop", ())
            sampling = Sampling(1, config.temperature, config.top_p, most, config.seed, stop)
            _sample(part, engine, sampling, tokenizer)
        _cut([(lane, job) for lane, job, _ in batch if not job.done], config, context)


def _sample(part: Sequence[tuple[Lane, Job]], engine: Engine, sampling: Sampling, tokenizer) -> None:
    problems = []
    for lane, _ in part:
        problems.append(replace(lane.problem, id=f"{lane.problem.id}/{lane.drawn}"))  # the id decides what is drawn
        lane.drawn += 1
    prefixes = [job.path.text + job.path.ahead for _, job in part]
    for (lane, job), row in zip(part, engine.sample(problems, sampling, prefixes if any(prefixes) else None)):
        if row.reason not in ("", "empty", CUT_OFF):
            job.done, job.reason = True, row.reason
            continue
        count = _count(row, sampling)
        hit = _stop(row, sampling.stop, tokenizer)
        lane.left -= count
        job.stopped = bool(hit)
        job.path = replace(
            job.path,
            ahead=job.path.ahead + row.text + hit,
            ended=row.finish == "stop" and not hit,
            ahead_tokens=job.path.ahead_tokens + count,
        )


def _count(row: Sample, sampling: Sampling) -> int:
    """Tokens that the draw took. Nothing shown of one without a text: it was the end alone, or all that was allowed."""
    count = drawn(row)
    if not count and row.text:
        raise PrmError("engine: does not tell how many tokens it drew, so no budget can be kept; use another")
    return count or (1 if row.finish == "stop" else sampling.max_tokens)


def _cut(jobs: Sequence[tuple[Lane, Job]], config: Common, context: Context) -> None:
    """Ends the jobs whose step, or solution, is there."""
    if not jobs:
        return
    cutter = plugins.build("segmenters", config.segmenter, "name", None, "search.segmenter")
    rows = [
        (lane.problem, Sample(lane.problem.id, i, job.path.text + job.path.ahead)) for i, (lane, job) in enumerate(jobs)
    ]
    for (_, job), (_, sample), steps in zip(jobs, rows, cutter.module.cut(rows, cutter.config, context)):
        if job.whole and job.path.ended:
            job.path, job.done = _whole(job.path, tuple(steps.cut(sample.text))), True
        elif not job.whole:
            _step(job, sample.text, steps.ends)
        if job.done and not job.path.steps:
            job.reason = "empty"


def _whole(path: Path, steps: tuple[str, ...]) -> Path:
    """The path as these steps, ended; scored as far as it was, where these are still its first steps."""
    ended = Path(steps, ended=True, tokens=path.tokens + path.ahead_tokens)
    if steps[: len(path.steps)] == path.steps:
        return replace(ended, scores=path.scores, partial=path.partial)
    return ended


def _step(job: Job, text: str, ends: Sequence[int]) -> None:
    """The path by one step longer, if it is there whole. One that ended with white space alone is finished as it is."""
    path, begin = job.path, len(job.path.text)
    over = path.ended or job.stopped
    end = next((e for e in ends if text[begin:e].strip() and (e < len(text) or over)), None)
    if end is not None:
        took = round(path.ahead_tokens * (end - begin) / (len(text) - begin))
        steps, rest = (*path.steps, text[begin:end]), path.ahead_tokens - took
        job.path = replace(path, steps=steps, ahead=text[end:], tokens=path.tokens + took, ahead_tokens=rest)
        job.done = True
    elif path.ended and not text[begin:].strip():
        job.path, job.done = replace(path, ahead=""), True


def _grain(allowed: int, limit: int) -> int:
    """The limit where it is allowed, else the power of two below: few sizes, so few calls."""
    return limit if allowed >= limit else 1 << (allowed.bit_length() - 1) if allowed > 0 else 0


def _tokenizer(engine: Engine, config: Common):
    """The engine's own, where `stop` needs one."""
    if not getattr(config, "stop", ()):
        return None
    if not hasattr(engine, "tokenizer"):
        raise PrmError("search.stop: this engine tells no stop from the solution's end; leave search.stop out")
    return engine.tokenizer


def _stop(row: Sample, stop: Sequence[str], tokenizer) -> str:
    """The text of `stop` that ended a draw, which is not in its text; "" where the policy ended the solution, or
    max_tokens did.
    """
    if not stop or row.finish != "stop":
        return ""
    tail = tokenizer.decode(list(row.token_ids[-_TAIL:]), skip_special_tokens=False)
    return min((s for s in stop if s in tail), key=tail.find, default="")
