"""A whole run with fake plugins: what is made, what is kept, what is made again."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil

import pytest

from prm import pipeline, problems, recipe, store
from prm.errors import PrmError


def run(mapping: dict) -> store.Run:
    made = recipe.build(mapping, "small.yaml")
    pipeline.run(made)
    return store.Run(made.folder)


def test_every_stage_is_made_and_read_back_without_hashes(small):
    made = run(small)
    assert made.stages() == [
        "problems.train",
        "problems.test",
        "samples.train",
        "samples.test",
        "steps.train",
        "steps.test",
        "answers.train",
        "answers.test",
        "signal.fake.train",
        "signal.fake.test",
        "labels.ours.train",
        "labels.ours.test",
        "prm.ours",
        "scores.ours.test",
    ]
    assert all(made.complete(stage) for stage in made.stages())
    assert len(list(made.rows("scores.ours.test"))) == 10 * 4
    groups = list(made.groups("test"))
    assert [g.problem.id for g in groups] == [f"p{i}" for i in range(10, 20)]
    assert made.model("ours").is_dir()
    assert recipe.of_run(made.path) == recipe.build(small, "small.yaml")


def test_rejected_rows_are_kept_and_counted(small):
    made = run(small)
    rejected = [s for s in made.rows("samples.train") if s.reason]
    assert rejected and made.folder("samples.train").manifest()["reasons"] == {"empty": len(rejected)}
    assert not any(steps.ends for steps, s in zip(made.rows("steps.train"), made.rows("samples.train")) if s.reason)


def test_the_same_recipe_makes_nothing_twice(small, tmp_path):
    small["engine"]["log"] = str(tmp_path / "drawn")
    run(small)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.parquet")}
    run(small)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.parquet")} == before
    assert len((tmp_path / "drawn").read_text().split()) == 20


def test_changing_a_signal_never_resamples(small, tmp_path):
    small["engine"]["log"] = str(tmp_path / "drawn")
    first = run(small)
    second = run({**small, "signals": {"fake": {"confidence": 0.5}}})
    changed = {stage for stage in first.stages() if first.folder(stage) != second.folder(stage)}
    assert changed == {
        "signal.fake.train",
        "signal.fake.test",
        "labels.ours.train",
        "labels.ours.test",
        "prm.ours",
        "scores.ours.test",
    }
    assert len((tmp_path / "drawn").read_text().split()) == 20


def test_a_deleted_shard_is_made_again_alone(small, tmp_path):
    small["engine"]["log"] = str(tmp_path / "drawn")
    first = list(run(small).rows("samples.test"))
    store.Run(small["out"]).folder("samples.test").shard(1).unlink()
    assert list(run(small).rows("samples.test")) == first
    assert (tmp_path / "drawn").read_text().split()[20:] == ["p14", "p15", "p16", "p17"]


def test_shards_draw_from_their_own_random_numbers(small):
    rows = list(run(small).rows("samples.train"))
    assert len({s.logprobs for s in rows if not s.reason}) == sum(not s.reason for s in rows)


def test_without_arms_a_run_ends_with_the_signals(small):
    del small["arms"], small["problems"]["train"]
    assert run(small).stages() == ["problems.test", "samples.test", "steps.test", "answers.test", "signal.fake.test"]


def test_a_full_disk_is_one_line_and_keeps_whole_shards(small, monkeypatch):
    real, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) == 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(PrmError, match="the disk is full; [0-9]+ shards of .* give the same command again"):
        run(small)
    assert not list((store.Run(small["out"]).path).rglob("*.tmp"))
    assert run(small).complete("scores.ours.test")


def _hold(path, ready, done):
    with store.lock(path):
        ready.set()
        done.wait(600)


def test_a_second_run_of_one_folder_is_refused(small):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(
        target=_hold, args=(recipe.build(small, "x").folder, ready, done), daemon=True
    )  # ends with us
    other.start()
    assert ready.wait(300)
    try:
        with pytest.raises(PrmError, match=f"process {other.pid} is already running"):
            run(small)
    finally:
        other.kill()
        other.join()
    run(small)  # the kernel let go of the lock


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: r["problems"]["test"].update(path="none.jsonl"), "none.jsonl: no such file"),
        (
            lambda r: r["problems"]["test"].update(text="problem"),
            "row 11: no 'problem'; the row's keys are: id, question, gold",
        ),
        (lambda r: r["problems"]["test"].update(limit=500), "10 problems after skip 10 and every 1, fewer than 500"),
        (lambda r: r["problems"]["test"].update(skip=0), "10 of its 10 problems are trained on too, the first 'p0'"),
        (lambda r: r.update(out=__file__), "is a file, not a folder"),
    ],
)
def test_all_is_checked_before_anything_is_made(small, change, message, tmp_path):
    change(small)
    with pytest.raises(PrmError, match=message):
        pipeline.check(recipe.build(small, "small.yaml"))
    assert not (tmp_path / "run").exists()


def test_an_id_means_one_problem_in_all_splits():
    """Seeds and references go by it: train would be labelled with test's answers."""
    small = {"source": "world", "n": 3, "seed": 1}
    drawn = {
        split: problems.load(problems.source(source, split))
        for split, source in {"train": small, "test": {**small, "shortest": 6, "longest": 6}}.items()
    }
    with pytest.raises(PrmError, match="problems.test: the id 'world-1-0' is another problem's"):
        pipeline._check_apart(drawn)


def test_a_file_named_in_a_config_enters_the_hash_by_content(small, tmp_path):
    def hashes(**engine) -> set[str]:
        made = recipe.build({**small, "engine": {"name": "fake", **engine}}, "small.yaml")
        return {
            line for line in pipeline.checked(made).splitlines() if "[cached]" in line and line.startswith("samples")
        }

    (tmp_path / "a").write_text("one")
    small["engine"]["path"] = str(tmp_path / "a")
    run(small)
    (tmp_path / "a").rename(tmp_path / "b")
    assert hashes(path=str(tmp_path / "b")) and not hashes()
    (tmp_path / "b").write_text("two")
    assert not hashes(path=str(tmp_path / "b"))


def test_a_plugin_that_loses_rows_is_caught(small, monkeypatch):
    from prm import plugins

    monkeypatch.setattr(plugins.load("signals", "fake"), "label", lambda groups, config, context: [])
    with pytest.raises(ValueError, match="signal fake: 0 rows for 16"):
        run(small)
    shutil.rmtree(small["out"])
