"""Centres of segments -> clusters: how many by a criterion, how stable over seeds, and where a new centre belongs.

Centres are standardised per dimension and, when wide, reduced to their principal components. The number of roles is chosen by prediction strength
(Tibshirani and Walther 2005): two random halves are clustered apart; a cluster of one half is as strong as the share of its pairs that the other half's
centres keep together, a partition as its weakest cluster. The largest number whose mean strength, with one standard error, reaches 0.8 is taken: a
cluster split in two by chance is weak, however well all others are found again. The mean pairwise adjusted Rand index of the runs (a split of one cluster
of many hardly lowers it) and the mean silhouette (highest for the coarsest partition, where one role lies apart) are shown beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from prm.errors import PrmError

if TYPE_CHECKING:
    import numpy as np

METHODS = ("kmeans", "hdbscan")
STARTS = 4  # k-means restarts of one run
SILHOUETTES = 1500  # centres that the silhouette looks at: it is quadratic
REACH = 0.95  # share of a role's members within its reach
STRONG = 0.8  # the published cutoff: 0.8 to 0.9


@dataclass(frozen=True)
class Config:
    """method: kmeans, or hdbscan (density; its number of roles follows from min_size). roles: how many for kmeans, 0 for the criterion's choice among
    least..most. min_size: members of the smallest hdbscan cluster, 0 for a fiftieth of the centres. dimensions: principal components kept of wider
    states, 0 for all. runs: random splits in halves of the criterion. seed: of all of it.
    """

    method: str = "kmeans"
    roles: int = 0
    least: int = 2
    most: int = 12
    min_size: int = 0
    dimensions: int = 32
    runs: int = 6
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"method: '{self.method}' is unknown; one of {', '.join(METHODS)}")
        if self.roles == 1 or self.roles < 0:
            raise ValueError(f"roles: {self.roles}; give 2 or more, 0 for the criterion's choice")
        if not 2 <= self.least <= self.most:
            raise ValueError(f"least: must be from 2 to most ({self.most}), not {self.least}")
        if self.min_size < 0 or self.dimensions < 0:
            raise ValueError("min_size, dimensions: below 0; 0 takes the default")
        if self.runs < 2:
            raise ValueError(f"runs: {self.runs} cannot be compared; give 2 or more")


@dataclass(frozen=True, eq=False)
class Clusters:
    """Where roles lie. Shapes: D width of the states, P dimensions kept, K roles.

    A state h is seen as axes_PD @ ((h - mean_D) / scale_D). centres_KP; reach_K: the distance within which 95 % of a role's members lie; spread: the
    members' mean squared distance to their centre, a dimension.
    """

    mean_D: np.ndarray
    scale_D: np.ndarray
    axes_PD: np.ndarray
    centres_KP: np.ndarray
    reach_K: np.ndarray
    spread: float

    def project(self, states_ND: np.ndarray) -> np.ndarray:
        return ((states_ND - self.mean_D) / self.scale_D) @ self.axes_PD.T

    def assign(self, states_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(role (N,) int, confidence (N,) float32 in [0, 1]): the nearest centre's role, whichever method made the clusters. The confidence is that role's
        posterior under round Gaussians of equal size around the centres, times reach / distance where the state lies out of the role's reach: what HDBSCAN
        calls noise has a role too, with little confidence."""
        import numpy as np

        distance_NK = _distances(self.project(states_ND), self.centres_KP)
        role_N = distance_NK.argmin(1)
        nearest_N = distance_NK[np.arange(len(role_N)), role_N]
        weight_NK = np.exp((nearest_N[:, None] ** 2 - distance_NK**2) / (2 * self.spread))
        far_N = np.minimum(1, self.reach_K[role_N] / np.maximum(nearest_N, 1e-12))
        return role_N, (far_N / weight_NK.sum(1)).astype(np.float32)

    def distances(self, states_ND: np.ndarray) -> np.ndarray:
        """(N, K)"""
        return _distances(self.project(states_ND), self.centres_KP)


