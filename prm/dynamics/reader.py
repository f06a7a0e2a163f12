"""Any model of transformers read over texts: traces of every token, in batches, long texts in windows.

    reader = Reader.open(Config(model="world"))
    reader.read([("Mia has 3 coins. How many?\\n", "The answer is 3")])      # [Traces]

A text comes with what stood before it (its prompt), which is read but has no traces of its own. Prompt and text are tokenised one by one and joined
as ids, so every token's characters are known. A text longer than the model's positions, or than `max_tokens`, is read in windows: each brings along
as many tokens of the text before it as fill half the room behind the prompt, whose traces are dropped; a causal model's later traces so depend on at least that much past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prm import models
from prm.dynamics.traces import FLOW, MOTION, Traces
from prm.errors import PrmError

if TYPE_CHECKING:
    import torch

    from prm.signals import Context

DTYPES = ("auto", "float32", "bfloat16", "float16")
BUDGET = {"cpu": 4096, "cuda": 65536}  # padded tokens of one batch


@dataclass(frozen=True)
class Config:
    """model: "world", a folder or a hub id; a causal model has all traces, an encoder those of its hidden states. layers: as transformers counts
    hidden states: 0 the embeddings, -1 the last. window: states of the past that RPI looks at. max_tokens: of prompt and text in one pass, 0 for
    as many as the model has positions. dtype: auto is bfloat16 on CUDA, float32 elsewhere. device: auto is CUDA where there is one.
    """

    model: str = models.WORLD
    layers: tuple[int, ...] = (-1,)
    window: int = 8
    max_tokens: int = 0
    dtype: str = "auto"
    device: str = "auto"

    def __post_init__(self):
        if not self.layers:
            raise ValueError("layers: empty; [-1] reads the last")
        if self.window < 1:
            raise ValueError(f"window: {self.window} is not positive; 8 is usual")
        if self.max_tokens and self.max_tokens < 16:
            raise ValueError(
                f"max_tokens: {self.max_tokens} leaves no room for a window; give 16 or more, 0 for the model's own limit"
            )
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: '{self.dtype}' is unknown; one of {', '.join(DTYPES)}")


def check(config: Config) -> None:
    """PrmError for a model that cannot be read, or layers that it lacks; loads nothing, and asks no hub."""
    models.check(config.model)
    facts = models.facts(config.model)
    shape = facts.get("text_config", facts)
    count = shape.get("num_hidden_layers", shape.get("n_layer"))
    if count is not None:
        _layers(config.layers, count)


def has_head(model: str) -> bool | None:
    """Whether a folder's model makes next-token distributions; None where only loading it tells."""
    named = models.facts(model).get("architectures")
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in named) if named else None


@dataclass(frozen=True, slots=True)
class _Window:
    """One row for the model: ids, of which those from `begin` on are told of, as the tokens at .. of text `text`."""

    text: int
    at: int
    ids: list[int]
    begin: int


