"""eval.search: equal budgets, rows that are paired, a verdict that says what the table says."""

import json

import numpy as np
import pytest
from searching import LENGTH, PROBLEMS, SETTINGS, Engine, Prm

from eval import search
from prm import plugins
from prm.answers import Config
from prm.search import Common, Found, Path

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
    best = {name + search.BEST for name in search.STEPWISE}
    assert set(rows) == {*plugins.names("search"), *best, "one_sample", "majority", "any_right"}
    assert {row.tokens for row in rows.values()} == {8 * LENGTH}
    assert all(row.right.shape == (5,) for row in rows.values())


def test_the_planted_prm_finds_what_the_majority_does_not(rows):
    assert rows["majority"].right.mean() < rows["weighted_vote"].right.mean() == rows["any_right"].right.mean() == 1
    assert rows["one_sample"].right.mean() == pytest.approx(0.4, abs=0.15)


def test_intervals_are_over_both_baselines_and_become_json(rows):
    found = search.compared([rows])
    assert "over_best_of_n" not in found["best_of_n"] and "over_weighted_vote" not in found["weighted_vote"]
    mean, low, high = found["majority"]["over_best_of_n"]
    assert low <= mean <= high and mean == pytest.approx(rows["majority"].right.mean() - rows["best_of_n"].right.mean())
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(search.clean(found)))
    assert all(name in search.table({"8": found}) for name in rows)


def test_several_runs_weigh_the_same():
    few = {name: search.Row(np.array([1.0]), 8.0, 2.0) for name in ("best_of_n", "weighted_vote", "beam")}
    many = {**few, "beam": search.Row(np.zeros(9), 4.0, 1.0)}
    many |= {name: search.Row(np.ones(9), 8.0, 2.0) for name in search.BASELINES}
    found = search.compared([few, many])
    assert found["beam"]["accuracy"] == 0.5 and found["beam"]["tokens"] == 6 and found["beam"]["finished"] == 1.5
    assert found["beam"]["over_best_of_n"][0] == -0.5


def row(best, vote):
    return {"over_best_of_n": (0.1, best, 0.2), "over_weighted_vote": (0.1, vote, 0.2)}


def test_the_verdict_counts_whole_intervals_and_the_same_choice_alone():
    none, best = row(0.5, -0.01), row(0.02, 0.5)  # by vote above best-of-N, by best above the vote: neither counts
    few = {"beam": none, "tree": none, "dvts": none}
    few |= {"beam_best": row(-0.1, 0.5), "tree_best": row(0.0, 0.5), "dvts_best": row(0.0, 0.5)}
    told = search.verdict({"4": few, "8": {**few, "tree_best": best, "beam": row(0.1, 0.01)}})
    assert "Above best-of-N, choosing by best, with the whole 95 % interval: tree at 8 samples' tokens." in told
    assert "Above the weighted vote, choosing by vote, with the whole 95 % interval: beam at 8 samples'" in told
    assert search.verdict({"4": few}).count("none") == 2, "by vote both are above best-of-N"


def test_the_best_of_a_search_is_its_most_valuable_solution():
    paths = [Path(("1",), (0.9, 0.3), ended=True), Path(("2",), (0.8, 0.7), ended=True)]
    found = search._best(
        Found("p0", "1", "1", 1.0, 9, finished=tuple(paths)), Common(answers=Config(style="last_number"))
    )
    assert (found.answer, found.solution) == ("2", "2")


def test_no_answer_is_wrong():
    found = [Found("p0", None, None, None, 3, "budget"), Found("p1", "2", "2", 1.0, 3)]
    assert np.array_equal(search._right(found, GOLD, Config(style="last_number")), [0.0, 1.0])
