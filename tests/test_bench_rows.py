"""The bench's measure of `prm score`'s memory, on scripts that stand for the command: "$5" is its input, "$7" its output."""

import pytest

from eval import bench_rows


@pytest.fixture
def peak(tmp_path, monkeypatch):
    def measured(script: str, count: int = 5) -> int:
        (tmp_path / "command").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "command").chmod(0o755)
        monkeypatch.setattr(bench_rows.sys, "executable", str(tmp_path / "command"))
        return bench_rows._peak(tmp_path, count)

    return measured


def test_memory_is_that_of_the_process(peak):
    assert 0 < peak('cp "$5" "$7"') < 50_000


def test_a_command_that_fails_or_loses_rows_is_no_measure(peak):
    with pytest.raises(RuntimeError, match="prm score: exit status 1"):
        peak("exit 1")
    with pytest.raises(RuntimeError, match="prm score: 2 rows of 5"):
        peak('head -2 "$5" > "$7"')
