"""What tests run instead of models: the plugins in tests/plugins, a trainer and a PRM that learn nothing, a small recipe."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from prm.records import StepScores

PLUGINS = Path(__file__).parent / "plugins"


def install(setattr=setattr) -> None:
    """Makes tests/plugins part of prm's plugin folders and puts the fake trainer in place; `setattr` may be a monkeypatch's."""
    for kind in ("engines", "signals"):
        package = importlib.import_module(f"prm.{kind}")
        setattr(package, "__path__", [*package.__path__, str(PLUGINS / kind)])
    setattr(importlib.import_module("prm.train"), "train", train)
    setattr(importlib.import_module("prm.model"), "PRM", PRM)
    setattr(importlib.import_module("prm.score"), "score_samples", score_samples)
    setattr(
        importlib.import_module("prm.score"), "score_and_cut", lambda *rows: [(s, ()) for s in score_samples(*rows)]
    )
    setattr(importlib.import_module("prm.models"), "check", lambda model: None)


def train(rows, prm_config, train_config, folder, seed, progress):
    """Learns the mean label; the folder appears whole, as the real trainer's does."""
    values = [v for *_, scores in rows for v in scores.values if v is not None]
    fresh = folder.with_name("fresh")
    fresh.mkdir(exist_ok=True)
    (fresh / "mean.json").write_text(json.dumps(sum(values) / len(values)))
    fresh.rename(folder)


class PRM:
    def __init__(self, mean):
        self.mean = mean

    @classmethod
    def load(cls, folder):
        return cls(json.loads((folder / "mean.json").read_text()))


def score_samples(prm, rows, source):
    return [
        StepScores(s.problem_id, s.index, source, "prm", (prm.mean,) * len(c.ends), (1.0,) * len(c.ends))
        for _, s, c in rows
    ]


def recipe(folder: Path, n: int = 10) -> dict:
    """A recipe as a mapping: n train and n test problems in a file, the fake engine and signal, one arm."""
    pool = folder / "pool.jsonl"
    if not pool.exists():
        rows = [{"id": f"p{i}", "question": "What is it? " + "x" * i, "gold": str(i)} for i in range(2 * n)]
        pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = {"source": "jsonl", "path": str(pool), "id": "id", "limit": n}
    return {
        "name": "small",
        "out": str(folder / "run"),
        "shard": 4,
        "problems": {"train": table, "test": {**table, "skip": n}},
        "engine": {"name": "fake"},
        "sampling": {"samples": 4},
        "segmenter": {"name": "delimiter", "by": "lines"},
        "answers": {"style": "last_line"},
        "signals": {"fake": {}},
        "prm": {"max_tokens": 256},
        "arms": {"ours": {"signals": {"fake": 1.0}}},
    }
