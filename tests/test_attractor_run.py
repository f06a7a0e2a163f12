"""The attractor segmenter inside a run: fitted once, on the training samples, carried along by the PRM, and named by a recipe as a folder."""

import json
import shutil

import pytest

from prm import cli, pipeline, recipe, scorefile, show, store
from prm.dynamics.reader import Reader
from prm.errors import PrmError
from prm.segmenters import attractor
from prm.segmenters._learned import Learned
from prm.signals import Context

ATTRACTOR = {"name": "attractor", "model": "world-unbroken", "layers": [1], "form": "expected"}


def mapping(out, segmenter=ATTRACTOR) -> dict:
    """A recipe for a policy that writes no line breaks."""
    return {
        "name": "unbroken",
        "out": str(out),
        "shard": 10,
        "problems": {"train": {"source": "world", "n": 20, "seed": 1}, "test": {"source": "world", "n": 10, "seed": 2}},
        "engine": {"name": "transformers", "model": "world-unbroken", "template": "{problem}\n"},
        "sampling": {"samples": 4, "max_tokens": 112},
        "segmenter": segmenter,
        "answers": {"style": "last_number"},
        "signals": {"majority": {}},
        "arms": {"prm": {"signals": {"majority": 1.0}}},
        "prm": {"backbone": "world-unbroken", "template": "{problem}\n", "max_tokens": 256, "lora": None},
        "train": {"epochs": 1, "batch": 16},
    }


def folders(loaded) -> set[str]:
    return {p.name for p in loaded.folder.iterdir() if p.is_dir()}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    loaded = recipe.build(mapping(tmp_path_factory.mktemp("attractor") / "run"), "attractor.yaml")
    pipeline.run(loaded)
    return loaded


def test_the_segmenter_is_fitted_once_on_all_splits_but_test(done):
    run = store.Run(done.folder)
    stages = run.stages()
    assert stages.index("samples.test") < stages.index("segmenter") < stages.index("steps.train")
    folder = run.folder("segmenter")
    parents = folder.manifest()["parents"]
    assert len(parents) == 2 and all(p.split("-")[0] in ("problems.train", "samples.train") for p in parents)
    learned = Learned.load(folder.path / "model")
    fitted = attractor.with_path(done.segmenter.config, folder.path / "model")
    for split in ("train", "test"):
        by_id = {p.id: p for p in run.rows(f"problems.{split}")}
        samples = list(run.rows(f"samples.{split}"))
        again = attractor.cut([(by_id[s.problem_id], s) for s in samples], fitted, Context())
        assert again == list(run.rows(f"steps.{split}"))
    assert learned.target == "expected" and sum(len(s.ends) > 1 for s in again) > len(again) / 2
    with pytest.raises(PrmError, match="segmenter: a model, not rows; it lies in "):
        list(show.rows(run, "segmenter", None))


def test_a_second_run_makes_nothing_and_other_settings_fit_again(done, monkeypatch):
    before = folders(done)
    with monkeypatch.context() as patch:
        patch.setattr(attractor, "fit", lambda *given: pytest.fail("fitted again"))
        patch.setattr(Reader, "open", lambda config: pytest.fail("a model was loaded"))
        pipeline.run(done)
        assert all("[cached]" in line for line in pipeline.checked(done).splitlines()[:-1])
    assert folders(done) == before and not pipeline.missing(done)
    other = recipe.build(mapping(done.folder, {**ATTRACTOR, "rate": 0.1}), "attractor.yaml")
    assert {"segmenter", "steps.train", "steps.test", "prm.prm"} <= pipeline.missing(other)
    assert not {"samples.train", "answers.train"} & pipeline.missing(other)


def score(prm, place) -> list[dict]:
    rows = [{"problem": "Mia has 3 coins.", "text": "So 3 + 4 = 7, Now 7 - 2 = 5, The answer is 5"}]
    (place / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli.main(["score", str(prm), str(place / "in.jsonl"), "-o", str(place / "out.jsonl")]) == 0
    return [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]


def test_a_prm_taken_elsewhere_cuts_by_the_segmenter_inside_it(done, tmp_path, monkeypatch):
    shutil.copytree(store.Run(done.folder).model("prm"), tmp_path / "mine")
    assert json.loads((tmp_path / "mine" / "usage.json").read_text())["segmenter"]["path"] == "segmenter"
    monkeypatch.chdir(tmp_path)
    opened, load = [], Learned.load
    monkeypatch.setattr(Learned, "load", classmethod(lambda cls, path: opened.append(str(path)) or load(path)))
    [row] = score("mine", tmp_path)
    assert len(row["steps"]) == len(row["scores"]) > 1 and "".join(row["steps"]).endswith("The answer is 5")
    assert set(opened) == {"mine/segmenter"}
    shutil.rmtree(tmp_path / "mine" / "segmenter")
    with pytest.raises(PrmError, match="no fitted segmenter"):
        scorefile.score_file(str(tmp_path / "in.jsonl"), tmp_path / "mine", str(tmp_path / "x.jsonl"))


def test_a_recipe_names_a_fitted_segmenter_as_a_folder_and_its_prm_carries_it(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(store.Run(done.folder).folder("segmenter").path / "model", "fitted")
    named = recipe.build(mapping("run", {**ATTRACTOR, "path": "fitted"}), "attractor.yaml")
    pipeline.run(named)
    run, before = store.Run("run"), store.Run(done.folder)
    assert "segmenter" not in run.stages()
    assert list(run.rows("steps.test")) == list(before.rows("steps.test"))
    shutil.move("fitted", "elsewhere")  # by its content, not by its place
    moved = recipe.build(mapping("run", {**ATTRACTOR, "path": "elsewhere"}), "attractor.yaml")
    assert not pipeline.missing(moved)
    shutil.rmtree("elsewhere")
    assert score(run.model("prm"), tmp_path) == score(before.model("prm"), tmp_path)
    with pytest.raises(PrmError, match="segmenter.path: elsewhere/attractor.json: no fitted segmenter"):
        pipeline.run(moved)


@pytest.mark.parametrize("whole", [True, False])
def test_prm_label_says_what_to_do_about_a_segmenter_that_is_not_fitted(whole, done, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Reader, "open", lambda config: pytest.fail("a model was loaded"))
    pool = [{"problem": "1 + 1?", "samples": [{"text": "So 2"}, {"text": "So 3"}]}]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool))
    made = mapping(tmp_path / "run") if whole else {"segmenter": ATTRACTOR, "signals": {"majority": {}}, "trust": {}}
    (tmp_path / "r.yaml").write_text(json.dumps(made))  # JSON is YAML
    words = ["label", str(tmp_path / "pool.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    assert cli.main([*words, "--recipe", str(tmp_path / "r.yaml")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("prm: error: segmenter.path: missing; form expected is fitted first: `prm run` does so")
    assert told.count("\n") == 1 and not (tmp_path / "out.jsonl").exists()
    if not whole:
        return
    fitted = store.Run(done.folder).folder("segmenter").path / "model"
    monkeypatch.undo()
    made["segmenter"] = {**ATTRACTOR, "path": str(fitted)}
    (tmp_path / "r.yaml").write_text(json.dumps(made))
    assert cli.main([*words, "--recipe", str(tmp_path / "r.yaml")]) == 0
    assert [json.loads(line)["steps"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        ["So 2"],
        ["So 3"],
    ]
