"""The contract of every file in prm/segmenters: a new one is tested unasked. One that learns is fitted on the rows first."""

import dataclasses
import random

import pytest

from prm import config, plugins
from prm.records import Problem, Sample, Steps
from prm.signals import Context

PROBLEM = "Tom has 3 bags of 4 apples and eats 2. How many are left?"
TEXTS = [
    "He has 3 * 4 = 12 apples.\nHe eats 2: 12 - 2 = 10.\n\nThe answer is 10",
    "1. He has 12.\n2. He eats 2, so 10 are left.\n\n\n  3) 10",
    "So 3 + 4 = 7, Now 7 - 2 = 5, The answer is 5",
    "\\[ a =\n\n b \\]\n\n```python\nx = 1\n\ny = 2\n```\nDone. ",
    "7",
    "\n\n lead and tail \n\n",
    "é🙂 ñandú 3.14 ... ((\u200b))",
    "word 5 + 5 = 10. " * 120,
    "",
    " \n",
]
MODULES = {name: plugins.load("segmenters", name) for name in plugins.names("segmenters")}


def rows() -> list[tuple[Problem, Sample]]:
    made = [(Problem(f"p{i}", PROBLEM), Sample(f"p{i}", i, text)) for i, text in enumerate(TEXTS)]
    rng = random.Random(0)
    noise = ["".join(rng.choice("ab 3.,\n=(") for _ in range(rng.randint(1, 200))) for _ in range(10)]
    made += [(Problem(f"n{i}", "What?"), Sample(f"n{i}", 0, text)) for i, text in enumerate(noise)]
    return [*made, (Problem("r", PROBLEM), Sample("r", 0, TEXTS[0], reason="cut_off"))]


@pytest.fixture(scope="module", params=MODULES)
def cutter(request, tmp_path_factory):
    """rows -> Steps, by one segmenter at its defaults."""
    plugin, context = plugins.build("segmenters", request.param, "name", None, "segmenter"), Context()
    if plugins.needs_fit(plugin):
        folder = tmp_path_factory.mktemp(plugin.name) / "model"
        plugin.module.fit(rows(), plugin.config, context, folder)
        plugin = plugin.fitted(folder)
        assert not plugins.needs_fit(plugin)
        plugins.check(plugin.module, plugin.config)
    text_only = getattr(plugin.module, "TEXT_ONLY", False)
    return lambda rows: plugin.module.cut(rows, plugin.config, None if text_only else context)


@pytest.mark.parametrize("name", MODULES)
def test_its_file_keeps_the_form(name):
    module = MODULES[name]
    assert module.__doc__ and callable(module.cut)
    assert dataclasses.is_dataclass(module.Config) and module.Config.__dataclass_params__.frozen
    made = module.Config()
    assert config.build(module.Config, config.plain(made), "segmenter") == made  # a PRM's folder and roles carry it so
    learns = [hasattr(module, part) for part in ("fit", "needs_fit", "with_path")]
    assert all(learns) or not any(learns)


def test_one_row_a_sample_in_their_order_whose_steps_join_to_the_text(cutter):
    made = cutter(rows())
    assert [(s.problem_id, s.index) for s in made] == [(s.problem_id, s.index) for _, s in rows()]
    for steps, (_, sample) in zip(made, rows()):
        assert isinstance(steps, Steps) and list(steps.ends) == sorted(set(steps.ends))
        if sample.reason or not sample.text.strip():
            assert steps.ends == ()
        else:
            assert "".join(steps.cut(sample.text)) == sample.text
            assert all(step.strip() for step in steps.cut(sample.text))
    assert max(len(s.ends) for s in made) > 1


def test_rows_do_not_mix_and_their_order_does_not_matter(cutter):
    together = cutter(rows())
    assert together == [steps for row in rows() for steps in cutter([row])]
    assert together == cutter(rows()[::-1])[::-1] and cutter([]) == []


@pytest.mark.parametrize("name", [name for name in MODULES if getattr(MODULES[name], "TEXT_ONLY", False)])
def test_one_that_reads_texts_alone_does_not_read_the_problem(name):
    module = MODULES[name]
    other = [(Problem(p.id, "Another one?"), s) for p, s in rows()]
    assert module.cut(rows(), module.Config(), None) == module.cut(other, module.Config(), None)
