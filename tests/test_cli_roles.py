"""`prm roles` and `prm harvest`: every example of their help runs, and what is wrong is one line before a model is loaded."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prm import cli, codec, models
from prm.dynamics import reader as readers
from prm.roles import recipe
from prm.roles.harvest import Folder
from prm.roles.model import Roles

ROOT = Path(__file__).parent.parent
FEW = ["cluster.most=3", "cluster.runs=2"]


def examples(verb: str) -> list[str]:
    (parser,) = (action for action in cli.parser()._actions if action.choices and verb in action.choices)
    return [line.strip() for line in parser.choices[verb].epilog.splitlines()[1:]]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files that the examples name, and roles made by the first of them."""
    folder = tmp_path_factory.mktemp("roles")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "model").symlink_to(models.resolve("world"))
    rows = [
        {
            "problem": f"Mia has {i} coins. She adds {i % 5}. She sells 2. How many?",
            "text": f"Now {i} + {i % 5} = {(i + i % 5) % 10}\nSo {i} - 2 = {(i - 2) % 10}\nThe answer is {(i - 2) % 10}",
        }
        for i in range(10)
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"problem": "?"}]))
    pq.write_table(pa.Table.from_pylist(rows), folder / "corpus.parquet")
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def run(*words: str) -> None:
    assert cli.main(words) == 0


def fails(capsys, *words: str) -> str:
    assert cli.main(words) == 2
    told = capsys.readouterr()
    assert not told.out and re.fullmatch("prm: error: .*\n", told.err), told.err
    return told.err.removeprefix("prm: error: ").rstrip()


@pytest.mark.parametrize("number", range(len(examples("roles"))))
def test_examples_of_roles(here, number, capsys):
    words = shlex.split(examples("roles")[number].replace("FOLDER_OR_HUB_ID", "./model"))
    words[words.index("runs/roles")] = f"runs/roles{number or ''}"  # the first one's are those that harvest takes
    run(*words[1:], *FEW)
    shown = capsys.readouterr().out
    made = Roles.load(here / "runs" / f"roles{number or ''}")
    assert f"role {len(made.names) - 1}: {made.names[-1]}  (" in shown and ("<- chosen" in shown) == (number != 1)
    assert all(len(re.findall(r"^role \d", shown, re.M)) == k for k in [len(made.names)])
    assert re.search(r"segments of 10 documents; stability \d", shown)


@pytest.mark.parametrize("number", range(len(examples("harvest"))))
def test_examples_of_harvest(here, number):
    if not (here / "runs/roles").exists():
        run("roles", "corpus.jsonl", "-o", "runs/roles", *FEW)
    words = shlex.split(examples("harvest")[number])
    words[words.index("runs/harvest")] = f"runs/harvest{number}"
    run(*words[1:])
    found = list(Folder(here / f"runs/harvest{number}", "harvest").rows())
    whole = {d: "".join(s.text for s in found if s.document == d) for d in {s.document for s in found}}
    texts = codec.column(here / "corpus.parquet", "text")
    assert [whole[str(i)] for i in range(1, 11)] == texts and [s.reason for s in found][30:] == ["no_text"] * (
        1 - number
    )


def test_the_same_roles_again_and_the_labels_are_those_of_the_fit(here):
    again = [here / "runs" / name for name in ("first", "second")]
    for out in again:
        run("roles", "corpus.jsonl", "-o", str(out), "reader.model=./model", "cluster.roles=3", *FEW)
        run("harvest", "corpus.jsonl", "--roles", str(out), "-o", f"{out}.harvest")
    assert (again[0] / "roles.json").read_bytes() == (again[1] / "roles.json").read_bytes()
    first, second = (list(Folder(Path(f"{out}.harvest"), "harvest").rows()) for out in again)
    assert first == second
    sizes = [sum(s.role == k for s in first) for k in range(3)]
    assert sizes == [role.size for role in Roles.load(again[0]).roles]


BAD = [
    ("roles none.jsonl -o x", "none.jsonl: no such file; check the path"),
    ("roles corpus.jsonl -o x corpus.text=txt", "no column 'txt'; name one of those there are: problem, text"),
    ("roles corpus.jsonl -o x cluster.rolls=3", "cluster.rolls: unknown key; .* did you mean 'roles'"),
    ("roles corpus.jsonl -o x corpus.path=y", "corpus: .* the command names the corpus"),
    ("roles corpus.jsonl -o x segmenter.name=y", "no segmenter named 'y'; known: .*delimiter"),
    ("roles corpus.jsonl -o x segmenter.bye=y", "segmenter.bye: unknown key"),
    ("roles corpus.jsonl -o x reader.layers=[1,2]", "reader.layers: roles are found in one layer, not 2"),
    ("roles corpus.jsonl -o x reader.model=./none", "model none: no such folder"),
    ("roles corpus.jsonl -o x corpus.limit=0", "corpus.limit: 0 is not positive"),
    ("roles corpus.jsonl -o x --recipe none.yaml", "none.yaml: no such recipe"),
    ("roles corpus.jsonl -o corpus.jsonl/x", "corpus.jsonl is a file, not a folder"),
    ("roles corpus.jsonl -o model", "model: holds other things"),
    ("harvest corpus.jsonl --roles model -o x", "roles.json: No such file"),
    ("harvest none.jsonl --roles ROLES -o x", "none.jsonl: no such file; check the path"),
    (
        "harvest corpus.jsonl --roles ROLES -o x corpus.text=n",
        "no column 'n'; name one of those there are: problem, text",
    ),
    ("harvest corpus.jsonl --roles ROLES -o x text=n", "harvest: text: unknown key; known keys: corpus, shard"),
    ("harvest corpus.jsonl --roles ROLES -o x shard=0", "harvest: shard: 0 is not positive"),
    ("harvest corpus.jsonl --roles ROLES -o model", "model: holds other things"),
    ("harvest corpus.jsonl --roles ROLES -o corpus.jsonl/x", "corpus.jsonl is a file, not a folder"),
]


@pytest.mark.parametrize("command, message", BAD)
def test_what_is_wrong_is_told_before_a_model_is_loaded(here, capsys, monkeypatch, command, message):
    from test_harvest import fake_roles

    fake_roles(here / "fake")
    monkeypatch.setattr(readers.Reader, "open", lambda config: pytest.fail("a model was loaded"))
    assert re.search(message, fails(capsys, *command.replace("ROLES", "fake").split()))
    assert not (here / "x").exists()


def test_another_model_than_that_of_the_roles_is_refused(here, capsys):
    from test_harvest import fake_roles

    fake_roles(here / "fake")
    told = fails(capsys, "harvest", "corpus.jsonl", "--roles", "fake", "-o", "wrong")
    assert "roles: the weights of model 'world'" in told and "are not those the roles were fitted on" in told


def test_the_recipe_that_ships_is_the_default(here):
    assert recipe.load(None, "corpus.jsonl") == recipe.load(ROOT / "recipes" / "roles.yaml", "corpus.jsonl")
