"""eval.search: equal budgets, rows that are paired, a verdict that says what the table says."""

import json

import numpy as np
import pytest
from searching import LENGTH, PROBLEMS, SETTINGS, Engine, Prm

from eval import search
from prm import plugins

GOLD = {problem.id: "2" for problem in PROBLEMS}


@pytest.fixture(scope="module")
def rows():
    common = {**SETTINGS, "budget": 8 * LENGTH}
    methods = [
        plugins.build("search", {"method": name, **common}, "method", None, "search")
        for name in plugins.names("search")
    ]
    return search.measure(PROBLEMS, GOLD, Engine(0.4), Prm(), methods)


def test_every_method_has_a_row_and_all_have_the_same_tokens(rows):
    assert set(rows) == {*plugins.names("search"), "one_sample", "majority", "any_right"}
    assert {row.tokens for row in rows.values()} == {8 * LENGTH}
    assert all(row.right.shape == (5,) for row in rows.values())


def test_the_planted_prm_finds_what_the_majority_does_not(rows):
    assert rows["majority"].right.mean() < rows["weighted_vote"].right.mean() == rows["any_right"].right.mean() == 1
    assert rows["one_sample"].right.mean() == pytest.approx(0.4, abs=0.15)


def test_intervals_are_over_both_baselines_and_become_json(rows):
    found = search.compared(rows)
    assert "over_best_of_n" not in found["best_of_n"] and "over_weighted_vote" not in found["weighted_vote"]
    mean, low, high = found["majority"]["over_best_of_n"]
    assert low <= mean <= high and mean == pytest.approx(rows["majority"].right.mean() - rows["best_of_n"].right.mean())
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(search.clean(found)))
    assert all(name in search.table({"8": found}) for name in rows)


def row(low):
    return {"over_best_of_n": (0.1, low, 0.2)}


def test_the_verdict_counts_whole_intervals_alone():
    budgets = {"4": {"beam": row(-0.01), "tree": row(0.0)}, "8": {"beam": row(-0.1), "tree": row(0.02)}}
    assert search.verdict(budgets) == "Above best-of-N, the whole 95 % interval: tree at 8 samples' tokens."
    assert search.verdict({"4": budgets["4"]}).startswith("Neither")


def test_no_answer_is_wrong():
    from prm.answers import Config
    from prm.search import Found

    found = [Found("p0", None, None, None, 3, "budget"), Found("p1", "2", "2", 1.0, 3)]
    assert np.array_equal(search._right(found, GOLD, Config(style="last_number")), [0.0, 1.0])
