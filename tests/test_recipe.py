"""Recipes: typed, every key checked, overrides, values left to the user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from prm import recipe
from prm.errors import PrmError

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


def write(tmp_path, mapping) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(mapping if isinstance(mapping, str) else yaml.safe_dump(mapping))
    return path


def test_a_recipe_and_back(small, tmp_path):
    made = recipe.load(write(tmp_path, small))
    assert made.engine.name == "fake" and made.arms["ours"].signals == {"fake": 1.0}
    assert recipe.build(recipe.plain(made), "again") == made


def test_overrides_take_yaml_values(small, tmp_path):
    made = recipe.load(
        write(tmp_path, small), ["train.lr=1e-3", "sampling.samples=2", "signals.other={signal: fake, confidence: 0.5}"]
    )
    assert made.train.lr == 0.001 and made.sampling.samples == 2 and made.signals["other"].config.confidence == 0.5


def test_values_left_to_the_user(small, tmp_path):
    pool = small["problems"]["test"]["path"]
    for split in ("train", "test"):
        small["problems"][split] = {**small["problems"][split], "path": "${pool}"}
    path = write(tmp_path, {**small, "given": {"pool": None}})
    assert recipe.load(path, [f"pool={pool}"]).problems["test"].path == pool
    with pytest.raises(PrmError, match=r"problems.test.path: needs a value; add pool=... to the command"):
        recipe.load(path)


@pytest.mark.parametrize(
    "override, message",
    [
        ("samplign.samples=2", "r.yaml: samplign: unknown key; .* did you mean 'sampling'?"),
        ("sampling.samples=two", r"r.yaml: sampling.samples: must be an int, not 'two' \(str\)"),
        ("sampling.samples=0", "r.yaml: sampling.samples: 0 is not positive; 8 to 64 are usual"),
        ("engine.name=fak", "r.yaml: engine.name: no engine named 'fak'; known: .*, did you mean 'fake'?"),
        ("engine.delay=slow", "r.yaml: engine.delay: must be a finite number"),
        ("signals.fake.colour=red", "r.yaml: signals.fake.colour: unknown key; known keys: confidence"),
        ("signals.majorty={}", "r.yaml: signals.majorty: no signal named 'majorty'"),
        (
            "arms.ours.signals.fak=1.0",
            r"r.yaml: arms.ours.signals.fak: not among the recipe's signals \(fake\), did you mean 'fake'?",
        ),
        ("arms.ours.signals.fake=0", "r.yaml: arms.ours.signals.fake: the weight 0.0 is not positive"),
        ("arms.ours.reduce=max", "r.yaml: arms.ours.reduce: 'max' is not known"),
        ("arms={a/b: {signals: {fake: 1.0}}}", "r.yaml: arms.a/b: a name is letters"),
        ("problems.valid={source: world}", "r.yaml: problems.valid: no arm learns from it"),
        ("problems.test.source=web", "r.yaml: problems.test.source: name where the problems come from: world, jsonl"),
        ("problems.test.meta=[gold]", "r.yaml: problems.test.meta: names the references' column 'gold'"),
        ("seed", "'seed': an override is key=value"),
        ("seed=[1", "'seed=.*' line 1: not YAML"),
        ("seed.x=1", "'seed.x=1': 'seed' is 0 in the recipe, not a mapping"),
    ],
)
def test_errors_name_the_key_and_the_remedy(small, tmp_path, override, message):
    path = write(tmp_path, {**small, "seed": 0, "references": {"source": "jsonl", "path": "x", "answer": "gold"}})
    with pytest.raises(PrmError, match=message):
        recipe.load(path, [override])


def test_gold_mixes_with_nothing(small, tmp_path):
    small["signals"]["gold"] = {}
    small["references"] = {"source": "jsonl", "path": "x"}
    with pytest.raises(PrmError, match="references: missing; the signal gold reads them"):
        recipe.load(write(tmp_path, {k: v for k, v in small.items() if k != "references"}))
    small["arms"]["gold"] = {"signals": {"gold": 1.0, "fake": 1.0}}
    with pytest.raises(PrmError, match="arms.gold.signals: gold is gold and mixes with no other signal"):
        recipe.load(write(tmp_path, small))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "a recipe is a mapping of sections"),
        ("name: [", "line 1: not YAML"),
        ("name: a\nname: b", "line 1: not YAML .the key 'name' is there twice"),
        ("name: a\nout: ${where}", r"out: \$\{where\} is not declared"),
    ],
)
def test_broken_files(tmp_path, text, message):
    with pytest.raises(PrmError, match=message):
        recipe.load(write(tmp_path, text))


def test_a_missing_recipe_lists_its_neighbours(tmp_path):
    write(tmp_path, "name: a")
    with pytest.raises(PrmError, match=r"no such recipe; there: .*r\.yaml"):
        recipe.load(tmp_path / "s.yaml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_every_committed_recipe_loads(path):
    """Each with the reader it is for; what a recipe leaves to the user is a pool's path here."""
    from prm import config, labelling, reasking
    from prm import given as step_labels
    from prm.roles import recipe as roles
    from prm.search import _recipe as search
    from prm.segmenters import _recipe as segmenter
    from prm.world import pretrain

    mapping = yaml.safe_load(path.read_text())
    given = [f"{name}=x.jsonl" for name, value in mapping.get("given", {}).items() if value is None]
    if "problems" in mapping:
        recipe.load(path, given)
    elif "repose" in mapping:
        reasking.load(str(path), given)
    elif "trust" in mapping:
        labelling.load(path)
    elif "after_error" in mapping:
        step_labels.load(str(path), "world", None)
    elif "methods" in mapping:
        search.load(str(path))
    elif "cluster" in mapping:
        roles.load(path, "x.jsonl")
    elif "corpus" in mapping:
        segmenter.load(path, "x.jsonl")
    else:
        config.build(pretrain.Config, mapping, path.name)


def test_a_run_of_another_version_says_what_to_do(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"recipe": {"rubric": 1}, "stages": {}}))
    with pytest.raises(PrmError, match="rubric: unknown key; .* give its `prm run` command again"):
        recipe.of_run(tmp_path)
    for damaged in ("", "[]", "{}"):
        (tmp_path / "run.json").write_text(damaged)
        with pytest.raises(PrmError, match="run.json: damaged .* give the same `prm run` command again"):
            recipe.of_run(tmp_path)
