"""The benches of training and scoring on sizes that say nothing, for what they compare and the keys they write."""

import gzip
import json

import pytest

from eval import bench_data, bench_score, bench_trl, bench_trl_job
from prm.errors import PrmError

TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("PRM_DATA", str(tmp_path))


def test_rows_are_the_pools_where_there_is_one(tmp_path):
    words, source = bench_data.pairs(2)
    assert len(words) == 64 and source == "random words" and words[0][0] == words[31][0] != words[32][0]
    (tmp_path / bench_data.POOL).parent.mkdir()
    rows = [{"question": f"{i}?", "samples": [{"text": "One.\n\nTwo.\n\n"}, {"text": " "}]} for i in range(4)]
    with gzip.open(tmp_path / bench_data.POOL, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    assert bench_data.pairs(2)[0] == [("0?", ["One.\n\n", "Two.\n\n"]), ("2?", ["One.\n\n", "Two.\n\n"])]


def test_scoring_is_compared_with_plain_ways_that_say_the_same(monkeypatch):
    monkeypatch.setattr(bench_score, "rows_memory_growth", lambda: 0.01)
    found = bench_score.measure(bench_score.Shape(width=32, layers=1, heads=2, problems=2), repeats=1)
    assert {"vs_one_at_a_time", "vs_sorted_padded", "rows_memory_growth", "step_growth", "vs_rescoring"} <= set(found)
    assert found["n"] == 64 and found["max_error"] < 1e-5 and 0.1 < found["tokens_computed"] < 1
    json.dumps(found)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(bench_trl.SHAPES, "cpu", TINY)
    assert bench_trl.prepare(tmp_path, 1)["n"] == 32
    return str(tmp_path)


def test_our_run_trains_and_its_loss_is_the_definition(folder):
    found = bench_trl_job.run({"side": "ours", "folder": folder, "siblings": 4})
    assert found.keys() == {"seconds", "cpu_seconds", "peak_bytes", "grown_bytes"} and found["seconds"] > 0
    assert bench_trl_job.run({"side": "loss", "folder": folder, "siblings": 4})["loss_error"] < 1e-6


def test_ratios_are_of_the_best_runs(monkeypatch, tmp_path):
    runs = {"ours": iter([(4.0, 60), (2.0, 50)]), "trl": iter([(9.0, 100), (8.0, 100)])}
    jobs = []

    def alone(job, trl):
        jobs.append(job)
        if job["side"] == "loss":
            return {"loss_error": 1e-9}
        same = job["siblings"] > 1 and not job.get("grouped") and not job.get("kernels")
        seconds, peak = next(runs[job["side"]]) if same else (4.0, 80)
        return {"seconds": seconds, "cpu_seconds": seconds, "peak_bytes": peak, "grown_bytes": peak}

    monkeypatch.setattr(bench_trl, "_alone", alone)
    monkeypatch.setattr(bench_trl, "prepare", lambda *_: {"n": 32})
    found = bench_trl.measure(trl=tmp_path)
    assert found["vs_trl_tokens_per_s"] == 4 and found["vs_trl_peak_memory"] == 0.5
    assert found["alone_vs_trl_tokens_per_s"] == 2 and found["vs_trl_grouped_tokens_per_s"] == 2
    assert found["vs_trl_same_kernels_tokens_per_s"] == 2
    assert "vs_trl_tokens_per_s" in bench_trl.told(found) and len(jobs) == 11


def test_without_trl_the_reason_stands_in_the_place_of_ratios(monkeypatch, tmp_path):
    def refused(folder):
        raise PrmError("cannot install it")

    monkeypatch.setattr(bench_trl, "_install", refused)
    found = bench_trl.measure()
    assert found == {"vs_trl_tokens_per_s": None, "vs_trl_peak_memory": None, "reason": "cannot install it"}
