"""Samples that a user already has: column mapping, matching, what is missing, errors that name the place."""

import json
import time

import pytest

from prm.config import build
from prm.engines import Sampling, replay
from prm.errors import PrmError
from prm.records import Problem

PROBLEMS = [Problem("p1", "1 + 1?"), Problem("p2", "2 + 2?")]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def sample(path, n=2, problems=PROBLEMS, **columns):
    config = build(replay.Config, {"path": str(path), "columns": columns}, "recipe: engine")
    return replay.open_engine(config).sample(problems, Sampling(samples=n))


def test_nested_samples_by_id_take_the_first_n(tmp_path):
    path = write(
        tmp_path / "pool.jsonl",
        [
            {"key": "p2", "gold": 4, "drawn": [{"out": "four", "correct": True}, {"out": "five"}, {"out": "six"}]},
            {"key": "p1", "gold": 2, "drawn": [{"out": "two"}, {"out": "three"}]},
        ],
    )
    rows = sample(path, id="key", samples="drawn", text="out")
    assert [(r.problem_id, r.index) for r in rows] == [("p1", 0), ("p1", 1), ("p2", 0), ("p2", 1)]
    assert [r.text for r in rows] == ["two", "three", "four", "five"]
    assert all(r.reason == "" and r.token_ids == () and r.finish == "stop" for r in rows)


def test_one_row_a_sample_by_the_problems_text_with_all_that_is_known(tmp_path):
    row = {"q": "1 + 1?", "text": "It is 2", "ids": [5, 6], "lp": [-0.5, -1], "end": "stop"}
    path = write(tmp_path / "pool.jsonl", [row, {**row, "q": "2 + 2?", "end": "length"}])
    rows = sample(path, n=1, problem="q", samples=None, token_ids="ids", logprobs="lp", finish="end")
    assert rows[0].token_ids == (5, 6) and rows[0].logprobs == (-0.5, -1.0)
    assert [r.reason for r in rows] == ["", "cut_off"]


def test_parquet_and_plain_texts(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {"problem": ["1 + 1?", "2 + 2?"], "samples": [["a", "b"], ["c", "d"]]}
    pq.write_table(pa.table(table), tmp_path / "pool.parquet")
    assert [r.text for r in sample(tmp_path / "pool.parquet")] == ["a", "b", "c", "d"]


def test_what_is_missing_or_empty_is_a_row_with_a_reason(tmp_path):
    path = write(tmp_path / "pool.jsonl", [{"problem": "1 + 1?", "samples": [{"text": None}, {"text": " \n"}]}])
    rows = sample(path, n=3)
    assert [r.reason for r in rows] == ["empty", "empty", "missing", "missing", "missing", "missing"]
    assert [(r.problem_id, r.index) for r in rows] == [(p, i) for p in ("p1", "p2") for i in range(3)]


def test_a_pool_of_other_problems_is_an_error(tmp_path):
    path = write(tmp_path / "pool.jsonl", [{"problem": "9 + 9?", "id": "p9", "samples": ["18"]}])
    with pytest.raises(PrmError, match="none of 2 problems, the first with the text '1 . 1.*engine.columns.problem"):
        sample(path)
    with pytest.raises(PrmError, match="the first with the id 'p1'; check engine.columns.id"):
        sample(path, id="id")


@pytest.mark.parametrize(
    "row, columns, message",
    [
        ({"problem": "x"}, {}, r"pool.jsonl row 2: no 'samples'; the row's keys are: problem"),
        ({"samples": ["x"]}, {}, r"pool.jsonl row 2: no 'problem'"),
        ({"problem": "x", "samples": ["a"]}, {"id": "id"}, r"row [12]: no 'id'"),
        ({"problem": "x", "samples": "a"}, {}, r"row 2: 'samples' must be a list, not str"),
        ({"problem": "x", "samples": ["a", 3]}, {}, r"row 2, samples\[1\]: must be a text or a mapping, not int"),
        ({"problem": "x", "samples": [{"txt": "a"}]}, {}, r"row 2, samples\[0\]: no 'text'; the row's keys are: txt"),
        ({"problem": "x", "samples": [{"text": 1}]}, {}, r"row 2, samples\[0\]: 'text' must be a string, not int"),
        (
            {"problem": "x", "samples": [{"text": "a", "end": "eos"}]},
            {"finish": "end"},
            r"end is 'eos'; it must be 'stop' or",
        ),
        (
            {"problem": "x", "samples": [{"text": "a", "ids": [1], "lp": [-1, -2]}]},
            {"token_ids": "ids", "logprobs": "lp"},
            r"1 ids but 2 lp; give one a token",
        ),
        (
            {"problem": "x", "samples": [{"text": "a", "ids": ["1"]}]},
            {"token_ids": "ids"},
            r"ids holds '1'; it must be a list of ints",
        ),
        (
            {"problem": "x", "samples": [{"text": "a", "lp": [-1, 0.9]}]},
            {"logprobs": "lp"},
            "lp holds 0.9; log-probabilities are",
        ),
        ({"problem": "x", "samples": [{"text": "a", "lp": [float("nan")]}]}, {"logprobs": "lp"}, "lp holds nan"),
    ],
)
def test_errors_name_file_row_and_key(tmp_path, row, columns, message):
    good = {"problem": "1 + 1?", "samples": []}
    with pytest.raises(PrmError, match=message):
        sample(write(tmp_path / "pool.jsonl", [good, row]), **columns)


def test_bad_paths_are_told_before_anything_is_read(tmp_path):
    with pytest.raises(PrmError, match="recipe: engine.path: 'pool.csv' must end in .jsonl"):
        build(replay.Config, {"path": "pool.csv"}, "recipe: engine")
    with pytest.raises(PrmError, match="nowhere.jsonl: no such file"):
        replay.check(replay.Config(str(tmp_path / "nowhere.jsonl")))
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(PrmError, match="the file is empty"):
        sample(tmp_path / "empty.jsonl")


def test_the_file_is_indexed_once(tmp_path):
    problems = [Problem(str(i), f"problem {i}") for i in range(250)]
    pool = [{"id": p.id, "samples": [{"text": f"step {k}\n" * 20} for k in range(32)]} for p in problems]
    path = write(tmp_path / "pool.jsonl", pool)
    start = time.process_time()
    engine = replay.open_engine(replay.Config(path, replay.Columns(id="id")))
    rows = [row for p in problems for row in engine.sample([p], Sampling(samples=32))]
    assert len(rows) == 8000 and time.process_time() - start < 2