@dataclass(frozen=True, eq=False)
class Found:
    """clusters: ordered by size, the largest first. label_N: the fitted centres' clusters; -1 is HDBSCAN's noise. table: one row for each number of
    roles tried, {"roles", "stability", "spread" (standard deviation of its pairs), "silhouette", "chosen"}; empty for hdbscan. stability: mean pairwise
    ARI over seeds of the method as chosen, on random halves."""

    clusters: Clusters
    label_N: np.ndarray
    table: tuple[dict, ...]
    stability: float


def cluster(centres_ND: np.ndarray, config: Config) -> Found:
    """Raises PrmError where there are too few centres, or HDBSCAN finds fewer than two clusters."""
    import numpy as np

    if len(centres_ND) < 4 * max(config.least, config.roles):
        raise PrmError(
            f"roles: {len(centres_ND)} segments are too few for {max(config.least, config.roles)} roles; "
            "give more texts or ask for fewer roles"
        )
    frame = _frame(np.asarray(centres_ND, np.float64), config.dimensions)
    points_NP = frame.project(np.asarray(centres_ND, np.float64))
    table: list[dict] = []
    if config.method == "kmeans":
        if config.roles == 0:
            table = criterion(points_NP, config)
        k = config.roles or next(row["roles"] for row in table if row["chosen"])
        label_N, stable = _kmeans(points_NP, k, config.seed).labels_, _stability(points_NP, k, config)
    else:
        label_N, stable = _hdbscan(points_NP, config), _density_stability(points_NP, config)
    label_N = _by_size(label_N)
    return Found(_measured(frame, points_NP, label_N), label_N, tuple(table), stable)


