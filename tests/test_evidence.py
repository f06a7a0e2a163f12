"""Evidence: reliabilities without gold, on made steps whose truth the test alone knows."""

import json
import math

import numpy as np
import pytest

from prm import config, evidence
from prm.evidence import Said, certainty, fit, gather, trigamma

# P(says wrong | right), P(says wrong | slip), P(says wrong | shared error), strength in log-odds
VOTE, POLICY = (0.12, 0.9, 0.05, 2.5), (0.15, 0.7, 0.2, 1.0)
REASK, CALCULATION = (0.01, 0.95, 0.95, 3.5), (0.01, 0.8, 0.8, 3.5)


def world(slips=0.05, shared=0.1, n=20_000, seed=0, silent=0.1, **keys):
    """What `keys` say of n steps of n / 10 problems, and each step's truth: 0 right, 1 slip, 2 shared error."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[1 - slips - shared, slips, shared])
    said = []
    for *rates, strength in keys.values():
        sign = np.where(rng.random(n) < np.array(rates)[truth], -1, 1)
        s = sign * np.clip(rng.normal(strength, strength / 3, n), 0.1, 4)
        said.append(np.where(rng.random(n) < silent, np.nan, s))
    return Said(tuple(keys), np.stack(said, 1), np.arange(n) // 10), truth


def beliefs(made, table, clip=4.0):
    odds = [
        made.odds({k: s for k, s in zip(table.keys, row) if not math.isnan(s)}, clip)[0] for row in table.said.tolist()
    ]
    return 1 / (1 + np.exp(-np.array(odds)))


def says_right(witness, side):
    """P(says right) of a key by its fitted table."""
    return sum(p for i, p in enumerate(side) if i >= sum(edge < 0 for edge in witness.edges))


def test_the_vote_is_found_to_miss_what_the_policy_gets_wrong_systematically():
    table, truth = world(vote=VOTE, policy=POLICY, reask=REASK)
    made = fit(table)
    right = beliefs(made, table)
    heard = ~np.isnan(table.said[:, 2])
    assert (right[(truth == 2) & heard] < 0.5).mean() > 0.85, "shared errors, against the vote"
    assert (right[truth == 1] < 0.5).mean() > 0.85 and (right[truth == 0] > 0.5).mean() > 0.97
    assert sum(made.classes) == pytest.approx(1) and made.classes[2] > 0.04, "hidden errors are seen to be there"
    reask = made.witnesses["reask"]
    assert says_right(reask, reask.right) > 0.93 and says_right(reask, reask.seen) < 0.3


def test_three_keys_tell_a_careless_calculator_from_a_careful_one():
    careless = (0.15, 0.6, 0.6, 4.0)
    table, truth = world(vote=VOTE, reask=REASK, calculation=careless)
    right = beliefs(fit(table), table)
    alone = (table.said[:, 2] < 0) & (table.said[:, 1] > 0) & (truth == 0)
    assert (right[alone] > 0.5).mean() > 0.9, "its false alarms are overruled, sure as it is of them"


def test_values_need_not_be_probabilities():
    """A key that says 'surely right' of all, a little less surely of wrong steps, is read by its levels."""
    table, truth = world(vote=VOTE, reask=REASK, policy=POLICY)
    shifted = table.said.copy()
    shifted[:, 2] = 3 + shifted[:, 2] / 4
    right = beliefs(fit(Said(table.keys, shifted, table.groups)), table)
    assert (right[truth == 1] < 0.5).mean() > 0.8


def test_what_cannot_be_told_is_said():
    table, _ = world(reask=REASK)
    with pytest.raises(evidence.Unidentified, match="one key"):
        fit(table)
    table, _ = world(vote=VOTE, policy=POLICY, reask=(0.95, 0.05, 0.05, 3.5), slips=0.3)  # it says the opposite
    with pytest.raises(evidence.Unidentified, match="chance"):
        fit(table)


def test_fewer_problems_make_wider_intervals_and_lighter_labels():
    weights = []
    for n in (200, 20_000):
        made = fit(world(n=n, vote=VOTE, policy=POLICY, reask=REASK)[0])
        weights.append(certainty(*made.odds({"vote": 1.5, "policy": 0.5}, 4.0)))
    assert weights[0] < weights[1] - 0.1


def test_a_problem_is_one_observation():
    """Each step ten times over, in the same problems, tells nothing new."""
    table, _ = world(n=2000, vote=VOTE, reask=REASK)
    copies = Said(table.keys, np.repeat(table.said, 10, 0), np.repeat(table.groups, 10))
    once, often = fit(table), fit(copies)
    assert often.classes == pytest.approx(once.classes, abs=0.01)
    assert often.witnesses["reask"].sd[0] == pytest.approx(once.witnesses["reask"].sd[0], rel=0.05)


def test_two_independent_keys_weigh_more_than_one_and_silence_adds_nothing():
    made = fit(world(vote=VOTE, reask=REASK, calculation=CALCULATION)[0])
    one, _ = made.odds({"reask": -3.5}, 4.0)
    two, _ = made.odds({"reask": -3.5, "calculation": -3.5}, 4.0)
    prior, _ = made.odds({}, 4.0)
    assert two < one < prior == pytest.approx(math.log(made.classes[0] / (1 - made.classes[0])))
    assert made.odds({"judge": -4.0}, 4.0)[0] == pytest.approx(prior), "a key the fit never heard"


def test_silence_says_nothing_even_where_it_goes_with_errors():
    """The limit that an arm's `needs` is for: a key that falls silent on hidden errors leaves them to the vote."""
    table, truth = world(vote=VOTE, policy=POLICY, reask=REASK)
    hidden = (truth == 2) & (np.random.default_rng(1).random(len(truth)) < 0.5)
    table.said[hidden, 2] = np.nan
    right, silent = beliefs(fit(table), table), np.isnan(table.said[:, 2])
    assert right[silent].mean() > (truth[silent] == 0).mean() + 0.1
    assert abs(right[~silent].mean() - (truth[~silent] == 0).mean()) < 0.05


def test_the_weight_is_nothing_where_the_interval_holds_even_odds():
    assert certainty(1.0, 0.6) == 0.0 == certainty(0.0, 0.0)
    assert certainty(-2.0, 0.0) == pytest.approx(2 / (1 + math.exp(-2)) - 1)


def test_a_fit_is_plain_numbers():
    made = fit(world(n=2000, vote=VOTE, reask=REASK)[0])
    assert json.loads(json.dumps(config.plain(made)))["witnesses"].keys() == {"vote", "reask"}


def test_gathering_stops_at_the_end_of_a_problem():
    steps = [("a", {"vote": 1.0}), ("a", {}), ("b", {"reask": -1.0}), ("b", {"vote": 2.0}), ("c", {"vote": 1.0})]
    table = gather(iter(steps), most=3)
    assert table.keys == ("reask", "vote") and len(table.said) == 4 and table.problems == 2
    assert np.isnan(table.said[1]).all() and table.said[2, 0] == -1.0


def test_trigamma():
    assert trigamma(1.0) == pytest.approx(math.pi**2 / 6, abs=1e-9)
    assert trigamma(0.5) == pytest.approx(math.pi**2 / 2, abs=1e-8)
