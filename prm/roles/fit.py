"""Texts -> roles: read them in segments, cluster the centres, name the clusters, train the detector on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prm import config as configs
from prm import models, plugins
from prm.dynamics import reader as readers
from prm.errors import PrmError
from prm.roles import cluster, detector, naming
from prm.roles.model import Role, Roles
from prm.roles.segments import Row, cuts

if TYPE_CHECKING:
    import numpy as np

    from prm.signals import Context


@dataclass(frozen=True)
class Config:
    """reader: of exactly one layer. segmenter: {name: ..., config of that segmenter}."""

    reader: readers.Config = readers.Config()
    segmenter: Mapping[str, Any] = field(default_factory=lambda: {"name": "delimiter", "by": "lines"})
    cluster: cluster.Config = cluster.Config()
    detector: detector.Config = detector.Config()

    def __post_init__(self):
        if len(self.reader.layers) != 1:
            raise ValueError(f"reader.layers: roles are found in one layer, not {len(self.reader.layers)}; name one")


def check(config: Config) -> None:
    """PrmError for a model or segmenter that cannot be used; loads nothing."""
    readers.check(config.reader)
    plugin = plugins.build("segmenters", config.segmenter, "name", None, "segmenter")
    plugins.check(plugin.module, plugin.config)
    if plugins.needs_fit(plugin):
        raise PrmError(
            f"segmenter.path: missing; {plugin.name} is fitted first: `prm segmenter CORPUS -o FOLDER`, then path: FOLDER"
        )


def fit(
    rows: Sequence[Row],
    config: Config,
    context: Context | None = None,
    progress: Callable[[int], None] | None = None,
) -> Roles:
    """The roles in (prompt, text) rows; a prompt is what stood before the text, to the character. A row that cannot be read is counted in
    `report["rows"]`. context: keeps the loaded model. progress: told how many more rows are read. Raises PrmError where too few segments are left.
    """
    return build(*gather(rows, config, context, progress), config)


def build(read: Gathered, reader: readers.Reader, config: Config) -> Roles:
    """`fit`, from what `gather` gave."""
    found = cluster.cluster(read.centres_ND, config.cluster)
    role_N, _ = found.clusters.assign(read.centres_ND)
    head = train_head(read, role_N, len(found.clusters.centres_KP), config)
    fingerprint = models.weights_fingerprint(models.resolve(config.reader.model), reader.model.config)
    return Roles(
        config.reader,
        dict(config.segmenter),
        fingerprint,
        _shown(read.texts_N, role_N, found.clusters.distances(read.centres_ND)),
        found.clusters,
        head,
        config.detector.margin,
        _report(read, found, role_N, config),
    )


def gather(
    rows: Sequence[Row],
    config: Config,
    context: Context | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Gathered, readers.Reader]:
    """What `fit` reads of the rows, and the reader it did so with."""
    import numpy as np

    from prm.signals import Context

    check(config)
    context = context or Context()
    reader = context.cached(("reader", config.reader), lambda: readers.Reader.open(config.reader, context))
    plugin = plugins.build("segmenters", config.segmenter, "name", None, "segmenter")
    # In a random order, so that the states kept for the detector are of all kinds of rows.
    order = np.random.default_rng(config.cluster.seed).permutation(len(rows))
    shuffled = [rows[i] for i in order]
    made = cuts(shuffled, reader, plugin, context, progress)
    return Gathered.of(shuffled, made, config.detector.tokens), reader


def train_head(read: Gathered, role_N: np.ndarray, roles: int, config: Config) -> detector.Head:
    """The detector's head for segments of these roles, out of `roles`."""
    return detector.train(read.hidden_TD, read.segment_T, read.opens_T, role_N, roles, config.detector.decay)


@dataclass(frozen=True, eq=False)
class Gathered:
    """All that fitting needs of the rows: their N segments, and the states of the first T tokens, each with the segment it stands in; opens_T: whether it
    is its text's first."""

    texts_N: list[str]
    centres_ND: np.ndarray
    hidden_TD: np.ndarray
    segment_T: np.ndarray
    opens_T: np.ndarray
    reasons: dict[str, int]

    @classmethod
    def of(cls, rows: Sequence[Row], made, tokens: int) -> Gathered:
        import numpy as np

        texts, centres, hidden, segment, opens = [], [], [], [], []
        reasons: dict[str, int] = {"": 0}
        for (_, text), cut in zip(rows, made):
            reasons[cut.reason] = reasons.get(cut.reason, 0) + 1
            if cut.reason:
                continue
            if tokens > 0:
                hidden.append(cut.hidden_TD)
                segment.append(cut.segment_T + len(texts))
                opens.append(np.arange(len(cut.segment_T)) == 0)
                tokens -= len(cut.hidden_TD)
            texts += [text[a:b] for a, b in cut.segments]
            centres.append(cut.centres_ND)
        if not texts:
            told = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if reason) or "no rows"
            raise PrmError(f"roles: nothing to fit on ({told}); give texts with steps")
        joined = [np.concatenate(parts) for parts in (centres, hidden, segment, opens)]
        return cls(texts, *joined, reasons)


def _shown(texts_N: Sequence[str], role_N: np.ndarray, distance_NK: np.ndarray) -> tuple[Role, ...]:
    import numpy as np

    roles = distance_NK.shape[1]
    size_K = np.bincount(role_N, minlength=roles)
    named, spans = naming.names(texts_N, role_N, roles), naming.typical(texts_N, role_N, distance_NK)
    return tuple(Role(name, int(size), shown) for name, size, shown in zip(named, size_K, spans))


def _report(read: Gathered, found: cluster.Found, role_N: np.ndarray, config: Config) -> dict[str, Any]:
    """own: the share of the clustered segments whose nearest centre is their own cluster's (below 1 where density made clusters of other shapes)."""
    clustered = found.label_N >= 0
    return {
        "cluster": configs.plain(config.cluster),
        "detector": configs.plain(config.detector),
        "rows": {reason or "read": count for reason, count in read.reasons.items()},
        "segments": len(read.texts_N),
        "criterion": list(found.table),
        "stability": found.stability,
        "noise": float(1 - clustered.mean()),
        "own": float((found.label_N == role_N)[clustered].mean()),
    }
