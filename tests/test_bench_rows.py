"""The bench's measure of `prm score`'s memory, on scripts that stand for the command: "$5" is its input, "$7" its output."""

import subprocess
import sys

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


def test_memory_is_what_the_command_tells(peak):
    assert peak('cp "$5" "$7"; echo 1234') == 1234


def test_the_command_tells_its_own_peak():
    words = [sys.executable, "-c", bench_rows.COMMAND, "score", "nowhere", "in.jsonl", "-o", "out.jsonl"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and 5_000 < int(done.stdout) < 150_000, "kB; no model was loaded"


def test_a_command_that_fails_or_loses_rows_is_no_measure(peak):
    with pytest.raises(RuntimeError, match="prm score: exit status 1"):
        peak("exit 1")
    with pytest.raises(RuntimeError, match="prm score: 2 rows of 5"):
        peak('head -2 "$5" > "$7"')
