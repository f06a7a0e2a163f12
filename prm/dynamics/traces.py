"""One text's traces. Shapes: _L layers, _T tokens of the text (not of the prompt before it)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

FLOW = ("kl", "entropy", "surprise")  # of the next-token distribution; nats
MOTION = ("curl", "curl_norm", "turn", "rpi")  # of the hidden states, one row a layer


@dataclass(frozen=True, eq=False)
class Traces:
    """spans: (first, exclusive last) character of each token in the text, or () for a stream.

    kl_T: KL(p_t || p_{t-1}), p_t the distribution of the token after t; entropy_T: of p_t; surprise_T: -log p_{t-1}(token t); nats, each
        None where the model has no output projection (an encoder).
    curl_LT: |h_t - 2 h_{t-1} + h_{t-2}|; curl_norm_LT: that over |h_t - h_{t-1}|; turn_LT: the angle between h_t - h_{t-1} and
        h_{t-1} - h_{t-2}, radians; rpi_LT: cosine of h_t with the mean of the `window` states before it (of as many as there are).
    hidden_LTD: the states themselves, where they were asked for.
    reason: "" or why there are no traces: "no_tokens", "prompt_too_long", "not_finite" (a state is not a finite number: damaged weights, or a
        type too narrow).
    """

    spans: tuple[tuple[int, int], ...] = ()
    kl_T: np.ndarray | None = None
    entropy_T: np.ndarray | None = None
    surprise_T: np.ndarray | None = None
    curl_LT: np.ndarray | None = None
    curl_norm_LT: np.ndarray | None = None
    turn_LT: np.ndarray | None = None
    rpi_LT: np.ndarray | None = None
    hidden_LTD: np.ndarray | None = field(default=None, repr=False)
    reason: str = ""

    def named(self, name: str, layer: int = -1) -> np.ndarray | None:
        """One trace (T,), of MOTION for a layer (an index into the layers read)."""
        if name in FLOW:
            return getattr(self, f"{name}_T")
        values = getattr(self, f"{name}_LT")
        return None if values is None else values[layer]
