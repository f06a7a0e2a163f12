"""The benchmark on sizes that say nothing, for its keys, its file and its errors."""

import json
import math

import pytest
import torch

from eval import bench, bench_dynamics
from prm.errors import PrmError

TINY = bench_dynamics.Shape(tokens=24, vocabulary=50, width=64, layers=1)


def test_dynamics_are_timed_and_compared_with_float64():
    with torch.inference_mode():
        subject = bench_dynamics.Subject(TINY)
        best, error = bench_dynamics.seconds(subject, 1), bench_dynamics.max_error(subject, block=10)
    assert set(best) == {"plain", "ours", "projection", "flow", "motion"}
    assert all(0 < value < math.inf for value in best.values())
    assert 0 < error < 1e-4
    subject.head = type(subject.head)(subject.head.weight * 1.01)  # a wrong head would be seen
    right = bench_dynamics.Subject(TINY)
    right.flow = subject.flow
    with torch.inference_mode():
        assert bench_dynamics.max_error(right) > 1e-4


def test_memory_beyond_the_forward_is_measured_in_a_process_of_its_own():
    """32 MiB of logits and more for the naive way."""
    naive = bench_dynamics.extra_memory("naive", bench_dynamics.Shape(1024, 8192, 64, 1))
    assert 32 < naive < 300


def test_the_parts_report_has_its_keys(monkeypatch):
    monkeypatch.setattr(bench_dynamics, "extra_memory", lambda name, shape: {"ours": 1.0, "naive": 8.0}[name])
    found = bench_dynamics.measure(TINY, repeats=1)
    assert {"time_ratio", "memory_ratio", "max_error", "projection_ratio", "n", "repeats", "threads"} <= set(found)
    assert found["memory_ratio"] == 0.125 and found["n"] == 24 and found["vocabulary"] == 50
    assert all(math.isfinite(found[name]) for name in ("time_ratio", "max_error", "projection_ratio"))
    json.dumps(found)


def test_parts_merge_under_their_own_keys(tmp_path, monkeypatch):
    out = tmp_path / "runs" / "bench.json"
    monkeypatch.setitem(bench.PARTS, "dynamics", lambda: {"dynamics": {"time_ratio": 1.0}})
    monkeypatch.setitem(bench.PARTS, "train", lambda: {})
    monkeypatch.setitem(bench.PARTS, "score", lambda: {})
    assert bench.main(["dynamics", "--out", str(out)]) == 0
    bench.merge(out, {"other": 2})
    assert bench.main(["--out", str(out)]) == 0
    assert json.loads(out.read_text()) == {"dynamics": {"time_ratio": 1.0}, "other": 2}


def test_an_unknown_part_and_a_broken_file_are_told(tmp_path, capsys):
    with pytest.raises(SystemExit):
        bench.main(["speed"])
    assert "no part 'speed'; one of train, dynamics" in capsys.readouterr().err
    (tmp_path / "bench.json").write_text("{")
    with pytest.raises(PrmError, match="delete it"):
        bench.merge(tmp_path / "bench.json", {})
