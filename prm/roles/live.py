"""The mode of every row, token by token, while a model of transformers generates.

    with watch(model, roles) as live:
        model.generate(**inputs, max_new_tokens=200)             # live.now: each row's mode at the token read last
    role_RT, confidence_RT, switched_RT = live.modes()

A forward hook takes the states of the roles' layer as the model makes them. A token has a mode once it has been read, a step after it was drawn, so the
very last one drawn has none. The prompt is not part of the text: its states are passed over, as `Roles.read` does, and what follows equals the
teacher-forced `Roles.detect`. Prompts of a batch are padded on the left; a row that has ended goes on with padding, whose modes are to be left out.

Rows must stay in their places: sampling and greedy search do, beam search does not. The engine `transformers` of this package lets rows leave the batch
as they end, and vLLM hands out no hidden states while it generates: for both, `Roles.read` tells the same afterwards, in one teacher-forced pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prm import models
from prm.errors import PrmError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel

    from prm.roles.model import Roles


@contextmanager
def watch(model: PreTrainedModel, roles: Roles) -> Iterator[Live]:
    """Raises PrmError where the model cannot be the one the roles were found in: by its width, or by its weights where they came from a folder or hub."""
    shape = model.config.get_text_config()
    path = str(model.config.name_or_path or "")
    width = roles.head.weight_KD.shape[1]
    if width != shape.hidden_size:
        raise PrmError(
            f"roles: found in states of width {width}, the model's are {shape.hidden_size} wide; give its own"
        )
    if (path and Path(path).is_dir()) or getattr(model.config, "_commit_hash", None):
        roles.check_weights(models.weights_fingerprint(path, model.config))
    body = model.base_model if model.base_model is not model else model
    live = Live(roles, model.device)
    layer = roles.reader.layers[0] % (shape.num_hidden_layers + 1)  # -1 is the last
    hooks = [body.register_forward_pre_hook(live._before, with_kwargs=True)]
    if layer == shape.num_hidden_layers:
        hooks.append(body.register_forward_hook(lambda _, __, out: live._states(out[0])))
    else:  # hidden state k is what block k is given
        block = _blocks(body, shape.num_hidden_layers)[layer]
        hooks.append(
            block.register_forward_pre_hook(
                lambda _, args, kwargs: live._states(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
            )
        )
    try:
        yield live
    finally:
        for hook in hooks:
            hook.remove()


class Live:
    """now: (role_R, confidence_R, switched_R), tensors on the model's device, at the token read last; None before the first of a generation."""

    def __init__(self, roles: Roles, device: torch.device):
        self._detector = roles.detector(str(device))
        self._prompt, self._cached = True, True
        self._made: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    @property
    def now(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        return self._made[-1] if self._made else None

    def modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(role_RT int, confidence_RT float32, switched_RT bool) of the T tokens read so far in the last generation. (0, 0) arrays before any. PrmError
        where it had no cache: each step then reads all from the start, and no token comes alone."""
        import numpy as np
        import torch

        if not self._cached:
            raise PrmError(
                "roles: the model ran without a cache; generate with use_cache=True, or use Roles.read afterwards"
            )
        if not self._made:
            return np.empty((0, 0), int), np.empty((0, 0), np.float32), np.empty((0, 0), bool)
        return tuple(torch.stack(column, 1).cpu().numpy() for column in zip(*self._made))

    def _before(self, _, args: tuple, kwargs: dict) -> None:
        given = next(x for x in (*args[:1], kwargs.get("input_ids"), kwargs.get("inputs_embeds")) if x is not None)
        cache = kwargs.get("past_key_values")
        fresh = cache is None or not cache.get_seq_length()
        self._prompt, self._cached = fresh or given.shape[1] > 1, kwargs.get("use_cache") is not False
        if fresh:
            self._detector.reset()
            self._made = []
        elif self._made and given.shape[1] > 1:
            raise PrmError(
                "roles: several tokens at once after the prompt (speculative decoding); watch plain generation"
            )
        elif self._made and len(given) != len(self._made[-1][0]):
            raise PrmError("roles: rows left the batch while generating; keep them, or use Roles.read afterwards")

    def _states(self, hidden_RTD: torch.Tensor) -> None:
        if not self._prompt:
            self._made.append(self._detector.step(hidden_RTD[:, -1]))


def _blocks(body: torch.nn.Module, count: int) -> torch.nn.ModuleList:
    import torch

    for module in body.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module
    raise PrmError(f"roles: no list of {count} blocks in {type(body).__name__}; fit the roles on the last layer")
