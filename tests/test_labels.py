"""Labels: keys are witnesses, copies are not; options; what was dropped is counted."""

import math

import pytest

from prm.errors import PrmError
from prm.labels import Config, combine, counts
from prm.records import StepScores


def says(values, weights, key="vote", index=0):
    return StepScores("p", index, "s", key, tuple(values), tuple(weights))


def one(*signals, trust=None, **config):
    named = {f"s{i}": s for i, s in enumerate(signals)}
    return combine(named, trust or {n: 1.0 for n in named}, Config(**config), "ours")


def logit(p):
    return math.log(p / (1 - p))


def test_one_sure_signal_passes_through():
    row = one(says([0.9, None, 0.2], [1, 0, 1]))
    assert (
        row.values == pytest.approx((0.9, None, 0.2))
        and row.weights == (1, 0, 1)
        and row.source == "ours"
        and row.key == "vote"
    )


def test_confidence_and_trust_scale_the_log_odds():
    row = combine({"a": says([0.9], [0.5])}, {"a": 0.5}, Config(), "ours")
    assert logit(row.values[0]) == pytest.approx(0.25 * logit(0.9)) and row.weights == (0.25,)


def test_copies_of_a_witness_change_nothing():
    alone, tripled = one(says([0.8], [0.6])), one(*[says([0.8], [0.6])] * 3)
    assert tripled.values == pytest.approx(alone.values) and tripled.weights == pytest.approx(alone.weights)


def test_independent_keys_add_up():
    row = one(says([0.8], [1]), says([0.7], [0.5], key="reask"))
    assert logit(row.values[0]) == pytest.approx(logit(0.8) + 0.5 * logit(0.7))
    assert row.weights == (1.0,) and row.key == "reask+vote"


def test_within_a_key_the_surer_signal_counts_more():
    assert one(says([1.0], [0.9]), says([0.0], [0.1])).values[0] > 0.5


def test_certainty_is_clipped():
    assert logit(one(says([1.0], [1])).values[0]) == pytest.approx(4.0)
    assert logit(one(says([0.0], [1]), clip=2.0).values[0]) == pytest.approx(-2.0)


def test_no_trust_is_too_large():
    row = combine({"a": says([0.0, 1.0], [1, 1])}, {"a": 1e6}, Config(), "ours")
    assert row.values == pytest.approx((0.0, 1.0))


def test_the_gate_takes_weight_where_keys_disagree():
    pair = says([1.0], [1]), says([0.0], [1], key="reask")
    assert (
        one(*pair).weights == (1.0,)
        and one(*pair, gate=0.5).weights == (0.5,)
        and one(*pair, gate=1.0, min_weight=0.1).values == (None,)
    )


def test_last_labels_only_the_final_step():
    row = one(says([0.9, 0.8], [1, 1]), steps="last")
    assert row.values == pytest.approx((None, 0.8)) and row.weights == (0.0, 1.0)


def test_after_an_error_wrong_makes_running_minima_and_keeps_abstentions():
    row = one(says([0.9, 0.2, None, 0.8], [1, 0.5, 0, 1]), after_error="wrong")
    assert row.values[1] == row.values[3] and row.values[2] is None and row.weights == (1, 0.5, 0, 0.5)


def test_after_an_error_drop_weighs_a_step_by_the_chance_that_nothing_before_was_wrong():
    row = one(says([0.9, 0.2, None, 0.8], [1, 1, 0, 1]), after_error="drop")
    assert row.values == one(says([0.9, 0.2, None, 0.8], [1, 1, 0, 1])).values
    assert row.weights == pytest.approx((1, 0.9, 0, 0.9 * 0.2))


def test_a_step_needs_one_who_can_contradict_the_vote():
    named = {"vote": says([0.9, 0.9], [1, 1]), "reask": says([0.2, None], [1, 0], key="reask")}
    row = combine(named, dict.fromkeys(named, 1.0), Config(), "ours", needs=["reask"])
    assert row.values[0] < 0.9 and row.values[1] is None and row.weights[1] == 0
    assert counts([row])["unlabelled"] == 1
    assert combine(named, dict.fromkeys(named, 1.0), Config(), "ours").values[1] == pytest.approx(0.9)


def test_cap_and_provenance():
    row = one(says([0.9, None], [1, 0]), cap=0.3)
    assert row.weights == (0.3, 0.0) and row.provenance == ("s0=0.9@1", "")


def test_what_is_dropped_is_counted_by_class():
    rows = [one(says([0.9, 0.1, 0.2, None, 0.7], [0.9, 0.05, 0.9, 0, 0.05]), min_weight=0.1)]
    assert counts(rows) == {"right": 1, "wrong": 1, "dropped_right": 1, "dropped_wrong": 1, "unlabelled": 1}


def test_a_sample_without_steps_has_no_labels():
    assert one(says([], [])).values == ()


def test_mistakes_are_named():
    with pytest.raises(PrmError, match="trust of signal 'a'"):
        combine({"a": says([1.0], [1])}, {}, Config(), "ours")
    with pytest.raises(PrmError, match="no signal"):
        combine({}, {}, Config(), "ours")
    with pytest.raises(ValueError, match="not of p/0"):
        one(says([1.0], [1]), says([1.0], [1], index=1))
    for bad in ({"steps": "first"}, {"gate": 2.0}, {"cap": 0.0}, {"clip": -1.0}, {"min_weight": -0.1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Config(**bad)
