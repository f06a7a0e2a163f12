"""Gold answers stay apart: by the imports, by the types, and by what a run makes of a file whose gold column is garbage.

Step labels that a user gives (`prm train`, `prm convert`) are neither gold nor ours: a third thing, named "given", that no run can read.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from pathlib import Path

import pytest

import prm
from prm import formats, pipeline, plugins, recipe, records, store

ROOT = Path(prm.__file__).parent
GOLD = (
    "prm.references",
    "prm.world.truth",
    "prm.world.problems.programs",
    "prm.world.facts.mistaught",
    "prm.world.facts.compute",
)
GIVEN = ("prm.formats", "prm.given", "prm.convert")
MAY_IMPORT_GIVEN = {"given.py", "convert.py", "verbs.py"}
MAY_IMPORT_GOLD = {"signals/gold.py", "references.py", "world/truth.py", "world/program.py"}


def imports(path: Path) -> set[str]:
    """Every module and module.name that a file imports, however deep inside a function, and what it takes from those by a dot."""
    found, named = set(), {}
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here, so that this test sees them"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            named |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    return found | {f"{named[node.value.id]}.{node.attr}" for node in attributes if node.value.id in named}


def test_a_name_behind_a_dot_is_seen(tmp_path):
    (tmp_path / "sly.py").write_text("def f():\n    from prm.world import problems as p\n    return p.programs(1, 2)")
    assert "prm.world.problems.programs" in imports(tmp_path / "sly.py")


@pytest.mark.parametrize("path", [str(p.relative_to(ROOT)) for p in sorted(ROOT.rglob("*.py"))])
def test_only_the_gold_signal_imports_gold_and_nothing_imports_eval(path):
    found = imports(ROOT / path)
    assert not [name for name in found if name == "eval" or name.startswith("eval.")]
    if path not in MAY_IMPORT_GOLD:
        assert not [name for name in found for g in GOLD if name == g or name.startswith(g + ".")]


@pytest.mark.parametrize("path", [str(p.relative_to(ROOT)) for p in sorted(ROOT.rglob("*.py"))])
def test_only_its_own_verbs_read_labels_that_a_user_gives(path):
    if path not in MAY_IMPORT_GIVEN and not path.startswith("formats/"):
        assert not [name for name in imports(ROOT / path) for g in GIVEN if name == g or name.startswith(g + ".")]


def test_labels_that_a_user_gives_are_named_so():
    """A run's labels carry their signals' keys; "given" is none of those, and no recipe can name it."""
    assert formats.GIVEN not in {plugins.load("signals", name).KEY for name in plugins.names("signals")}
    assert formats.GIVEN not in plugins.names("signals")


GOLD_COLUMNS = ("final_answer_correct", "ground_truth_answer", "ground_truth_solution", "gold", "answer")


@pytest.mark.parametrize("name", plugins.names("formats"))
def test_no_format_reads_gold_answers(name):
    module = plugins.load("formats", name)

    def read(garbage: object) -> list[formats.Row]:
        row = {**module.EXAMPLE, **dict.fromkeys(GOLD_COLUMNS, garbage)}
        nested = {
            key: {**value, **dict.fromkeys(GOLD_COLUMNS, garbage)}
            for key, value in row.items()
            if isinstance(value, dict)
        }
        return list(module.read({**row, **nested}, module.Config(), 1))

    assert read("garbage") == read(None) == list(module.read(module.EXAMPLE, module.Config(), 1))
    assert {row.labels.key for row in read(None)} == {formats.GIVEN}


@pytest.mark.parametrize("row", [records.Problem, records.Sample, records.Steps, records.Answer, records.StepScores])
def test_no_row_has_room_for_gold(row):
    for field in dataclasses.fields(row):
        assert not re.search("gold|reference|correct|truth|solution|target|expected", field.name)


def test_a_garbage_gold_column_changes_no_row(small, tmp_path):
    def made(out: str) -> dict:
        built = recipe.build({**small, "out": str(tmp_path / out)}, "small.yaml")
        pipeline.run(built)
        run = store.Run(built.folder)
        return {stage: list(run.rows(stage)) for stage in run.stages()}

    true = made("true")
    pool = tmp_path / "pool.jsonl"
    garbage = [{**json.loads(line), "gold": "garbage"} for line in pool.read_text().splitlines()]
    pool.write_text("".join(json.dumps(row) + "\n" for row in garbage))
    assert repr(made("garbage")) == repr(true)
