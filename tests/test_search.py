"""Search methods on a planted tree where the first step misleads: who finds the right way, at what cost."""

import pytest
from searching import LENGTH, PROBLEMS, SETTINGS, Engine, Prm

from prm import plugins
from prm.search import Path


def search(name, engine=None, prm=None, problems=PROBLEMS, **settings):
    made = plugins.build("search", {"method": name, **SETTINGS, **settings}, "method", None, "search")
    return made.module.search(problems, engine or Engine(), prm or Prm(), made.config)


def answers(found):
    return [one.answer for one in found]


def test_one_beam_is_led_astray_where_two_are_not():
    assert answers(search("beam", Engine(0.5), budget=900, beams=1, width=8, choose="best", step_tokens=8)) != ["2"] * 5
    assert answers(search("beam", Engine(0.5), budget=900, beams=6, width=4, choose="best", step_tokens=8)) == ["2"] * 5


def test_beams_choose_by_what_the_reduction_says():
    """By the product the b way is better from its second step on; by the first step's score alone, never."""
    settings = {"budget": 8 * LENGTH, "beams": 4, "width": 2, "reserve": 0, "stop": ["\n"]}
    assert answers(search("beam", Engine(0.5), **settings)) == ["2"] * 5
    first = [search("beam", Engine(0.5), reduce=reduce, **settings) for reduce in ("product", "min", "last")]
    assert [f[0].finished[0].steps[0] for f in first] == ["b way\n"] * 3


def test_a_subtree_keeps_its_own_best_and_is_not_driven_out():
    """Eight first steps are drawn each time; one beam keeps the one that looks best, each of four subtrees its own."""
    beam = search("beam", Engine(0.5), budget=400, beams=1, width=8, reserve=0, stop=["\n"])
    diverse = search("dvts", Engine(0.5), budget=400, subtrees=4, width=2, reserve=0, stop=["\n"])
    ways = [{path.steps[0] for one in found for path in one.finished} for found in (beam, diverse)]
    assert ways == [{"a way\n"}, {"a way\n", "b way\n"}]


def test_tree_search_comes_back_to_the_way_that_looked_worse():
    settings = {"budget": 1200, "stop": ["\n"], "fewest": 4, "most": 12, "choose": "best"}
    assert answers(search("tree", Engine(0.3), explore=1.0, **settings)) == ["2"] * 5


def test_the_vote_goes_by_weight_and_best_of_n_by_the_best():
    found = {name: search(name, Engine(0.4), budget=12 * LENGTH) for name in ("best_of_n", "weighted_vote")}
    assert [f.finished for f in found["best_of_n"]] == [f.finished for f in found["weighted_vote"]]  # the same draws
    for best, vote in zip(found["best_of_n"], found["weighted_vote"]):
        weights = {
            a: sum(0.8 * 0.9 * 0.9 if a == "2" else 0.9 * 0.2 * 0.2 for p in vote.finished if p.text[-1] == a)
            for a in "12"
        }
        assert vote.answer == max("12", key=weights.get) and vote.score == pytest.approx(weights[vote.answer])
        assert best.answer == ("2" if weights["2"] else "1")


def test_a_search_that_ends_early_is_begun_anew_until_the_budget_is_spent():
    one = search("beam", budget=3 * LENGTH, beams=1, width=1, reserve=0, stop=["\n"])[0]
    assert one.tokens == 3 * LENGTH and {path.text for path in one.finished} <= {
        f"{way} way\n{way} {more}\nThe answer is {n}" for way, n in ("a1", "b2") for more in ("more", "else")
    }


def test_what_was_drawn_beyond_a_step_is_used_by_the_first_way_on():
    path = Path(("a way\n",), (0.9,), ahead="a mo", tokens=6, ahead_tokens=4)
    first, second = path.times(2)
    assert first.ahead == "a mo" and second.ahead == "" and second.text == path.text and second.tokens == 6
    engine = Engine(1.0)
    (one,) = search(
        "beam", engine, problems=PROBLEMS[:1], budget=LENGTH, beams=1, width=1, step_tokens=LENGTH, reserve=0
    )
    assert len(engine.calls) == 1 and one.tokens == LENGTH and one.finished[0].scores == pytest.approx((0.8, 0.9, 0.9))


def test_stops_draw_nothing_beyond_a_step():
    engine = Engine()
    search("beam", engine, budget=200, beams=1, width=1, stop=["\n"], reserve=0)
    assert all(
        prefix == "" or prefix.endswith("\n") for _, prefixes, most in engine.calls for prefix in prefixes if most == 60
    )
