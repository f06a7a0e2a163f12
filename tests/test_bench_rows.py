"""The bench's measure of memory runs the command itself and tells a command that fails from one that needs no memory."""

import pytest

from eval import bench_rows


def test_growth_is_of_whole_runs(monkeypatch):
    assert -0.2 < bench_rows.rows_memory_growth(3) < 0.2
    monkeypatch.setattr(bench_rows.sys, "executable", "false")
    with pytest.raises(RuntimeError, match="prm score: exit status 1"):
        bench_rows.rows_memory_growth(3)
