"""Which way of choosing is right how often, on problems small enough to count by hand."""

import json
import math
import time

import numpy as np
import pytest

from eval import bestofn, choices, published
from eval.choices import Judged
from prm import answers
from prm.errors import PrmError
from prm.records import Answer, Group, Problem, Sample, Steps, StepScores


def scored(problem_id: str, *values: tuple) -> list[StepScores]:
    """One StepScores a sample from its steps' values."""
    return [
        StepScores(problem_id, i, "prm", "prm", tuple(v), tuple(0.0 if x is None else 1.0 for x in v))
        for i, v in enumerate(values)
    ]


# a: two of three agree on a wrong answer. b: all agree and are right. c: nothing can be read.
A = Judged("a", (0, 1, 2), (0, 0, 1), (False, False, True))
B = Judged("b", (0, 1, 2), (0, 0, 0), (True, True, True))
C = Judged("c", (0, 1, 2), (-1, -1, -1), (False, False, False))


def test_the_plain_rows():
    assert choices.one_sample([A, B, C]).tolist() == [1 / 3, 1.0, 0.0]
    assert choices.by_majority([A, B, C]).tolist() == [0.0, 1.0, 0.0]
    assert choices.any_right([A, B, C]).tolist() == [1.0, 1.0, 0.0]


def test_scores_turn_the_vote():
    scores = {"a": scored("a", (0.2, 0.9), (0.3,), (0.9, 0.8)), "b": scored("b", (0.1,), (0.1,), (0.1,))}
    assert choices.by_best([A, B], scores, "min").tolist() == [1.0, 1.0]
    assert choices.by_vote([A, B], scores, "min").tolist() == [1.0, 1.0]  # .8 beats .2 + .3
    assert choices.by_vote([A, B], scores, "last").tolist() == [0.0, 1.0]  # .9 + .3 beats .8


def test_unknown_problems_are_nan_and_unscored_ones_wrong():
    scores = {"a": scored("a", (None,), (), (None, None))}
    got = choices.by_best([A, B], scores, "min")
    assert got[0] == 0.0 and math.isnan(got[1])


def test_a_half_scored_problem_is_refused():
    with pytest.raises(PrmError, match="no score of sample 2"):
        choices.by_best([A], {"a": scored("a", (0.2,), (0.3,))}, "min")


def test_log_probability_is_the_mean_over_tokens():
    samples = [
        Sample("a", 0, "x", (1, 2), (-1.0, -3.0)),
        Sample("a", 1, "y", (1,), (-0.5,)),
        Sample("a", 2, "", reason="empty"),
    ]
    rows = choices.logprob_scores(samples)["a"]
    assert rows[0].values == (pytest.approx(math.exp(-2)),) and rows[2].values == (None,)
    assert choices.by_best(
        [Judged("a", (0, 1, 2), (0, 1, -1), (False, True, False))], {"a": rows}, "last"
    ).tolist() == [1.0]
    assert choices.logprob_scores([Sample("a", 0, "replayed, nobody kept the log-probabilities")]) == {}


def test_judging_compares_clusters_with_gold():
    texts = ["1/2", "0.5", "2", ""]
    samples = tuple(Sample("p", i, t) for i, t in enumerate(texts))
    rows = tuple(Answer("p", i, t, c) for i, (t, c) in enumerate(zip(texts, (0, 0, 1, -1))))
    group = Group(Problem("p", "?"), samples, tuple(Steps("p", i, ()) for i in range(4)), rows)
    [judged] = choices.judge([group], {"p": r"\frac{1}{2}"}, answers.Config())
    assert judged.right == (True, True, False, False)
    with pytest.raises(PrmError, match="no answer for problem p"):
        choices.judge([group], {}, answers.Config())


def test_the_curve_uses_all_disjoint_parts():
    problem = Judged("a", (0, 1, 2, 3), (0, 1, 0, 0), (True, False, True, True))
    got = choices.curve([problem], {"a": scored("a", (0.1,), (0.9,), (0.5,), (0.5,))}, "min")
    assert got["n"] == [1, 2, 4]
    assert (
        got["oracle"] == [0.75, 1.0, 1.0]
        and got["majority"] == [0.75, 1.0, 1.0]
        and got["prm_vote"] == [0.75, 0.5, 1.0]
    )
    assert choices.curve([problem], None, "min")["prm_vote"] == [None, None, None]


def test_a_thousand_problems_take_seconds():
    rng = np.random.default_rng(0)
    judged = [
        Judged(str(i), tuple(range(16)), tuple(int(c) for c in rng.integers(0, 4, 16)), tuple(rng.random(16) < 0.6))
        for i in range(1000)
    ]
    scores = {p.problem_id: scored(p.problem_id, *rng.random((16, 4)).tolist()) for p in judged}
    start = time.process_time()
    choices.by_vote(judged, scores, "min")
    choices.curve(judged, scores, "min")
    assert time.process_time() - start < 30


def pool(folder, with_ids: bool = True):
    """Two problems; in the first, two of three samples share a wrong answer. Published scores know the first problem
    only."""
    rows = [
        {
            "question": "What is 6 * 7?",
            "gold": 42,
            "samples": [{"text": "6 * 7 = 41\n\nThe answer is 41."}] * 2
            + [{"text": "6 * 7 = 42\n\nThe answer is 42."}],
        },
        {"question": "What is 1 + 1?", "gold": "2", "samples": [{"text": "1 + 1 = 2\n\nThe answer is 2."}] * 3},
    ]
    for number, row in enumerate(rows):
        row |= {"problem_id": f"p{number}"} if with_ids else {}
    (folder / "pool.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "prm_step_scores").mkdir()
    known = [
        {"problem_id": "p0", "candidate_index": i, "step_scores": [score]} for i, score in enumerate((0.1, 0.2, 0.9))
    ]
    (folder / "prm_step_scores" / "some_prm_gsm8k.jsonl").write_text("\n".join(map(json.dumps, known)))
    return str(folder / "pool.jsonl")


def last_line(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_command_prints_one_line_of_accuracies(tmp_path, capsys):
    path = pool(tmp_path)
    bestofn.main(["--pool", path, "--references", path])
    found = last_line(capsys)
    assert (
        found["n"] == 2 and found["mean"] == pytest.approx(2 / 3) and (found["majority"], found["oracle"]) == (0.5, 1.0)
    )
    assert set(found["pairwise"]) == {"bon", "vote"}
    assert found["checked"] == {"bon": 1.0, "vote": 1.0}  # 6 * 7 = 41 is false, though two of three say so
    assert found["some_prm"] == {"bon": 1.0, "vote": 1.0, "n": 1}


def test_without_ids_the_problems_text_joins_pool_and_references(tmp_path, capsys):
    path = pool(tmp_path, with_ids=False)
    bestofn.main(["--pool", path, "--references", path, "--gold", "gold"])
    assert last_line(capsys)["majority"] == 0.5
    with pytest.raises(PrmError, match="no gold answer in reference"):
        bestofn.main(["--pool", path, "--references", path, "--gold", "reference"])


def test_scores_of_prm_label_are_read_too(tmp_path):
    (tmp_path / "mine.jsonl").write_text(
        json.dumps({"problem_id": "p", "sample": 0, "values": [0.5, None], "weights": [1, 0]})
    )
    assert published.load([tmp_path])["mine"]["p"][0].values == (0.5, None)
    (tmp_path / "mine.jsonl").write_text(json.dumps({"problem_id": "p", "sample": 0, "values": [1.5]}))
    with pytest.raises(PrmError, match=r"mine.jsonl row 1: .*outside \[0, 1\]"):
        published.load([tmp_path])
