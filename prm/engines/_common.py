"""What the engines share: prompts, seeds, and rows with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from prm.engines import Counted, Sampling
from prm.errors import PrmError
from prm.records import Problem, Sample

PROBLEM = "{problem}"


def check_template(template: str) -> None:
    """Raises ValueError for a template that does not say where the problem goes."""
    if PROBLEM not in template:
        raise ValueError(f"template: must hold {PROBLEM}, the place of the problem's text; add it")


def prompt(template: str, problem: Problem) -> str:
    """The template with the problem in its place; other braces (TeX has many) stay as they are."""
    return template.replace(PROBLEM, problem.text)


def encode(
    tokenizer, problems: Sequence[Problem], template: str, chat: bool, prefixes: Sequence[str] | None = None
) -> list[list[int]]:
    """Each problem's prompt as token ids, by the tokenizer's chat template if `chat`, and its prefix's behind it.

    The prompt's ids are the same with any prefix: nothing merges over the border, as nothing does when sampling.
    """
    prompts = _prompts(tokenizer, problems, template, chat)
    check_prefixes(problems, prefixes)
    if not prefixes:
        return prompts
    begun = tokenizer(list(prefixes), add_special_tokens=False)["input_ids"]
    return [[*ids, *more] for ids, more in zip(prompts, begun)]


def check_prefixes(problems: Sequence[Problem], prefixes: Sequence[str] | None) -> None:
    if prefixes is not None and len(prefixes) != len(problems):
        raise ValueError(f"{len(prefixes)} prefixes for {len(problems)} problems; give one a problem")


def _prompts(tokenizer, problems: Sequence[Problem], template: str, chat: bool) -> list[list[int]]:
    texts = [prompt(template, p) for p in problems]
    if not chat:
        return tokenizer(texts, add_special_tokens=True)["input_ids"]
    if not getattr(tokenizer, "chat_template", None):
        raise PrmError(
            "engine.chat: the model's tokenizer has no chat template; set chat: false and write the template out"
        )
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": t}], tokenize=False, add_generation_prompt=True)
        for t in texts
    ]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]  # the chat template has put them in


def refusal(prompt_ids: Sequence[int], sampling: Sampling, context: int | None) -> str:
    """Why this prompt cannot be sampled, or "". The whole of max_tokens must fit behind it: a budget cut short in
    silence would make the longest problems' samples look cut off.

    context: tokens that the model can hold, prompt and completion together; None if it does not say.
    """
    if not prompt_ids:
        return "empty_prompt"
    too_long = context is not None and len(prompt_ids) + sampling.max_tokens > context
    return "prompt_too_long" if too_long else ""


def refused(problem: Problem, sampling: Sampling, reason: str) -> list[Sample]:
    """The rows of a problem of which nothing was drawn."""
    return [Sample(problem.id, i, "", finish="", reason=reason) for i in range(sampling.samples)]


def row(
    problem: Problem,
    index: int,
    text: str,
    token_ids: Sequence[int],
    logprobs: Sequence[float],
    finish: str,
    tokens: int = 0,
) -> Sample:
    """A drawn sample; "empty" when it has no text but white space, "cut_off" when it ran into max_tokens.

    tokens: how many were drawn, where the engine knows that and not which.
    """
    reason = "empty" if not text.strip() else "cut_off" if finish == "length" else ""
    known = (problem.id, index, text, tuple(token_ids), tuple(logprobs), finish, reason)
    return Counted(*known, tokens) if tokens and not token_ids else Sample(*known)


def first_line(error: Exception) -> str:
    """What a library's error says, without the paragraphs that follow."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def row_seed(seed: int, problem_id: str, index: int) -> int:
    """A seed of 53 bits for one sample, whatever else is drawn beside it: a resumed run draws what the first would
    have.

    53, so that servers that read JSON numbers as doubles get it whole.
    """
    digest = hashlib.blake2b(f"{seed}\0{index}\0{problem_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 11
