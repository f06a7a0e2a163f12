"""Numbers worked out by hand, and that the bootstrap is fast, paired and repeatable."""

import json
import math
import time

import numpy as np
import pytest

from eval import gate, metrics, processbench
from prm.errors import PrmError


def test_auroc_counts_pairs_and_halves_ties():
    # pairs (right, wrong): (.9,.1) (.9,.5) won, (.5,.1) won, (.5,.5) tied -> 3.5 of 4
    assert metrics.auroc([0.9, 0.5, 0.1, 0.5], [1, 1, 0, 0]) == 3.5 / 4
    assert metrics.auroc([0.3, 0.3], [1, 0]) == 0.5
    assert math.isnan(metrics.auroc([0.3, 0.4], [1, 1])) and math.isnan(metrics.auroc([], []))


def test_auroc_agrees_with_counting_all_pairs():
    rng = np.random.default_rng(0)
    values, right, groups = rng.integers(0, 6, 80) / 5, rng.random(80) < 0.6, rng.integers(0, 9, 80)

    def count(same):
        pairs = [(a, b) for a in np.flatnonzero(right) for b in np.flatnonzero(~right) if same(a, b)]
        return np.mean([1.0 if values[a] > values[b] else 0.5 * (values[a] == values[b]) for a, b in pairs])

    assert np.isclose(metrics.auroc(values, right), count(lambda a, b: True))
    assert np.isclose(metrics.auroc(values, right, groups), count(lambda a, b: groups[a] == groups[b]))


def test_auroc_within_problems_ignores_what_only_tells_problems_apart():
    values, right = [0.9, 0.9, 0.1, 0.1], [1, 1, 1, 0]
    assert metrics.auroc(values, right) > 0.8
    assert metrics.auroc(values, right, ["easy", "easy", "hard", "hard"]) == 0.5


def test_calibration():
    values, right = [0.05, 0.95, 0.95, 0.95], [0, 1, 1, 0]
    table = metrics.reliability(values, right)
    assert table["count"].tolist() == [1] + [0] * 8 + [3]
    assert math.isnan(table["right"][4]) and np.isclose(table["right"][9], 2 / 3)
    assert np.isclose(metrics.ece(values, right), (0.05 + 3 * (0.95 - 2 / 3)) / 4)
    assert np.isclose(metrics.brier(values, right), (3 * 0.05**2 + 0.95**2) / 4)
    assert metrics.reliability([1.0], [1])["count"][9] == 1


def test_first_error_f1_is_the_harmonic_mean():
    assert metrics.first_error([0.9, None, 0.2, 0.1], 0.5) == 2
    assert metrics.first_error([0.9, None], 0.5) == -1
    got = metrics.first_error_f1(predicted_S=[1, 0, -1, -1, 2], labels_S=[1, 2, -1, -1, -1])
    assert (got["n_error"], got["n_correct"], got["acc_error"]) == (2, 3, 0.5)
    assert np.isclose(got["f1"], 2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    assert metrics.first_error_f1([0, 0], [1, -1])["f1"] == 0.0
    assert math.isnan(metrics.first_error_f1([0], [0])["f1"])


def test_paired_intervals_are_paired_seeded_and_know_gaps():
    rng = np.random.default_rng(1)
    majority = (rng.random(400) < 0.7).astype(float)
    better = np.where(rng.random(400) < 0.1, 1.0, majority)
    unknown = np.full(400, np.nan)
    partly = np.where(np.arange(400) < 200, better, np.nan)
    same, mine, none, some = (gate.difference([row], [majority]) for row in (majority, better, unknown, partly))
    assert same == (0, 0, 0)
    assert 0 < mine[1] < mine[0] < mine[2] < 0.1 and mine == gate.difference([better], [majority])
    assert np.isnan(none).all()
    assert np.isclose(some[0], (better - majority)[:200].mean())


def test_paired_intervals_cover_as_often_as_they_say():
    """200 experiments of a true difference of .05: the 95 % interval holds it about 95 % of the time."""
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        difference = rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.85, 0.10], size=200)
        _, low, high = gate.difference([difference], [np.zeros(200)], seed=trial)
        hits += low <= 0.05 <= high
    assert 0.90 <= hits / 200 <= 0.98


def test_a_thousand_problems_take_no_time():
    rng = np.random.default_rng(3)
    start = time.process_time()
    gate.difference(rng.random((10, 1000)), rng.random((10, 1000)))
    metrics.auroc(rng.random(64_000), rng.random(64_000) < 0.8, np.repeat(np.arange(1000), 64))
    assert time.process_time() - start < 20


def test_processbench_rows_are_read_and_scored(tmp_path):
    rows = [
        {"id": "a", "problem": "?", "steps": ["x", "y", "z"], "label": 1},
        {"id": "b", "problem": "?", "steps": ["x"], "label": -1},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    wrong, right = processbench.read(tmp_path / "rows.jsonl")
    assert wrong.kinds() == ["right", "wrong", "carried"] and right.kinds() == ["right"]
    assert processbench.score([wrong, right], [[0.9, 0.4, 0.9], [0.8]], threshold=0.5)["f1"] == 1.0
    assert processbench.score([wrong, right], [[0.4, 0.4, 0.9], [0.8]], threshold=0.5)["f1"] == 0.0
    assert "".join(processbench.shown(wrong.steps)) == "x\n\ny\n\nz"
    (tmp_path / "rows.jsonl").write_text(json.dumps({**rows[0], "label": 3}))
    with pytest.raises(PrmError, match="rows.jsonl row 1: 'label' must be the index"):
        processbench.read(tmp_path / "rows.jsonl")
