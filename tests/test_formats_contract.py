"""The contract of every file in prm/formats: a new one is tested unasked."""

import dataclasses
import json
from collections import Counter

import pytest

from prm import config, plugins
from prm.formats import GIVEN, BadRow, Row

MODULES = {name: plugins.load("formats", name) for name in plugins.names("formats")}
WRITERS = [name for name, module in MODULES.items() if hasattr(module, "write")]


def examples(name: str) -> list[Row]:
    module = MODULES[name]
    return list(module.read(module.EXAMPLE, module.Config(), 1))


@pytest.mark.parametrize("name", MODULES)
def test_its_file_keeps_the_form(name):
    module = MODULES[name]
    assert module.__doc__ and callable(module.read)
    assert dataclasses.is_dataclass(module.Config) and module.Config.__dataclass_params__.frozen
    made = module.Config()
    assert config.build(module.Config, config.plain(made), "format") == made
    assert json.loads(json.dumps(module.EXAMPLE)) == module.EXAMPLE


@pytest.mark.parametrize("name", MODULES)
def test_its_example_becomes_rows_that_are_whole(name):
    found = examples(name)
    assert found and found == examples(name)
    for row in found:
        assert "".join(row.steps.cut(row.sample.text)) == row.sample.text
        assert len(row.labels.values) == len(row.steps.ends) and any(row.labels.weights)
        assert row.problem.id == row.sample.problem_id == row.labels.problem_id and row.problem.text.strip()
        assert (row.labels.source, row.labels.key) == (GIVEN, GIVEN)


JUNK = (None, 7, True, "text", [], ["a"], [1], [None], {}, {"a": 1}, {"steps": [1]}, {"steps": [{"completions": [3]}]})


@pytest.mark.parametrize("name", MODULES)
def test_a_row_that_is_not_of_it_is_bad_and_never_a_crash(name):
    module = MODULES[name]
    for key in (None, *module.EXAMPLE):
        for value in JUNK:
            row = {**module.EXAMPLE, key: value} if key else {}
            try:
                list(module.read(row, module.Config(), 1))
            except BadRow as error:
                assert error.reason and str(error)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("target", WRITERS)
def test_what_is_written_is_read_again(name, target):
    module = MODULES[target]
    for row in examples(name):
        written = json.loads(json.dumps(module.write(row, module.Config(), Counter())))
        [again] = module.read(written, module.Config(), row.sample.index)
        count = len(again.steps.ends)
        assert again.problem.text == row.problem.text
        assert again.steps.ends[: count - 1] == row.steps.ends[: count - 1]
        assert [v and round(v) for v in again.labels.values] == [v and round(v) for v in row.labels.values[:count]]
    if target == name:
        assert [module.write(row, module.Config(), Counter()) for row in examples(name)][0].keys() <= {
            *module.EXAMPLE,
            "sample",
        }