class Reader:
    """A loaded model with its tokenizer. `layers` are config.layers as indices from 0."""

    def __init__(self, config: Config, model, tokenizer, head):
        from prm.encode import specials

        self.config, self.model, self.tokenizer, self.head = config, model, tokenizer, head
        shape = model.config.get_text_config()
        self.layers = _layers(config.layers, shape.num_hidden_layers)
        self.width = shape.hidden_size
        self.max_tokens = _limit(config.max_tokens, model)
        self._before, self._behind = specials(tokenizer)

    @classmethod
    def open(cls, config: Config, context: Context | None = None) -> Reader:
        """Loads the model: with its head where it has one, else as an encoder. context: keeps it, for readers of the same weights. Raises PrmError if
        transformers cannot read it."""
        import torch

        check(config)
        device = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        dtype = config.dtype if config.dtype != "auto" else "bfloat16" if device.startswith("cuda") else "float32"
        if context is None:
            return cls(config, *_load(config, dtype, device))
        weights = ("weights", config.model, dtype, device)
        return cls(config, *context.cached(weights, lambda: _load(config, dtype, device)))

    def read(
        self,
        texts: Sequence[tuple[str | Sequence[int], str]],
        hidden: bool = False,
        traces: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> list[Traces]:
        """Traces of each (prompt, text); a prompt given as ids (a chat template's, say) is taken as it is. hidden: with the states of the layers. traces: False leaves flow and motion out. progress: told how many
        more windows are read."""
        import numpy as np

        cut = [self._windows(i, prompt, text) for i, (prompt, text) in enumerate(texts)]
        jobs = sorted((w for windows, _, _ in cut for w in windows), key=lambda w: len(w.ids), reverse=True)
        parts: list[list[tuple[int, dict]]] = [[] for _ in texts]
        for batch in self._batches(jobs):
            for window, values in zip(batch, self._batch(batch, hidden, traces)):
                parts[window.text].append((window.at, values))
            if progress:
                progress(len(batch))
        made = []
        for (windows, spans, reason), found in zip(cut, parts):
            found = [values for _, values in sorted(found, key=lambda part: part[0])]
            if any(values is None for values in found):
                found, reason = [], "not_finite"
            # along the tokens: the last axis, of states the one before
            joined = {
                k: np.concatenate([f[k] for f in found], axis=1 if k == "hidden_LTD" else -1)
                for k in (found[0] if found else ())
            }
            made.append(Traces(spans, **joined, reason=reason))
        return made

    def _windows(self, index: int, prompt: str | Sequence[int], text: str) -> tuple[list[_Window], tuple, str]:
        ids, spans = self._tokenise(text)
        if not ids:
            return [], (), "no_tokens"
        before = self._before + self._tokenise(prompt)[0] if isinstance(prompt, str) else list(prompt)
        close = self._behind
        room = self.max_tokens - len(before) - len(close)
        if len(ids) <= room:
            return [_Window(index, 0, before + ids + close, len(before))], spans, ""
        if room < self.max_tokens // 4:
            return [], spans, "prompt_too_long"
        windows, at = [], 0
        while at < len(ids):
            start = max(0, at - room // 2)
            windows.append(_Window(index, at, before + ids[start : start + room] + close, len(before) + at - start))
            at = start + room
        return windows, spans, ""

    def _tokenise(self, text: str) -> tuple[list[int], tuple[tuple[int, int], ...]]:
        """The text's ids and their characters. Text never becomes a special token."""
        from prm.spans import char_spans

        if not text:
            return [], ()
        options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
        made = self.tokenizer(text, return_offsets_mapping=self.tokenizer.is_fast, **options)
        ids = list(made["input_ids"])
        spans = made["offset_mapping"] if self.tokenizer.is_fast else char_spans(text, ids, self.tokenizer)
        return ids, tuple(map(tuple, spans))

    def _batches(self, jobs: list[_Window]) -> Iterator[list[_Window]]:
        budget, start = BUDGET.get(self.model.device.type, BUDGET["cpu"]), 0
        while start < len(jobs):
            count = max(1, budget // len(jobs[start].ids))
            yield jobs[start : start + count]
            start += count

    def _batch(self, windows: list[_Window], hidden: bool, traces: bool) -> list[dict | None]:
        """Each window's values by field of `Traces`, of its tokens from `begin` to the closing special tokens; None where a state is no finite number."""
        import torch

        from prm.dynamics.head import states

        with torch.inference_mode():
            longest = max(len(w.ids) for w in windows)
            # padded with 0, which every model embeds; a tokenizer's pad token may lie outside the table
            ids = torch.tensor([w.ids + [0] * (longest - len(w.ids)) for w in windows])
            mask = torch.tensor([[1] * len(w.ids) + [0] * (longest - len(w.ids)) for w in windows])
            ids, mask = ids.to(self.model.device), mask.to(self.model.device)
            last = len(self.layers) == 1 and self.layers[0] == self.model.config.get_text_config().num_hidden_layers
            out = states(self.model, ids, mask, every=not last)
            layers_LBTD = (
                out.last_hidden_state[None] if last else torch.stack([out.hidden_states[k] for k in self.layers])
            )
            made = self._told(windows, ids, out.last_hidden_state, layers_LBTD, hidden, traces)
            good_BT = layers_LBTD.isfinite().all(-1).all(0) & out.last_hidden_state.isfinite().all(-1)
            return [told if good else None for told, good in zip(made, (good_BT | (mask == 0)).all(1).tolist())]

    def _told(
        self, windows, ids, top_BTD: torch.Tensor, layers_LBTD: torch.Tensor, hidden: bool, traces: bool
    ) -> list[dict]:
        from prm.dynamics.motion import motion

        made: list[dict] = [{} for _ in windows]
        kept = [slice(w.begin, len(w.ids) - len(self._behind)) for w in windows]
        if traces:
            for name, values in motion(layers_LBTD, self.config.window).items():
                for b, (told, rows) in enumerate(zip(made, kept)):
                    told[f"{name}_LT"] = values[:, b, rows].cpu().numpy()
        if traces and self.head is not None:
            for told, values in zip(made, self._flow(windows, ids, top_BTD, kept)):
                told |= values
        if hidden:
            for b, (told, rows) in enumerate(zip(made, kept)):
                told["hidden_LTD"] = layers_LBTD[:, b, rows].float().cpu().numpy()
        return made

    def _flow(self, windows, ids, top_BTD: torch.Tensor, kept: list[slice]) -> Iterator[dict]:
        """Flow of all windows' tokens, one after another, each window from the token before its first one on."""
        import torch

        from prm.dynamics.flow import flow

        starts = [max(0, rows.start - 1) for rows in kept]
        places = torch.cat(
            [torch.arange(s, rows.stop) + b * ids.shape[1] for b, (s, rows) in enumerate(zip(starts, kept))]
        ).to(ids.device)
        first = torch.zeros(len(places), dtype=torch.bool, device=ids.device)
        lengths = [rows.stop - s for s, rows in zip(starts, kept)]
        first[torch.tensor([0, *lengths[:-1]]).cumsum(0)] = True
        made = flow(top_BTD.flatten(0, 1)[places], ids.flatten()[places], first, self.head)
        columns = [getattr(made, name).cpu().split(lengths) for name in FLOW]
        for b, rows in enumerate(kept):
            yield {f"{name}_T": column[b][rows.start - starts[b] :].numpy() for name, column in zip(FLOW, columns)}


def _load(config: Config, dtype: str, device: str) -> tuple:
    """The model, its tokenizer and its head."""
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from prm.dynamics.head import head_of

    path = models.resolve(config.model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        shape = AutoConfig.from_pretrained(path, trust_remote_code=False)
        _layers(
            config.layers, shape.get_text_config().num_hidden_layers
        )  # of a hub's model: before the weights are read
        options = {"dtype": getattr(torch, dtype), "use_safetensors": True, "trust_remote_code": False}
        model = _auto_class(shape).from_pretrained(path, **options)
    except (OSError, ValueError) as error:
        raise PrmError(f"model {config.model}: cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    model = model.to(device).eval()
    return model, tokenizer, head_of(model) if model.get_output_embeddings() is not None else None


def _auto_class(config):
    """With its head where the architecture is a language model's that reads from left to right, else without."""
    from transformers import AutoModel, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    causal = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    return AutoModelForCausalLM if causal & set(config.architectures or ()) else AutoModel


def _layers(wanted: tuple[int, ...], count: int) -> tuple[int, ...]:
    for layer in wanted:
        if not -count - 1 <= layer <= count:
            raise PrmError(f"layers: {layer}, but the model has the hidden states 0 to {count}; -1 is the last")
    return tuple(layer % (count + 1) for layer in wanted)


def _limit(wanted: int, model) -> int:
    from prm.network import position_limit

    limit = position_limit(model)
    if wanted and limit and wanted > limit:
        raise PrmError(f"max_tokens: {wanted}, but the model has {limit} positions; lower it to that")
    return wanted or limit or 4096


__all__ = ["Config", "Reader", "check", "MOTION", "FLOW"]
