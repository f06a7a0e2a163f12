"""Prefix trees with numbers that can be worked out by hand, and rollouts from an engine that says what a test wants."""

import math
from types import SimpleNamespace

import pytest

from prm import answers
from prm.engines import Sampling
from prm.oracles import VOTES
from prm.prefixes import PrefixTree, beta_interval, expand
from prm.records import Group, Problem, Sample
from prm.segmenters import delimiter
from prm.signals import monte_carlo, prefix_tree

READ = answers.Config(style="last_number")
A, B = "So 1 + 1 = 2\n", "So 1 + 1 = 3\n"
# Two begin with A and disagree afterwards, a copy of the first, one goes wrong with B; the last says nothing usable.
TEXTS = [A + "it is 2", A + "then 4\nit is 4", A + "it is 2", B + "it is 3", A + "so it is 2", ""]


def group(*texts, name="p"):
    samples = tuple(Sample(name, i, t, reason="" if t else "empty") for i, t in enumerate(texts))
    steps = tuple(delimiter.cut_sample(s, delimiter.Config(by="lines")) for s in samples)
    return Group(Problem(name, "1 + 1?"), samples, steps, tuple(answers.read_answers(samples, READ)))


class Policy:
    """An engine that goes on from a prefix with what `says` gives for (prefix, index); it logs what it was asked."""

    def __init__(self, says):
        self.says, self.asked, self.ids, self.calls = says, [], [], 0

    def sample(self, problems, sampling, prefixes=None):
        self.calls += 1
        self.asked += prefixes
        self.ids += [p.id for p in problems]
        return [self._row(p.id, i, b) for p, b in zip(problems, prefixes) for i in range(sampling.samples)]

    def _row(self, name, i, prefix):
        text = self.says(prefix, i)
        reason = "cut_off" if text is None else "" if text.strip() else "empty"
        return Sample(name, i, text or "", (1, 2), (-0.5, -0.5), "length" if text is None else "stop", reason)


def rolled(says, texts=TEXTS, drawn=None):
    """(the tree with 4 rollouts from each prefix that has no known end, the policy)."""
    tree, policy = PrefixTree.of(group(*texts), VOTES["majority"]), Policy(says)
    drawn = {} if drawn is None else drawn
    grown = expand([tree], [list(tree.nodes)], policy, Sampling(samples=4), VOTES["majority"], READ, drawn)
    return grown[0], policy


class Run:
    """What a signal sees of a run."""

    def __init__(self, policy):
        self.recipe = SimpleNamespace(sampling=Sampling(samples=6, max_tokens=8), answers=READ)
        self.policy, self.made = policy, {}

    def engine(self):
        return self.policy

    def cached(self, key, make):
        return self.made.setdefault(key, make())


def test_a_tree_of_samples():
    tree = PrefixTree.of(group(*TEXTS), VOTES["majority"])
    assert list(tree.nodes) == ["", A, TEXTS[0], A + "then 4\n", TEXTS[1], B, TEXTS[3], TEXTS[4]]
    root, a, b = tree.nodes[""], tree.nodes[A], tree.nodes[B]
    assert (root.parent, root.children, a.children) == (None, (A, B), (TEXTS[0], A + "then 4\n", TEXTS[4]))
    # Of five votes three are for 2: the copy counts in the value, not in the number of witnesses.
    assert (root.value, root.n, a.value, a.n, b.value, b.n) == (3 / 5, 4, 3 / 4, 3, 0.0, 1)
    assert (root.hard, a.hard, b.hard) == (1.0, 1.0, 0.0)
    assert tree.drop(A) == pytest.approx(3 / 5 - 3 / 4) and tree.drop(B) == 3 / 5
    assert (tree.z(A), tree.z(B), tree.z(TEXTS[3])) == (pytest.approx(1), pytest.approx(-1), None)
    assert [node.prefix for node in tree.path(1)] == [A, A + "then 4\n", TEXTS[1]]
    assert tree.path(5) == []


def test_a_solutions_end_is_known_and_the_rest_is_as_sure_as_its_interval():
    tree = PrefixTree.of(group(*TEXTS), VOTES["majority"])
    end, step = tree.nodes[TEXTS[0]], tree.nodes[A]
    margin = 3 / 5 - 1 / 5
    assert end.known and end.interval == (1.0, 1.0) and end.weight == pytest.approx(margin)
    low, high = step.interval
    assert not step.known and (low, high) == beta_interval(3 * 3 / 4, 3)
    assert step.weight == pytest.approx(margin * (1 - (high - low)))


@pytest.mark.parametrize("good, n, low, high", [(0, 0, 0.025, 0.975), (8, 8, 0.025 ** (1 / 9), 0.975 ** (1 / 9))])
def test_beta_intervals_with_a_closed_form(good, n, low, high):
    """Beta(1, 1) is uniform, Beta(1 + n, 1) has the distribution function x ** (n + 1)."""
    assert beta_interval(good, n) == pytest.approx((low, high), abs=1e-3)
    assert beta_interval(n - good, n) == pytest.approx((1 - high, 1 - low), abs=1e-3)


