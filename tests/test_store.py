"""Rows on disk come back as they went in; files appear whole; hashes follow content."""

from __future__ import annotations

import os

import pytest

from prm import store
from prm.errors import PrmError
from prm.records import Answer, Problem, Sample, Steps, StepScores

ROWS = {
    "problems.test": [Problem("a", "2 + 2?", {"level": "1", "empty": ""}), Problem("b", "ümlaut\n\u2028", {})],
    "samples.test": [Sample("a", 0, "4", (1, 2), (-0.1, -1e-17)), Sample("a", 1, "", finish="", reason="empty")],
    "steps.test": [Steps("a", 0, (1, 5)), Steps("a", 1, ())],
    "answers.test": [Answer("a", 0, "4", 0), Answer("a", 1, "", -1, "no_answer")],
    "signal.x.test": [
        StepScores("a", 0, "x", "vote", (0.1, None), (1.0, 0.0)),
        StepScores("a", 1, "x", "vote", (), ()),
    ],
    "labels.x.test": [StepScores("a", 0, "x", "labels", (1 / 3,), (0.7,), ("x=0.3@1",))],
}
NOTES = {"seconds": 0.25, "tokens": 7}


@pytest.mark.parametrize("stage", ROWS)
def test_rows_come_back_equal(tmp_path, stage):
    folder = store.Folder(tmp_path, stage)
    folder.write(0, ROWS[stage], NOTES)
    folder.write(1, [], NOTES)
    assert folder.read(0) == ROWS[stage]
    assert list(folder.rows()) == ROWS[stage]


def test_the_manifest_counts_and_means_complete(tmp_path):
    folder = store.Folder(tmp_path, "samples.test")
    folder.write(0, ROWS["samples.test"], NOTES)
    folder.write(1, ROWS["samples.test"], NOTES)
    assert folder.manifest() is None
    folder.finish({"config": {"x": 1}})
    assert folder.manifest() == {
        "stage": "samples.test",
        "shards": 2,
        "rows": 4,
        "reasons": {"empty": 2},
        "seconds": 0.5,
        "tokens": 14,
        "config": {"x": 1},
    }


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("old")
    monkeypatch.setattr(os, "fsync", lambda handle: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.write_file(tmp_path / "x", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_text() == "old"


def test_opening_deletes_strays(tmp_path):
    (tmp_path / ".shard-00000.parquet.tmp").write_text("half")
    store.Folder(tmp_path, "samples.test").open()
    assert not list(tmp_path.iterdir())


def test_fingerprints_follow_content_not_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "one" / ".git").mkdir()
    (tmp_path / "one" / ".git" / "index").write_text("changes at every look")
    assert store.fingerprint(tmp_path / "one") == store.fingerprint(tmp_path / "two")
    (tmp_path / "two" / "config.json").write_text("{ }")
    assert store.fingerprint(tmp_path / "one") != store.fingerprint(tmp_path / "two")


def test_digest_ignores_the_order_of_keys():
    assert store.digest({"a": 1, "b": [1.5, None]}) == store.digest({"b": [1.5, None], "a": 1})
    assert store.digest({"a": 1}) != store.digest({"a": 1.0})


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(PrmError, match="no run there"):
        store.Run(tmp_path)
