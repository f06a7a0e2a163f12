"""A set of roles: where they lie, what they look like, the detector, and the model they were found in. One folder on disk:

roles.json           version, reader and segmenter, the model's fingerprint, how the number was chosen, each role's name, size and typical spans
roles.safetensors    everything numeric
segmenter/           the fitted segmenter that the texts were cut with, if it was one that learns
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prm import config as configs
from prm import models, plugins
from prm.dynamics import reader as readers
from prm.errors import PrmError
from prm.roles.cluster import Clusters
from prm.roles.detector import Detector, Head
from prm.roles.segments import CHUNK, Cut, Row, cuts

if TYPE_CHECKING:
    import numpy as np

    from prm.signals import Context

VERSION = 1
SEGMENTER = "segmenter"
_CLUSTERS = ("mean_D", "scale_D", "axes_PD", "centres_KP", "reach_K")
_HEAD = ("weight_KD", "bias_K", "start_2D", "start_bias_1")


@dataclass(frozen=True, slots=True)
class Role:
    """name: its most distinctive words. size: segments it was fitted on. typical: the spans nearest to its centre, all different."""

    name: str
    size: int
    typical: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """One text read with roles. Shapes: T tokens, N segments.

    spans: each token's characters. segments: each segment's (first, exclusive last) character. segment_T: each token's segment. centres_ND: mean states.
    role_N, confidence_N: offline, from the centres. mode_T, mode_confidence_T: live, from the states up to each token.
    reason: "" or why there is nothing: "no_tokens", "prompt_too_long", "not_finite", "no_steps".
    """

    spans: tuple[tuple[int, int], ...] = ()
    segments: tuple[tuple[int, int], ...] = ()
    segment_T: np.ndarray | None = field(default=None, repr=False)
    centres_ND: np.ndarray | None = field(default=None, repr=False)
    role_N: np.ndarray | None = None
    confidence_N: np.ndarray | None = None
    mode_T: np.ndarray | None = None
    mode_confidence_T: np.ndarray | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Roles:
    """reader: of one layer. segmenter: {"name": ..., its config}. fingerprint: of the model's weights. roles: the largest first; a role's number is its
    centre's. margin: the detector's hysteresis in nats. report: how it was fitted, JSON types."""

    reader: readers.Config
    segmenter: Mapping[str, Any]
    fingerprint: str
    roles: tuple[Role, ...]
    clusters: Clusters
    head: Head
    margin: float
    report: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(role.name for role in self.roles)

    def assign(self, centres_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(role (N,) int, confidence (N,) float32) of whole segments. See `Clusters.assign`."""
        return self.clusters.assign(centres_ND)

    def detector(self, device: str = "cpu") -> Detector:
        """A new one, for streams. See `detector.Detector`."""
        return Detector(self.head, self.margin, device)

    def detect(self, hidden_TD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(role (T,) int, confidence (T,) float32) at every token of one text, causal, with hysteresis."""
        import torch

        return self.detector().detect([torch.as_tensor(hidden_TD)])[0]

    def open_reader(self, context: Context | None = None) -> readers.Reader:
        """The model; context: as of `Reader.open`. Raises PrmError where its weights are not those that the roles were found in."""
        path = models.resolve(self.reader.model)
        if Path(path).is_dir():
            self.check_weights(models.weights_fingerprint(path))
        reader = readers.Reader.open(self.reader, context)
        self.check_weights(models.weights_fingerprint(path, reader.model.config))
        return reader

    def check_weights(self, fingerprint: str) -> None:
        """Raises PrmError for another model's."""
        if fingerprint != self.fingerprint:
            raise PrmError(
                f"roles: the weights of model '{self.reader.model}' ({fingerprint}) are not those the roles were fitted on "
                f"({self.fingerprint}); give that model, or fit the roles again"
            )

    def read(
        self, rows: Sequence[Row], context: Context | None = None, progress: Callable[[int], None] | None = None
    ) -> list[Reading]:
        """Each (prompt, text) in segments with their roles, and the mode at every token: one teacher-forced pass. context: keeps the loaded model for the
        next call. progress: told how many more rows are read."""
        import torch

        from prm.signals import Context

        context = context or Context()
        reader = context.cached(("roles.reader", self.reader, self.fingerprint), lambda: self.open_reader(context))
        detector, made = self.detector(), []
        found = cuts(rows, reader, self.segmenter_plugin(), context, progress)
        while chunk := list(islice(found, CHUNK)):  # whose streams go side by side
            streams = [torch.from_numpy(cut.hidden_TD) for cut in chunk if not cut.reason]
            modes = iter(detector.detect(streams))
            made += [self._reading(cut, modes) for cut in chunk]
        return made

    def _reading(self, cut: Cut, modes: Iterator[tuple[np.ndarray, np.ndarray]]) -> Reading:
        if cut.reason:
            return Reading(cut.spans, reason=cut.reason)
        offline = self.assign(cut.centres_ND)
        return Reading(cut.spans, cut.segments, cut.segment_T, cut.centres_ND, *offline, *next(modes))

    def segmenter_plugin(self) -> plugins.Plugin:
        return plugins.build("segmenters", self.segmenter, "name", None, "roles.segmenter")

    def save(self, folder: str | Path) -> None:
        """Writes the folder; roles.json comes last, so where it stands the rest does too."""
        import numpy as np
        from safetensors.numpy import save_file

        from prm.store import write_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        segmenter = configs.plain(self.segmenter)
        if fitted := segmenter.get("path"):  # copied: the folder may be taken elsewhere
            if Path(fitted).resolve() != (folder / SEGMENTER).resolve():
                shutil.copytree(fitted, folder / SEGMENTER, dirs_exist_ok=True)
            segmenter["path"] = SEGMENTER
        arrays = {f"clusters.{name}": getattr(self.clusters, name) for name in _CLUSTERS}
        arrays |= {f"head.{name}": getattr(self.head, name) for name in _HEAD}
        arrays |= {"clusters.spread": np.array(self.clusters.spread), "margin": np.array(self.margin)}
        (folder / "roles.json").unlink(missing_ok=True)
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / "roles.safetensors")
        card = {
            "version": VERSION,
            "model": self.reader.model,
            "fingerprint": self.fingerprint,
            "reader": configs.plain(self.reader),
            "segmenter": segmenter,
            "roles": [asdict(role) for role in self.roles],
            "report": configs.plain(self.report),
        }
        write_file(folder / "roles.json", (json.dumps(card, indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path) -> Roles:
        """Raises PrmError for a folder that holds no roles, or roles of another version. Opens no model: `open_reader` does, and checks it."""
        folder = Path(folder)
        card = _card(folder / "roles.json")
        arrays = _arrays(folder / "roles.safetensors")
        try:
            clusters = {name: arrays[f"clusters.{name}"] for name in _CLUSTERS}
            return cls(
                configs.build(readers.Config, card["reader"], f"{folder / 'roles.json'}: reader"),
                card["segmenter"] | ({"path": str(folder / SEGMENTER)} if card["segmenter"].get("path") else {}),
                card["fingerprint"],
                tuple(Role(r["name"], r["size"], tuple(r["typical"])) for r in card["roles"]),
                Clusters(**clusters, spread=arrays["clusters.spread"].item()),
                Head(*(arrays[f"head.{name}"] for name in _HEAD)),
                arrays["margin"].item(),
                card["report"],
            )
        except KeyError as error:
            raise PrmError(f"{folder}: these roles lack {error}; fit them again") from None


def _card(path: Path) -> dict:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PrmError(f"{path}: {error.strerror}; give a folder that `Roles.save` wrote") from None
    except ValueError as error:
        raise PrmError(f"{path}: not JSON ({error}); fit the roles again") from None
    version = card.get("version") if isinstance(card, dict) else None
    if version != VERSION:
        raise PrmError(f"{path}: roles of version {version}, this reads version {VERSION}; fit them again")
    return card


def _arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise PrmError(f"{path}: cannot be read ({error}); fit the roles again") from None
