"""The contract of every file in prm/signals: a new one is tested unasked.

Signals that need a model, references or a recipe (no TEXT_ONLY) are held to the parts that can be checked without one.
"""

import dataclasses
import random

import pytest

from prm import plugins
from prm.records import Answer, Group, Problem, Sample, StepScores
from prm.segmenters import delimiter

KEYS = {"vote", "policy", "gold", "reask", "calculation", "question", "judge", "fake"}
MODULES = {name: plugins.load("signals", name) for name in plugins.names("signals")}
TEXT_ONLY = {name: module for name, module in MODULES.items() if getattr(module, "TEXT_ONLY", False)}


def group(problem_id, texts, clusters, reasons=None):
    samples = tuple(Sample(problem_id, i, t, reason="" if t.strip() else "empty") for i, t in enumerate(texts))
    steps = tuple(delimiter.cut_sample(s, delimiter.Config(by="lines")) for s in samples)
    answers = tuple(Answer(problem_id, i, "" if c < 0 else texts[i].split()[-1], c) for i, c in enumerate(clusters))
    return Group(
        Problem(problem_id, "Tom has 3 bags of 4 apples and eats 2. How many are left?"), samples, steps, answers
    )


RIGHT = "He has 3 * 4 = 12 apples.\nHe eats 2: 12 - 2 = 10.\nThe answer is 10"
WRONG = "He has 3 + 4 = 7 apples.\nHe eats 2: 7 - 2 = 5.\nThe answer is 5"
GROUPS = [
    group("usual", [RIGHT, RIGHT.replace("He", "Tom"), WRONG, RIGHT + ".", "Hmm.\nNo idea"], [0, 0, 1, 0, -1]),
    group("same", [RIGHT] * 4, [0] * 4),
    group("single", [RIGHT], [0]),
    group("empty", ["", " \n", ""], [-1] * 3),
    group("unparsed", ["We prove it.\nDone", "Another proof.\nDone"], [-1, -1]),
    group("long", ["word 5 + 5 = 10\n" * 1500 + "10", RIGHT, "\\frac{" * 3000, "9^{9^{9}} = (" * 1000], [0, 0, -1, -1]),
]


@pytest.mark.parametrize("name", MODULES)
def test_its_file_keeps_the_form(name):
    module = MODULES[name]
    assert module.KEY in KEYS and module.__doc__ and callable(module.label)
    assert dataclasses.is_dataclass(module.Config) and module.Config.__dataclass_params__.frozen
    module.Config()


@pytest.mark.parametrize("name", TEXT_ONLY)
def test_one_row_a_sample_one_value_a_step(name):
    module = TEXT_ONLY[name]
    rows = module.label(GROUPS, module.Config(), None)
    samples = [(g.problem.id, s.index, len(t.ends)) for g in GROUPS for s, t in zip(g.samples, g.steps)]
    assert [(r.problem_id, r.index, len(r.values)) for r in rows] == samples
    assert all(isinstance(r, StepScores) and r.key == module.KEY and r.source == name for r in rows)


@pytest.mark.parametrize("name", [name for name in TEXT_ONLY if TEXT_ONLY[name].KEY == "vote"])
def test_nothing_to_compare_with_means_abstaining(name):
    module = TEXT_ONLY[name]
    assert all(v is None for r in module.label([GROUPS[2], GROUPS[3]], module.Config(), None) for v in r.values)


@pytest.mark.parametrize("name", TEXT_ONLY)
def test_problems_do_not_mix_and_the_same_input_gives_the_same_rows(name):
    module = TEXT_ONLY[name]
    together = module.label(GROUPS, module.Config(), None)
    assert together == [row for g in GROUPS for row in module.label([g], module.Config(), None)]


@pytest.mark.parametrize("name", TEXT_ONLY)
def test_the_order_of_the_samples_does_not_matter(name):
    module, usual = TEXT_ONLY[name], GROUPS[0]
    order = random.Random(1).sample(range(5), 5)
    shuffled = Group(
        usual.problem, *(tuple(rows[i] for i in order) for rows in (usual.samples, usual.steps, usual.answers))
    )
    first = {r.index: r for r in module.label([usual], module.Config(), None)}
    assert {r.index: r for r in module.label([shuffled], module.Config(), None)} == first
