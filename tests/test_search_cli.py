"""`prm search` on a file of problems, with an untrained PRM on the small world's policy."""

import json

import pytest

from prm import cli
from prm.search import _recipe

SMALL = ["search.budget=60", "search.max_tokens=60", "steps.reserve=30", "methods.beam.beams=1", "methods.beam.width=2"]
PROBLEM = "Mia has 7 shells. She finds 5 more. She loses 3. How many?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from prm.model import PRM, Config, LoraConfig

    folder = tmp_path_factory.mktemp("prm")
    PRM.create(Config(max_tokens=256, template="{problem}\n", lora=LoraConfig(r=2, alpha=4))).save(folder)
    usage = {"reduce": "min", "segmenter": {"name": "delimiter", "by": "lines"}, "answers": {"style": "last_number"}}
    (folder / "usage.json").write_text(json.dumps(usage))
    return folder


def search(folder, tmp_path, rows, *more):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (tmp_path / "problems.jsonl").write_text("\n".join(lines) + "\n")
    given = [str(tmp_path / "problems.jsonl"), "--prm", str(folder), "--recipe", "recipes/search.yaml", *SMALL, *more]
    status = cli.main(["search", *given, "-o", str(tmp_path / "found.jsonl")])
    out = tmp_path / "found.jsonl"
    return status, [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else None


def test_a_row_a_problem_and_bad_rows_as_reasons(folder, tmp_path):
    rows = [
        {"problem": PROBLEM, "problem_id": "a"},
        {"text": "?"},
        "no JSON",
        {"question": PROBLEM},
        {"problem": PROBLEM, "problem_id": "a"},
    ]
    status, found = search(folder, tmp_path, rows)
    assert (
        status == 0
        and [set(row) for row in found] == [{"problem_id", "answer", "solution", "score", "tokens", "reason"}] * 5
    )
    assert found[0]["problem_id"] == "a" and found[0]["tokens"] == 60 and found[0]["answer"].isdigit()
    assert found[0]["solution"].endswith(found[0]["answer"]) and 0 < found[0]["score"] and not found[0]["reason"]
    assert all(row["answer"] is None and row["tokens"] == 0 for row in (found[1], found[2], found[4]))
    assert "no 'problem'" in found[1]["reason"] and "not JSON" in found[2]["reason"] and "row 1" in found[4]["reason"]
    assert found[3]["answer"] and search(folder, tmp_path, rows)[1] == found


def test_many_bad_rows_are_told_by_their_kind(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PRM_QUIET", raising=False)
    status, found = search(folder, tmp_path, [{"text": "?"}, "no JSON", *[{"problem": PROBLEM}] * 2, {"problem": ""}])
    assert status == 0 and all(row["reason"].startswith("bad_row: ") for row in (*found[:2], *found[3:]))
    assert not any(str(tmp_path) in row["reason"] for row in found)
    assert "found.jsonl; without an answer: 4 bad_row\n" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["best_of_n", "weighted_vote", "dvts", "tree"])
def test_another_method_is_one_word(folder, tmp_path, method):
    status, found = search(folder, tmp_path, [{"problem": PROBLEM}], f"method={method}")
    assert status == 0 and found[0]["tokens"] == 60


@pytest.mark.parametrize(
    "override, said",
    [
        ("method=beams", "did you mean 'beam'"),
        ("search.budgets=3", "search.yaml: search.budgets: unknown key"),
        ("search.budget=0", "search.yaml: search.budget: 0 is not positive"),
        ("steps.reserve=-1", "search.yaml: steps.reserve: -1 is negative"),
        ("methods.tree.beams=3", "search.yaml: methods.tree.beams: unknown key"),
        ("engine.name=nobody", "no engine named"),
        ("search.reduce=sum", "reduce"),
        ("stages=3", "unknown key"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told_in_a_line(folder, tmp_path, capsys, override, said):
    more = ["method=tree"] if "tree" in override else []
    assert search(folder, tmp_path, [{"problem": PROBLEM}], override, *more) == (2, None)
    assert said in capsys.readouterr().err


def test_the_prm_says_how_to_cut_read_and_reduce_unless_the_recipe_does():
    from prm.apply import Usage

    recipe = _recipe.load("recipes/search.yaml")
    usage = Usage("last", {"name": "delimiter", "by": "blank_lines"})
    for name in ("beam", "best_of_n"):
        made = _recipe.method(recipe, name, usage, "x").config
        assert made.reduce == "last" and made.segmenter["by"] == "blank_lines" and made.budget == 784
    said = _recipe.load("recipes/search.yaml", ["search.reduce=min"])
    assert _recipe.method(said, "tree", usage, "x").config.reduce == "min"


@pytest.mark.parametrize("method", ["best_of_n", "beam", "tree"])
def test_scores_that_grew_step_by_step_are_those_of_the_whole(folder, method):
    from prm import apply
    from prm.engines import transformers
    from prm.model import PRM
    from prm.records import Problem

    words = ["search.budget=200", "search.max_tokens=60", "steps.reserve=30"]
    made = _recipe.method(_recipe.load("recipes/search.yaml", words), method, apply.read_usage(folder), "search.yaml")
    engine = transformers.open_engine(transformers.Config(model="world", template="{problem}\n"))
    prm = PRM.load(folder, "cpu")
    (found,) = made.module.search([Problem("a", PROBLEM)], engine, prm, made.config)
    assert max(len(path.steps) for path in found.finished) > 1
    for path in found.finished:
        assert path.scores == pytest.approx(prm.score(PROBLEM, path.steps), abs=1e-5) and path.partial is None
