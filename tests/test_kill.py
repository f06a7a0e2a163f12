"""kill -9 at random moments and the same command again: the rows are those of an undisturbed run, none lost, none twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from prm import store

RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
import fakes
fakes.install()
from prm import pipeline, recipe
pipeline.run(recipe.build(json.loads(sys.argv[2]), "small.yaml"))
"""


def start(mapping: dict) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", RUN, str(Path(__file__).parent), json.dumps(mapping)])


def rows(folder: str) -> dict[str, list]:
    made = store.Run(folder)
    assert all(made.complete(stage) for stage in made.stages())
    return {stage: list(made.rows(stage)) for stage in made.stages()}


def wait_for_shards(folder: Path, count: int, process: subprocess.Popen) -> None:
    while process.poll() is None and len(list(folder.rglob("shard-*.parquet"))) < count:
        time.sleep(0.005)


def test_killed_runs_end_in_the_same_rows(small, tmp_path):
    small["engine"]["delay"] = 0.02
    undisturbed, killed = {**small, "out": str(tmp_path / "calm")}, {**small, "out": str(tmp_path / "killed")}
    assert start(undisturbed).wait() == 0
    rng = random.Random(0)
    total = len(list((tmp_path / "calm").rglob("shard-*.parquet")))
    for count in sorted(rng.sample(range(total), 3)):
        process = start(killed)
        wait_for_shards(tmp_path / "killed", count, process)
        time.sleep(rng.random() * 0.05)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it was still at work"
    assert start(killed).wait() == 0
    assert rows(killed["out"]) == rows(undisturbed["out"])
    assert not list((tmp_path / "killed").rglob("*.tmp"))
