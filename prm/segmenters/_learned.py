"""Heads that tell from hidden states where a text may be cut, learned from what the model or the text itself gives away.

`expected`: ridge regression of the next-token entropy after token t on the state h_t, one head a layer: what the model's uncertainty is *on average*
in such a state. A peak of entropy itself may be a hard word; where steps end the states are alike, so what is left of the entropy after this averaging
is the habit of the place. Layers that know less of the particular text average more: an early one is best (recipes/LOG.md).
`shown`: logistic regression of "a step begins at t" on (h_{t-1}, h_t), from texts that show their delimiters, which are hidden before the model reads them.

A layer's head is standardised over the tokens it was fitted on; with several layers their mean counts, so a place must convince them all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from prm.dynamics.traces import Traces
from prm.errors import PrmError

VERSION = 1
RIDGE = 10.0  # added to the diagonal of X'X; thousands of tokens make it a guard against singularity, no more


@dataclass(frozen=True, eq=False)
class Learned:
    """target: "expected", "shown", or a trace's name, which has no heads and only a threshold. weight_LF, bias_L: heads, already standardised.
    model: the fingerprint of the weights whose states they read. threshold: on the score. tokens: fitted on."""

    target: str
    threshold: float
    model: str
    layers: tuple[int, ...]
    tokens: int
    weight_LF: np.ndarray | None = None
    bias_L: np.ndarray | None = None

    def save(self, folder: str | Path) -> None:
        """The folder appears whole, in the place of an earlier one."""
        from safetensors.numpy import save_file

        folder = Path(folder).absolute()
        fresh, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("new", "old"))
        for stray in (fresh, old):
            shutil.rmtree(stray, ignore_errors=True)
        fresh.mkdir(parents=True)
        if self.weight_LF is not None:
            save_file({"weight": self.weight_LF, "bias": self.bias_L}, fresh / "attractor.safetensors")
        card = {k: v for k, v in asdict(self).items() if not k.endswith(("_LF", "_L"))}
        (fresh / "attractor.json").write_text(json.dumps({"version": VERSION, **card}, indent=1) + "\n")
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)

    @classmethod
    def load(cls, path: str | Path) -> Learned:
        """Raises PrmError for a folder without a fitted segmenter."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        file = Path(path) / "attractor.json"
        try:
            card = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise PrmError(
                f"segmenter.path: {file}: no fitted segmenter ({type(error).__name__}); fit one with `prm segmenter`"
            ) from None
        if not isinstance(card, dict) or card.pop("version", None) != VERSION:
            raise PrmError(f"segmenter.path: {file}: made by another version of prm; fit it again")
        try:
            heads = load_file(file.with_suffix(".safetensors")) if card["target"] in HEADS else {}
            return cls(
                **{**card, "layers": tuple(card["layers"])}, weight_LF=heads.get("weight"), bias_L=heads.get("bias")
            )
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise PrmError(f"segmenter.path: {path}: damaged ({type(error).__name__}); fit it again") from None

    def score(self, traces: Traces) -> np.ndarray:
        """(T,): how much each place b looks like the start of a step; NaN at 0."""
        if self.weight_LF is None:
            return trace_score(traces, self.target)
        per_layer = [x @ w + b for x, w, b in zip(FEATURES[self.target](traces), self.weight_LF, self.bias_L)]
        return _nan_first(np.mean(per_layer, axis=0))


def trace_score(traces: Traces, name: str) -> np.ndarray:
    """(T,): for entropy, that before the place (after token b - 1); for surprise, that of token b."""
    values = traces.named(name)
    if values is None:
        raise PrmError(
            f"segmenter.form: {name} needs a language model's output projection, and this model is an encoder; take change or shown"
        )
    return _nan_first(np.concatenate([[np.nan], values[:-1]]) if name == "entropy" else values.copy())


def _nan_first(score: np.ndarray) -> np.ndarray:
    score = np.asarray(score, np.float64)
    score[:1] = np.nan
    return score


def _before(traces: Traces) -> np.ndarray:
    """(L, T, D): at place b the state h_{b-1}."""
    hidden = traces.hidden_LTD
    return np.concatenate([np.zeros_like(hidden[:, :1]), hidden[:, :-1]], axis=1)


def _both(traces: Traces) -> np.ndarray:
    """(L, T, 2D): at place b the states on either side."""
    return np.concatenate([_before(traces), traces.hidden_LTD], axis=2)


FEATURES = {"expected": _before, "shown": _both}
HEADS = tuple(FEATURES)


def fit_expected(read: Sequence[Traces], layers: tuple[int, ...], model: str) -> Learned:
    """Heads of the expected entropy. The threshold is still to be set."""
    found = []
    for layer in range(len(layers)):
        xx, xy, y = 0.0, 0.0, []
        for traces in read:
            x = _with_one(traces.hidden_LTD[layer].astype(np.float64))
            xx, xy = xx + x.T @ x, xy + x.T @ traces.entropy_T
            y.append(traces.entropy_T)
        found.append(np.linalg.solve(xx + RIDGE * np.eye(len(xx)), xy))
    return _standardised("expected", found, read, layers, model)


def fit_shown(read: Sequence[Traces], starts: Sequence[Sequence[int]], layers: tuple[int, ...], model: str) -> Learned:
    """Heads of where steps begin. starts: each text's places (tokens). The threshold is still to be set."""
    from sklearn.linear_model import LogisticRegression

    y = np.concatenate([np.isin(np.arange(len(t.spans)), places) for t, places in zip(read, starts)])
    if y.all() or not y.any():
        raise PrmError(
            "segmenter.form: shown, but no text shows a delimiter to learn from; take another form or other texts"
        )
    found = []
    for layer in range(len(layers)):
        x = np.concatenate([_both(t)[layer] for t in read])
        middle, spread = x.mean(0), np.maximum(x.std(0), 1e-6)  # of one scale, or the solver takes long
        head = LogisticRegression(C=0.1, max_iter=300).fit((x - middle) / spread, y)
        weight = head.coef_[0] / spread
        found.append(np.concatenate([weight, head.intercept_ - weight @ middle]))
    return _standardised("shown", found, read, layers, model)


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _standardised(
    target: str, found: list[np.ndarray], read: Sequence[Traces], layers: tuple[int, ...], model: str
) -> Learned:
    weights, biases = np.stack([f[:-1] for f in found]), np.array([f[-1] for f in found])
    scores = [
        np.concatenate([(FEATURES[target](t)[i] @ w + b)[1:] for t in read])
        for i, (w, b) in enumerate(zip(weights, biases))
    ]
    mean, spread = np.array([s.mean() for s in scores]), np.array([s.std() or 1.0 for s in scores])
    weight, bias = (weights / spread[:, None]).astype(np.float32), ((biases - mean) / spread).astype(np.float32)
    return Learned(target, float("inf"), model, layers, sum(len(t.spans) for t in read), weight, bias)