def test_a_solution_that_goes_on_from_anothers_end_is_no_child_of_a_known_node():
    tree = PrefixTree.of(group("it is 2\n", "it is 2\nno, 3", "it is 2\n"), VOTES["majority"])
    node = tree.nodes["it is 2\n"]
    assert node.ends and not node.known and node.value == 2 / 3 and node.n == 2


def test_rollouts_replace_what_the_samples_said_and_each_prefix_is_asked_once():
    tree, policy = rolled(lambda prefix, i: "it is 2" if prefix == A and i < 3 else "it is 5" if i < 3 else None)
    assert policy.asked == ["", A, A + "then 4\n", B] and policy.calls == 1  # no end of a solution
    assert len(set(policy.ids)) == 4 and all(name.startswith("p/") for name in policy.ids)
    a, b = tree.nodes[A], tree.nodes[B]
    assert (a.value, a.n, len(a.outcomes)) == (1.0, 1, 3)  # the cut-off rollout was not judged
    assert (b.value, b.hard, b.n) == (0.0, 0.0, 1)  # 5 is no sample's answer and loses the vote
    assert tree.nodes[TEXTS[0]].value == 1.0 and tree.nodes[TEXTS[1]].value == 0.0
    assert tree.drop(A) == -1.0 and tree.z(A) == pytest.approx(1)


def test_rollouts_have_no_vote():
    """All rollouts say 3; the samples' majority stays 2."""
    tree, _ = rolled(lambda prefix, i: f"it is 3{' ' * i}.")
    assert tree.nodes[A].value == 0.0 and tree.nodes[A].n == 4 and tree.nodes[TEXTS[0]].value == 1.0


def test_a_rollout_that_adds_nothing_is_the_prefix_itself():
    texts = ["it is 2\n", "it is 2\nno, 3", "it is 2\n"]
    tree, policy = rolled(lambda prefix, i: "", texts)
    assert policy.asked == ["", "it is 2\n"]
    assert (tree.nodes["it is 2\n"].value, tree.nodes["it is 2\n"].n) == (1.0, 1)
    assert tree.nodes[""].value is None and tree.nodes[""].weight == 0  # an empty solution has no answer


def test_what_was_drawn_is_not_drawn_again_and_does_not_depend_on_what_else_is():
    drawn = {}
    tree, first = rolled(lambda prefix, i: f"it is {i}", drawn=drawn)
    again, second = rolled(None, drawn=drawn)
    assert len(drawn) == 4 and second.calls == 0 and again == tree
    alone = Policy(lambda prefix, i: "it is 2")
    expand([tree], [[B, B]], alone, Sampling(samples=4), VOTES["majority"], READ, {})
    assert alone.asked == [B] and alone.ids == [first.ids[first.asked.index(B)]]


def test_the_signal_without_rollouts():
    problem = group(*TEXTS)
    soft = prefix_tree.label([problem], prefix_tree.Config())
    assert [r.values for r in soft] == [(0.75, 1), (0.75, 0, 0), (0.75, 1), (0, 0), (0.75, 1), ()]
    hard = prefix_tree.label([problem], prefix_tree.Config(mode="hard"))
    assert [r.values for r in hard] == [(1, 1), (1, 0, 0), (1, 1), (0, 0), (1, 1), ()]
    drops = prefix_tree.label([problem], prefix_tree.Config(mode="drop"))
    assert drops[3].values == (pytest.approx((1 - 0.6) / 2), 0.5)
    z = prefix_tree.label([problem], prefix_tree.Config(mode="z"))
    assert z[3].values == (pytest.approx(1 / (1 + math.e)), None) and z[3].weights[1] == 0


def test_soft_and_hard_share_the_rollouts_of_a_run():
    run = Run(Policy(lambda prefix, i: "it is 2" if prefix == A and i % 2 else "it is 3"))
    groups = [group(*TEXTS), group(*TEXTS, name="q"), group("it is 1", "it is 2", name="tied")]
    soft = monte_carlo.label(groups, monte_carlo.Config(), run)
    assert run.policy.calls == 1 and len(run.policy.asked) == 6  # the root is no step; a tied vote judges nothing
    hard = monte_carlo.label(groups, monte_carlo.Config(mode="hard"), run)
    part = monte_carlo.label(groups, monte_carlo.Config(per_problem=1), run)
    assert run.policy.calls == 1
    assert soft[0].values == (0.5, 1) and hard[0].values == (1, 1) and soft[3].values == hard[3].values == (0, 0)
    assert soft[6].values == soft[0].values and soft[-1].values == (None,)
    assert part[0] == soft[0] and all(v is None for r in part[1:6] for v in r.values)
    monte_carlo.label(groups, monte_carlo.Config(rollouts=2), run)
    assert run.policy.calls == 2


@pytest.mark.parametrize(
    "module, config, message",
    [
        (prefix_tree, {"mode": "mean"}, "mode: 'mean' is unknown; choose one of soft, hard, drop, z"),
        (monte_carlo, {"oracle": "gold"}, "oracle: 'gold' is unknown; choose one of majority, soft_vote"),
        (monte_carlo, {"rollouts": 0}, "rollouts: 0 is not positive; 8 is usual"),
        (monte_carlo, {"per_problem": 0}, "per_problem: 0 is not positive; null for all"),
    ],
)
def test_bad_settings_are_named(module, config, message):
    with pytest.raises(ValueError, match=message):
        module.Config(**config)
