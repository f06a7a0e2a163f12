"""Requests of each protocol -> items to score; scores -> its answer. Wrong requests are a PrmError that names the key."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prm.errors import PrmError
from prm.jsonl import text_of
from prm.serve.judge import Answer, Item, Judge, Scored, Solution, Text, Tokens

TYPES = {
    **{"model": str, "task": str, "use_activation": bool, "add_special_tokens": bool},
    **{"query": list, "prompts": list, "rows": list},
}
# What vLLM's clients may ask for and does not happen here; the values in brackets change no answer. Other keys change none,
# whatever they hold (user, priority, cache_salt, dimensions of embeddings, ...), and are left unread, as vLLM does.
REFUSED = {
    "encoding_format": (None, "float"),
    "truncate_prompt_tokens": (None,),
    "padding": (None, "do_not_pad"),
    "activation": (None, True),  # what use_activation was called before
    "softmax": (None, True),
    "messages": (None,),
}


ROWS = 4096  # inputs of a request
SIZE = 16 << 20  # characters of a request


class TooLarge(Exception):
    """What a request has too much of."""


@dataclass(frozen=True)
class Request:
    """What is to be scored, and whether its answer holds sigmoids or logits."""

    items: list[Item]
    activation: bool = True


def pooling(body: Any, judge: Judge) -> Request:
    """vLLM's POST /pooling with the task token_classify (also the default here) or classify."""
    _keys(body, "input", REFUSED)
    task = body.get("task") or "token_classify"
    if task not in ("token_classify", "classify"):
        raise PrmError(f"task: '{task}' is not served; give token_classify or classify")
    return _request(body, judge, last=task == "classify")


def classify(body: Any, judge: Judge) -> Request:
    """vLLM's POST /classify: each input's last token."""
    _keys(body, "input", REFUSED)
    return _request(body, judge, last=True)


def reward(body: Any, judge: Judge) -> Request:
    """OpenRLHF's remote reward model: query = prompt + response, told apart by `prompts`."""
    _keys(body, "query, prompts, labels")
    judge.check_rewarding()
    queries, prompts = body.get("query"), body.get("prompts")
    if not queries or not prompts:
        raise PrmError(
            f"{'prompts' if queries else 'query'}: is missing or empty; OpenRLHF sends query, prompts, labels"
        )
    if len(queries) != len(prompts):
        raise PrmError(f"prompts: {len(prompts)} of them for {len(queries)} queries")
    items = []
    for i, (query, prompt) in enumerate(zip(queries, prompts)):
        if not isinstance(query, str) or not isinstance(prompt, str) or not query.startswith(prompt):
            raise PrmError(f"query {i}: must be a text that begins with prompts {i}")
        items.append(judge.answer(judge.problem_of(prompt), query[len(prompt) :]))
    return _checked(items, judge, "query")


def score(body: Any, judge: Judge) -> Request:
    """Ours: {"rows": [{"problem", "steps"} or {"problem", "text"}]}."""
    _keys(body, "rows")
    if unknown := next((key for key in body if key not in ("rows", "model")), None):
        raise PrmError(f"{unknown}: is not known here; known are rows, model")
    if not body.get("rows"):
        raise PrmError('rows: is missing or empty; give [{"problem": ..., "steps": [...]}]')
    return _checked([_row(row, f"rows {i}") for i, row in enumerate(body["rows"])], judge, "rows")


def answer_pooling(request: Request, scored: Sequence[Scored], model: str) -> dict[str, Any]:
    data = []
    for i, (item, one) in enumerate(zip(request.items, scored)):
        values = _values(one.scores, request.activation)
        data.append({"index": i, "object": "pooling", "data": values if item.last else [[value] for value in values]})
    return _listed("pooling", data, scored, model)


def answer_classify(request: Request, scored: Sequence[Scored], model: str) -> dict[str, Any]:
    data = [
        {"index": i, "label": "right", "probs": _values(one.scores, request.activation), "num_classes": 1}
        for i, one in enumerate(scored)
    ]
    return _listed("classify", data, scored, model)


