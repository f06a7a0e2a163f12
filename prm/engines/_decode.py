"""Decoding loop of the transformers engine. Shapes: R rows in flight, N in all, V vocabulary, T new tokens, P
prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from prm.engines import Sampling
from prm.errors import PrmError

_LEAVE = 8  # rows leave when an eighth of the batch has ended: sooner would copy the cache too often


@torch.inference_mode()
def decode(
    model, tokenizer, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling, eos: Sequence[int]
) -> list[tuple[str, list[int], list[float], str]]:
    """One completion a prompt: (text, token ids with the end token, log-probabilities in nats at temperature 1,
    finish).

    Equal prompts share one prefill. A row ends with a token of `eos` or when its text holds one of sampling.stop; the
    text goes up to there, token ids and log-probabilities keep what was drawn. Raises PrmError if the model gives NaN.
    """
    device = model.device
    total, steps = len(prompts), sampling.max_tokens
    logits, cache, mask, position = _prefill(model, prompts)
    mask = torch.cat([mask, mask.new_ones(total, steps)], dim=1)
    padded = bool((mask == 0).any())
    uniform_NT = torch.from_numpy(np.stack([np.random.default_rng(s).random(steps) for s in seeds])).to(device)
    eos_ids = torch.tensor(list(eos), dtype=torch.long, device=device)
    token_NT = torch.zeros(total, steps, dtype=torch.long, device=device)
    logprob_NT = torch.zeros(total, steps, device=device)
    length_N = torch.full((total,), steps, device=device)
    ended_N = torch.zeros(total, dtype=torch.bool, device=device)
    alive_R = torch.arange(total, device=device)
    for t in range(steps):
        token_R, logprob_R = choose(logits, uniform_NT[alive_R, t], sampling.temperature, sampling.top_p)
        token_NT[alive_R, t], logprob_NT[alive_R, t] = token_R, logprob_R
        ends_R = torch.isin(token_R, eos_ids)
        if sampling.stop:
            ends_R |= _stops(tokenizer, prompts, token_NT, alive_R, t + 1, sampling.stop)
        ends_R &= ~ended_N[alive_R]
        length_N[alive_R[ends_R]] = t + 1
        ended_N[alive_R] |= ends_R
        going_R = ~ended_N[alive_R]
        going = int(going_R.sum())
        if going == 0 or t + 1 == steps:
            break
        if (len(alive_R) - going) * _LEAVE >= len(alive_R):
            kept = going_R.nonzero().squeeze(1)
            cache.reorder_cache(kept)
            alive_R, token_R, mask, position = alive_R[kept], token_R[kept], mask[kept], position[kept]
        position = position + 1
        seen = mask[:, : mask.shape[1] - steps + t + 1] if padded else None
        logits = model(
            input_ids=token_R[:, None],
            attention_mask=seen,
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
    if bool(logprob_NT.isnan().any()):
        raise PrmError("engine.dtype: the model's log-probabilities are NaN; use float32, or check its weights")
    completions = [row[:n] for row, n in zip(token_NT.tolist(), length_N.tolist())]
    texts = _texts(tokenizer, prompts, completions, set(eos), sampling.stop)
    logprobs = [row[: len(ids)] for row, ids in zip(logprob_NT.tolist(), completions)]
    finish = ["stop" if ended else "length" for ended in ended_N.tolist()]
    return list(zip(texts, completions, logprobs, finish))


def choose(logits_RV: torch.Tensor, uniform_R: torch.Tensor, temperature: float, top_p: float):
    """(token_R, logprob_R): the token at point `uniform` of each row's cumulative distribution after temperature and
    top_p, and its log-probability before them."""
    logprob_RV = logits_RV.float().log_softmax(-1)
    if temperature == 0:
        token_R = logprob_RV.argmax(-1)
    else:
        prob_RV = (logprob_RV / temperature).softmax(-1)
        if top_p < 1:
            prob_RV = _nucleus(prob_RV, top_p)
        # float64: in float32 the sum's rounding over a large vocabulary exceeds the rare tokens' probability.
        cumulative_RV = prob_RV.double().cumsum(-1)
        point_R1 = uniform_R[:, None] * cumulative_RV[:, -1:]
        token_R = torch.searchsorted(cumulative_RV, point_R1, right=True).squeeze(1).clamp_(max=logits_RV.shape[1] - 1)
    return token_R, logprob_RV.gather(1, token_R[:, None]).squeeze(1)


def _nucleus(prob_RV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keeps the fewest tokens, most probable first, whose probabilities reach top_p (Holtzman et al. 2020)."""
    sorted_RV, order_RV = prob_RV.sort(dim=-1, descending=True, stable=True)
    sorted_RV[sorted_RV.cumsum(-1) - sorted_RV >= top_p] = 0
    return torch.zeros_like(prob_RV).scatter_(1, order_RV, sorted_RV)


def _prefill(model, prompts: Sequence[Sequence[int]]):
    """Each different prompt once, left padded, then copied to its rows.

    Returns (logits (N, V) of the first token, cache, attention mask (N, P), position (N,) of the last prompt token).
    """
    place: dict[tuple[int, ...], int] = {}
    which = [place.setdefault(tuple(p), len(place)) for p in prompts]
    width = max(map(len, place))
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in place], device=model.device)  # 0 is masked
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in place], device=model.device)
    position = (mask.cumsum(1) - 1).clamp_(min=0)
    out = model(input_ids=ids, attention_mask=mask, position_ids=position, use_cache=True, logits_to_keep=1)
    rows = torch.tensor(which, device=model.device)
    out.past_key_values.reorder_cache(rows)
    return out.logits[rows, -1], out.past_key_values, mask[rows], position[rows, -1]


def _stops(tokenizer, prompts, token_NT, alive_R, count: int, stop: Sequence[str]) -> torch.Tensor:
    """Which rows' texts hold a stop text now. The last tokens are looked at first: a character is at most 4 tokens."""
    window = 4 * max(map(len, stop)) + 4
    tails = tokenizer.batch_decode(token_NT[alive_R, max(0, count - window) : count].tolist(), skip_special_tokens=True)
    return torch.tensor([any(s in tail for s in stop) for tail in tails], device=token_NT.device)


def _texts(tokenizer, prompts, completions, eos: set[int], stop: Sequence[str]) -> list[str]:
    """The text is what the completion adds to the prompt's: decoded alone, many tokenizers lose its leading space."""
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    different = [list(p) for p in dict.fromkeys(map(tuple, prompts))]
    heads = dict(zip(map(tuple, different), tokenizer.batch_decode(different, **options)))
    shown = [ids[:-1] if ids[-1] in eos else ids for ids in completions]
    texts = []
    for prompt, ids, whole in zip(
        prompts, shown, tokenizer.batch_decode([list(p) + ids for p, ids in zip(prompts, shown)], **options)
    ):
        head = heads[tuple(prompt)]
        text = whole[len(head) :] if whole.startswith(head) else tokenizer.decode(ids, **options)
        texts.append(text[: min((text.find(s) for s in stop if s in text), default=len(text))])
    return texts
