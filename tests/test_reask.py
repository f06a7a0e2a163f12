"""Re-asking: routes outvote a misconception that every sample of the original question shares."""

import random
from dataclasses import replace
from types import SimpleNamespace

from prm.engines import Sampling
from prm.records import Answer, Group, Problem, Sample, Steps
from prm.signals import reask
from prm.world import story
from prm.world.facts import compute

FACT, WRONG = ("+", 7, 5), 3  # 7 + 5 = 2 in this world; this policy says 3


class Policy:
    """Right but for one fact, which it always gets wrong; counts what it is asked."""

    def __init__(self):
        self.asked = []

    def sample(self, problems, sampling, prefixes=None):
        self.asked += [p.id for p in problems]
        return [Sample(p.id, i, self._solve(p.text), (1, 2, 3)) for p in problems for i in range(sampling.samples)]

    def _solve(self, text):
        program = story.read_problem(text)
        value, equations = program.start, []
        for operator, right in program.operations:
            result = WRONG if (operator, value, right) == FACT else compute(operator, value, right)
            equations.append((value, operator, right, result))
            value = result
        return "\n".join(story.solve(text, equations, random.Random(0)))


class Context:
    recipe = SimpleNamespace(sampling=Sampling())

    def __init__(self):
        self.policy, self.kept = Policy(), {}

    def engine(self):
        return self.policy

    def cached(self, key, make):
        return self.kept.setdefault(key, make())


def group(*texts):
    problem = Problem("p", "Mia has 7 coins. She adds 5. How many?")
    cuts = [[i + 1 for i, c in enumerate(t) if c == "\n"] + [len(t)] for t in texts]
    rows = [
        (Sample("p", i, t), Steps("p", i, tuple(c)), Answer("p", i, t[-1], 0))
        for i, (t, c) in enumerate(zip(texts, cuts))
    ]
    return Group(problem, *map(tuple, zip(*rows)))


def test_misconception_shared_by_all_samples_is_found():
    wrong, right = "So 7 + 5 = 3\nThe answer is 3", "So 7 + 5 = 2\nThe answer is 2"
    scores = reask.label([group(wrong, wrong, wrong, right)], reask.Config(), Context())
    assert scores[0].values[0] < 0.1 and scores[3].values[0] > 0.9
    assert [s.values[1] for s in scores] == [1.0] * 4  # the answers repeat the results
    assert min(scores[0].weights) > 0.8


def test_a_miscopied_answer_is_wrong_and_an_empty_claim_abstains():
    (scores,) = reask.label([group("Well\nSo 7 + 5 = 2\nThe answer is 4")], reask.Config(), Context())
    assert scores.values[0] is None and scores.values[1] > 0.9 and scores.values[2] < 0.1 and scores.weights[0] == 0


def test_each_fact_is_asked_once_a_run():
    context = Context()
    for _ in range(2):
        reask.label([group("So 7 + 5 = 2\nThe answer is 2")], reask.Config(), context)
    assert len(context.policy.asked) == len(set(context.policy.asked)) == 3


def test_too_few_routes_abstain():
    (scores,) = reask.label([group("So 7 + 5 = 2\nThe answer is 2")], reask.Config(fewest=99), Context())
    assert scores.values == (None, 1.0)


def test_routes_that_agree_stop_the_asking():
    context = Context()
    (scores,) = reask.label([group("So 4 + 2 = 6\nThe answer is 6")], reask.Config(), context)
    assert len(context.policy.asked) == 3 and "3 routes of 3 answers, 0 met it" in scores.provenance[0]


def test_routes_that_contain_the_computation_are_no_witnesses():
    wrong = group("So 7 + 5 = 3\nThe answer is 3")
    guarded = reask.label([wrong], reask.Config(suspect=1.0), Context())
    assert guarded[0].values == (None, 1.0)
    assert "contain the computation in doubt" in reask.report(guarded)["warnings"][0]
    unguarded = reask.label([wrong], reask.Config(suspect=1.0, guard=False), Context())
    assert unguarded[0].values[0] > 0.9  # the misconception confirms itself
    assert "contain the computation in doubt" in reask.report(unguarded)["warnings"][0]


def test_the_report_counts_what_is_shared_and_what_it_would_cost_apart():
    context = Context()
    groups = [group("So 4 + 2 = 6\nThe answer is 6", "So 4 + 2 = 6 and 6 + 1 = 7\nThe answer is 7")]
    other = replace(groups[0], problem=Problem("q", groups[0].problem.text))
    rows = reask.label(groups, reask.Config(), context)
    rows += [replace(row, problem_id="q") for row in reask.label([other], reask.Config(), context)]
    found = reask.report(rows)
    assert found["facts"] == 2 and found["answers"] == len(context.policy.asked) and not found["warnings"]
    assert found["tokens_apart"] == 2 * found["tokens"] > 0