def answer_reward(judge: Judge, scored: Sequence[Scored], unscored: float | None) -> dict[str, Any]:
    """rewards: `unscored` (null without it) where there is none. extra_logs: numbers alone, as its trainer logs them."""
    rewards = [judge.reward(one) for one in scored]
    given = [unscored if value is None else value for value in rewards]
    logs = {
        "unscored": [float(value is None) for value in rewards],
        "steps": [float(len(one.scores)) for one in scored],
    }
    return {"rewards": given, "scores": given, "extra_logs": logs, "reasons": [one.reason for one in scored]}


def answer_score(scored: Sequence[Scored]) -> dict[str, Any]:
    return {
        "scores": [one.scores for one in scored],
        "reasons": [one.reason for one in scored],
        "cut": [list(one.cut) for one in scored],
    }


def _request(body: Mapping[str, Any], judge: Judge, last: bool) -> Request:
    items = _inputs(body.get("input"), last, body.get("add_special_tokens") is not False)
    return _checked(items, judge, "input", body.get("use_activation") is not False)


def _inputs(given: Any, last: bool, special: bool) -> list[Item]:
    """A text, a list of texts, ids, or a list of ids."""
    if isinstance(given, str) or _is_ids(given):
        given = [given]
    if not isinstance(given, list) or not given:
        raise PrmError("input: must be a text, a list of texts, a list of token ids, or a list of such lists")
    items = []
    for i, one in enumerate(given):
        if not isinstance(one, str) and not _is_ids(one):
            raise PrmError(f"input {i}: must be a text or a list of token ids, with at least one")
        items.append(Text(one, last, special) if isinstance(one, str) else Tokens(tuple(one), last))
    return items


def _is_ids(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(i) is int for i in given)


def _row(row: Any, where: str) -> Item:
    if not isinstance(row, dict):
        raise PrmError(f"{where}: must be an object")
    problem = text_of(row, ["problem"], where)
    if isinstance(row.get("text"), str) and "steps" not in row:
        return Answer(problem, row["text"])
    steps = row.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise PrmError(f"{where}: 'steps' must be a list of texts")
    return Solution(problem, tuple(steps))


def _size(item: Item) -> int:
    """In characters, of which a token is about four."""
    if isinstance(item, Tokens):
        return 4 * len(item.ids)
    parts = item.steps if isinstance(item, Solution) else (item.text,)
    return sum(map(len, parts)) + (0 if isinstance(item, Text) else len(item.problem))


def _checked(items: list[Item], judge: Judge, key: str, activation: bool = True) -> Request:
    """PrmError for what the PRM can never score, TooLarge for more than a request may ask."""
    if len(items) > ROWS:
        raise TooLarge(f"{key}: {len(items)} of them, {ROWS} a request are allowed; send several")
    if (size := sum(map(_size, items))) > SIZE:
        raise TooLarge(f"{key}: {size} characters (a token id counts as 4), {SIZE} a request are allowed; send several")
    for i, item in enumerate(items):
        try:
            judge.check(item)
        except PrmError as error:
            raise PrmError(f"{key} {i}: {error}") from None
    return Request(items, activation)


def _keys(body: Any, needed: str, refused: Mapping[str, tuple] = {}) -> None:
    if not isinstance(body, dict):
        raise PrmError(f"the body must be a JSON object with {needed}")
    for key, value in body.items():
        if value is not None and not isinstance(value, TYPES.get(key, object)):
            raise PrmError(f"{key}: must be of the type {TYPES[key].__name__}, not {type(value).__name__}")
        if key in refused and value not in refused[key]:
            use = "; ask with use_activation" if True in refused[key] else ""
            raise PrmError(f"{key}: {json.dumps(value)[:60]} is not served{use or '; leave it out'}")


def _values(scores: Sequence[float], activation: bool) -> list[float]:
    """Sigmoids as they are, or the logits they came from (exact to 1e-6 within +-20, at most 36)."""
    if activation:
        return list(scores)
    tiny = 2.0**-52
    return [math.log(max(p, tiny)) - math.log(max(1.0 - p, tiny)) for p in scores]


def _listed(kind: str, data: list, scored: Sequence[Scored], model: str) -> dict[str, Any]:
    tokens = sum(one.tokens for one in scored)
    return {
        "id": f"{kind}-{uuid.uuid4().hex[:16]}",
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
    }
