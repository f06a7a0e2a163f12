"""Text -> tokens, once, for training, scoring and serving.

    [opening] problem [close]  step 1 [close]  step 2 [close] ...
                                 ^ read           ^ read

Problem and steps are tokenised one by one and joined as ids, so no token straddles a step under any tokenizer. The score of a
step is read at `close` where there is one, else at the last token before the white space that ends the step (as SPRM reads
before its separator): what a step concludes is nearer there than at the line break, and a small backbone learns to judge it far
sooner (recipes/LOG.md). `opening` is what the tokenizer itself puts before a text (a BOS, [CLS]); `close` is what
it puts behind one, used only where it has a separator token ([SEP]): an encoder sees where steps end even when its tokenizer
drops line breaks. Text never becomes a special token, whatever a model wrote into it; only `template` may hold some.

A solution longer than max_tokens becomes several windows. Each starts with the problem, then takes whole steps of left
context up to half the room, then steps to be scored; every step is scored in exactly one window. A step that does not fit
beside the problem keeps its tail, where its conclusion and its read token are (named in `cut`); training takes none of those.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prm.errors import PrmError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from prm.model import Config

PROBLEM = "{problem}"


@dataclass(frozen=True, slots=True)
class Window:
    """One row for the model. ids: tokens; reads: positions in ids where a score is read; steps: whose score, same length."""

    ids: array
    reads: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A solution's windows. reason: "" or why there are none: "no_steps", "empty_step", "problem_too_long".

    cut: the steps that were too long and kept only their tail; each has a window to itself.
    """

    windows: tuple[Window, ...]
    reason: str = ""
    cut: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Frame:
    """The ids that never change: before the problem, behind it, and behind every step."""

    before: list[int]
    after: list[int]
    close: list[int]


@dataclass(frozen=True, slots=True)
class Step:
    """A step's ids, and how many of them lie behind the one where its score is read."""

    ids: list[int]
    behind: int

    def __len__(self) -> int:
        return len(self.ids)


def encode(problem: str, steps: Sequence[str], tokenizer: PreTrainedTokenizerBase, config: Config) -> Encoded:
    """One solution's windows; reads config.max_tokens and config.template."""
    return encode_many([(problem, steps)], tokenizer, config)[0]


def encode_many(
    pairs: Iterable[tuple[str, Sequence[str]]], tokenizer: PreTrainedTokenizerBase, config: Config
) -> list[Encoded]:
    """`encode` of many (problem, steps); each distinct text goes through the tokenizer once, all in one call."""
    return [join(problem, steps, config.max_tokens) for problem, steps in parts(pairs, tokenizer, config)]


def parts(
    pairs: Iterable[tuple[str, Sequence[str]]], tokenizer: PreTrainedTokenizerBase, config: Config
) -> list[tuple[list[int], list[Step | None]]]:
    """What `join` makes windows of: the ids that every window of the problem starts with, and each step's; None: it has none."""
    pairs = list(pairs)
    frame = _frame(tokenizer, config.template)
    texts = dict.fromkeys(
        text for problem, steps in pairs for text in (problem, *(half for step in steps for half in _halves(step)))
    )
    ids = dict(zip(texts, _tokenise(list(texts), tokenizer)))

    def closed(step):
        body, space = (ids[half] for half in _halves(step))
        return Step(body + space + frame.close, 0 if frame.close else len(space)) if body else None

    return [(frame.before + ids[problem] + frame.after, [closed(step) for step in steps]) for problem, steps in pairs]


def join(prefix: list[int], steps: Sequence[Step | None], max_tokens: int) -> Encoded:
    """The windows of `parts`. How a step is seen depends on the steps before it, never on those behind."""
    if not steps:
        return Encoded((), "no_steps")
    if None in steps:
        return Encoded((), "empty_step")
    return _windows(prefix, steps, max_tokens)


def _halves(step: str) -> tuple[str, str]:
    """What a step says, and the white space that ends it."""
    body = step.rstrip()
    return body, step[len(body) :]


def _windows(prefix: list[int], steps: Sequence[Step], max_tokens: int) -> Encoded:
    room = max_tokens - len(prefix)
    if sum(map(len, steps)) <= room:
        return Encoded((_window(prefix, steps, 0, 0, len(steps)),))
    if len(prefix) > max_tokens // 2 or room <= max(step.behind for step in steps) + 1:
        return Encoded((), "problem_too_long")
    cut = tuple(i for i, step in enumerate(steps) if len(step) > room)
    steps = [Step(step.ids[-room:], step.behind) for step in steps]
    windows, done = [], 0
    while done < len(steps):
        start = _context_start(steps, done, min(room // 2, room - len(steps[done])) if done else 0)
        stop, used = done, sum(map(len, steps[start:done]))
        while stop < len(steps) and used + len(steps[stop]) <= room:
            used += len(steps[stop])
            stop += 1
        windows.append(_window(prefix, steps, start, done, stop))
        done = stop
    return Encoded(tuple(windows), "", cut)


def _context_start(steps: list[Step], done: int, budget: int) -> int:
    """The first of the whole steps before `done` that together fit in `budget` tokens."""
    start = done
    while start > 0 and len(steps[start - 1]) <= budget:
        start -= 1
        budget -= len(steps[start])
    return start


def _window(prefix: list[int], steps: list[Step], start: int, first: int, stop: int) -> Window:
    """Steps start..stop behind the prefix, those from `first` on scored."""
    ids, reads = array("i", prefix), []
    for i in range(start, stop):
        ids.extend(steps[i].ids)
        if i >= first:
            reads.append(len(ids) - 1 - steps[i].behind)
    return Window(ids, tuple(reads), tuple(range(first, stop)))


def _frame(tokenizer: PreTrainedTokenizerBase, template: str) -> _Frame:
    if template == "chat":
        if not tokenizer.chat_template:
            raise PrmError(
                'prm.template: "chat", but the backbone\'s tokenizer has no chat template; use "{problem}\\n"'
            )
        message = [{"role": "user", "content": PROBLEM}]
        template = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        opening, close = [], []  # the chat template brings its own
    else:
        opening, close = specials(tokenizer)
    before, after = template.split(PROBLEM)
    before, after = (tokenizer(part, add_special_tokens=False)["input_ids"] if part else [] for part in (before, after))
    return _Frame(opening + before, after + close, close)


def specials(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and behind one text, seen by asking it with and without; behind: encoders' only."""
    for probe in ("a", "1", "the"):  # a small vocabulary may drop what it does not know
        inner = tokenizer(probe, add_special_tokens=False)["input_ids"]
        framed = tokenizer(probe)["input_ids"]
        for at in range(len(framed)) if inner else ():
            if framed[at : at + len(inner)] == inner:
                return framed[:at], framed[at + len(inner) :] if tokenizer.sep_token_id is not None else []
    raise PrmError(
        f"prm.backbone: the tokenizer ({type(tokenizer).__name__}) reads no token in 'a', '1' or 'the'; use another"
    )


def _tokenise(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    options = {
        "add_special_tokens": False,
        "split_special_tokens": True,
        "return_attention_mask": False,
        "verbose": False,
    }
    return tokenizer(texts, **options)["input_ids"] if texts else []