def criterion(points_NP: np.ndarray, config: Config) -> list[dict]:
    """The table of `Found`, with the row that is chosen: the strongest where none is strong enough."""
    rows = []
    for k in range(config.least, min(config.most, len(points_NP) // 4) + 1):
        strength, error, stability = _strength(points_NP, k, config)
        silhouette = _silhouette(points_NP, _kmeans(points_NP, k, config.seed).labels_)
        rows.append(
            {"roles": k, "strength": strength, "error": error, "stability": stability, "silhouette": silhouette}
        )
    strong = [row for row in rows if row["strength"] + row["error"] >= STRONG]
    chosen = strong[-1] if strong else max(rows, key=lambda row: row["strength"])
    return [row | {"chosen": row is chosen} for row in rows]


def _frame(states_ND: np.ndarray, dimensions: int) -> Clusters:
    """How states are seen, without clusters yet."""
    import numpy as np

    mean_D, scale_D = states_ND.mean(0), states_ND.std(0)
    scale_D = np.where(scale_D > 1e-6 * max(scale_D.max(), 1e-12), scale_D, 1.0)
    axes_PD = np.eye(states_ND.shape[1])
    if 0 < dimensions < states_ND.shape[1]:
        seen = (states_ND - mean_D) / scale_D
        axes_PD = np.linalg.eigh(seen.T @ seen)[1].T[::-1][:dimensions].copy()
    return Clusters(mean_D, scale_D, axes_PD, np.empty((0, len(axes_PD))), np.empty(0), 1.0)


def _measured(frame: Clusters, points_NP: np.ndarray, label_N: np.ndarray) -> Clusters:
    import numpy as np

    members = [points_NP[label_N == k] for k in range(label_N.max() + 1)]
    centres_KP = np.stack([m.mean(0) for m in members])
    off = [np.linalg.norm(m - c, axis=1) for m, c in zip(members, centres_KP)]
    reach_K = np.array([np.quantile(d, REACH) for d in off])
    spread = float((np.concatenate(off) ** 2).mean() / points_NP.shape[1])
    return replace(frame, centres_KP=centres_KP, reach_K=reach_K, spread=max(spread, 1e-12))


def _by_size(label_N: np.ndarray) -> np.ndarray:
    """The same partition with role 0 the largest; -1 stays."""
    import numpy as np

    size_K = np.bincount(label_N[label_N >= 0])
    rank_K = np.empty(len(size_K), int)
    rank_K[np.argsort(-size_K, kind="stable")] = np.arange(len(size_K))
    return np.where(label_N >= 0, rank_K[label_N], -1)


def _kmeans(points_NP: np.ndarray, k: int, seed: int):
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=STARTS, random_state=seed).fit(points_NP)


def _splits(count: int, config: Config) -> list[tuple[np.ndarray, np.ndarray]]:
    import numpy as np

    orders = [np.random.default_rng([config.seed, run]).permutation(count) for run in range(config.runs)]
    return [(order[: count // 2], order[count // 2 :]) for order in orders]


def _strength(points_NP: np.ndarray, k: int, config: Config) -> tuple[float, float, float]:
    """(prediction strength, its standard error over runs, mean pairwise ARI of the runs' partitions of all points)."""
    import numpy as np

    strengths, made = [], []
    for run, halves in enumerate(_splits(len(points_NP), config)):
        fitted = [_kmeans(points_NP[half], k, config.seed + run) for half in halves]
        crossed = [_kept(fitted[i].labels_, fitted[1 - i].predict(points_NP[halves[i]]), k) for i in (0, 1)]
        strengths.append(np.mean(crossed))
        made.append(fitted[0].predict(points_NP))
    return float(np.mean(strengths)), float(np.std(strengths, ddof=1) / len(strengths) ** 0.5), _agreement(made)


def _kept(own_N: np.ndarray, other_N: np.ndarray, k: int) -> float:
    """The smallest share, over the clusters of `own`, of a cluster's pairs that `other` keeps together; of a single member all."""
    import numpy as np

    count_KK = np.bincount(own_N * k + other_N, minlength=k * k).reshape(k, k).astype(float)
    size_K = count_KK.sum(1)
    pairs_K = size_K * (size_K - 1)
    together_K = (count_KK * (count_KK - 1)).sum(1)
    return float(np.where(pairs_K > 0, together_K / np.maximum(pairs_K, 1), 1.0).min())


def _stability(points_NP: np.ndarray, k: int, config: Config) -> float:
    """Mean pairwise ARI of runs on random halves, each assigning all points."""
    return _agreement(
        [
            _kmeans(points_NP[half], k, config.seed + run).predict(points_NP)
            for run, (half, _) in enumerate(_splits(len(points_NP), config))
        ]
    )


def _density_stability(points_NP: np.ndarray, config: Config) -> float:
    """The same for HDBSCAN: each pair of runs compared on the points that both clustered (it assigns no others), noise a cluster of its own."""
    import numpy as np

    made = []
    for half, _ in _splits(len(points_NP), config):
        label_N = np.full(len(points_NP), -2)
        label_N[half] = _density(points_NP[half], max(2, _min_size(len(points_NP), config) // 2))
        made.append(label_N)
    return _agreement(made)


def _agreement(made: list[np.ndarray]) -> float:
    import numpy as np
    from sklearn.metrics import adjusted_rand_score

    pairs = [(a, b, (a > -2) & (b > -2)) for a, b in combinations(made, 2)]
    scores = [adjusted_rand_score(a[both], b[both]) for a, b, both in pairs]
    return float(np.mean(scores))


def _hdbscan(points_NP: np.ndarray, config: Config) -> np.ndarray:
    label_N = _density(points_NP, _min_size(len(points_NP), config))
    if label_N.max() < 1:
        raise PrmError(
            f"roles: HDBSCAN finds {label_N.max() + 1} clusters in {len(points_NP)} segments; lower cluster.min_size or take kmeans"
        )
    return label_N


def _density(points_NP: np.ndarray, min_size: int) -> np.ndarray:
    from sklearn.cluster import HDBSCAN

    return HDBSCAN(min_cluster_size=min_size, copy=True).fit(points_NP).labels_


def _min_size(count: int, config: Config) -> int:
    return config.min_size or max(5, count // 50)


def _silhouette(points_NP: np.ndarray, label_N: np.ndarray) -> float:
    import numpy as np
    from sklearn.metrics import silhouette_score

    kept = np.random.default_rng(0).permutation(len(points_NP))[:SILHOUETTES]
    kinds = len(np.unique(label_N[kept]))
    return float(silhouette_score(points_NP[kept], label_N[kept])) if 1 < kinds < len(kept) else float("nan")


def _distances(points_NP: np.ndarray, centres_KP: np.ndarray) -> np.ndarray:
    import numpy as np

    square = (points_NP**2).sum(1)[:, None] - 2 * points_NP @ centres_KP.T + (centres_KP**2).sum(1)
    return np.sqrt(np.maximum(square, 0))
