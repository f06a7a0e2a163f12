"""The ablation: one tiny world from policy to numbers, and what five worlds' numbers become."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from eval.ablation import __main__ as ablation
from eval.ablation import summary, table, world
from prm import recipe
from prm.errors import PrmError

RECIPE = "recipes/ablation.yaml"


def made(seed: int, gain: float = 0.10) -> dict:
    """A world's measurements: 400 problems, majority right on 3 in 4, ours on more."""
    rng = np.random.default_rng(seed)
    majority = (rng.random(400) < 0.75).astype(float)
    better = np.maximum(majority, rng.random(400) < 4 * gain)
    best = np.maximum(better, rng.random(400) < 0.2)
    votes = {"majority": majority, "one sample": majority, "oracle": np.ones(400), "re-asked vote": better}
    arms = {"prm": better, "orm": majority, "gold": best, "ceiling": best, "prm over re-asked problems": best}
    quality = {"labels": {"random": 0.99, "systematic": 1.0, "precision": 0.98, "coverage": 0.8}, "cost": 12.0}
    rows = {name: {"vote": vote.tolist()} for name, vote in votes.items()}
    rows |= {name: {"vote": vote.tolist(), "bon": vote.tolist(), **quality} for name, vote in arms.items()}
    strata = {"systematic": (rng.random(400) < 0.3).tolist()}
    held_out = {"prm": {"random": 0.8, "systematic": 0.9}}
    costs = {"reask": 12.0, "reask, shared by all problems": 0.3, "mc_soft": 90.0}
    return {
        "seed": seed,
        "problems": 400,
        "samples": 4,
        "rollouts": 8,
        "rows": rows,
        "strata": strata,
        "held_out": held_out,
        "costs": costs,
        "tokens": {"samples": 80.0, "re-asked samples": 81.0},
        "warnings": {},
    }


def test_the_summary_keeps_its_contract():
    found = summary.summarise([made(seed) for seed in range(1, 6)])
    assert {"seeds", "problems", "majority", "oracle", "gold_vote", "reasked_vote", "gate", "rows"} <= found.keys()
    keys = {
        "vote",
        "vote_ci",
        "bon",
        "recovered",
        "auroc_random",
        "auroc_systematic",
        "precision",
        "coverage",
        "tokens_per_label",
    }
    assert all(keys <= row.keys() for row in found["rows"].values())
    ours = found["rows"]["prm"]
    assert found["gate"] == "improves" and 0 < ours["recovered"] < 1 == found["rows"]["ceiling"]["recovered"]
    assert ours["vote_ci"][0] < ours["vote"] < ours["vote_ci"][1]
    assert ours["vote"] - found["majority"] == pytest.approx(ours["gain"][0])
    assert found["rows"]["orm"]["recovered"] == pytest.approx(0)
    json.dumps(found, allow_nan=False)


def test_four_worlds_are_no_evidence():
    assert summary.summarise([made(seed) for seed in range(1, 5)])["gate"] == "no evidence of gain over voting"


def test_a_world_counts_once():
    with pytest.raises(PrmError, match="names a world twice"):
        ablation.main(["--seeds", "1", "1", "2", "3", "4"])


def test_what_the_tool_warned_of_is_told_with_whom_it_concerns():
    worlds = [made(seed) for seed in range(1, 6)]
    worlds[3]["warnings"] = {"signal.suspect.train": ["no other witness"], "signal.shared.train": ["no other witness"]}
    assert "The tool warned of shared, suspect: no other witness." in table.markdown(summary.summarise(worlds))


def test_a_row_of_some_worlds_is_compared_on_those():
    worlds = [made(seed) for seed in range(1, 6)]
    worlds[0]["rows"]["suspect"] = worlds[0]["rows"]["orm"]
    row = summary.summarise(worlds)["rows"]["suspect"]
    assert row["seeds"] == [1] and row["gain"] == [0, 0, 0]
    ours, majority = (np.mean(worlds[0]["rows"][name]["vote"]) for name in ("prm", "majority"))
    assert row["over_ours"][0] == pytest.approx(majority - ours) != 0


@pytest.mark.parametrize("name", ["ceiling", "orm", "prm", "prm over re-asked problems", "re-asked vote"])
def test_a_table_of_what_is_finished(name):
    worlds = [made(seed) for seed in range(1, 6)]
    del worlds[0]["rows"][name]
    found = summary.summarise(worlds)
    assert found["rows"][name]["seeds"] == [2, 3, 4, 5] and "nan" not in table.markdown(found)
    assert (found["gate"] == "improves") == (name not in ("orm", "prm")), "the gate wants both in five worlds"
    for one in worlds:
        one["rows"].pop(name, None)
    found = summary.summarise(worlds)
    assert name not in found["rows"] and "nan" not in table.markdown(found)


def test_the_table_has_a_line_a_row():
    found = summary.summarise([made(seed) for seed in range(1, 6)])
    first, words, strata, notes = table.markdown(found).split("\n\n")
    assert len(first.splitlines()) == 2 + len(found["rows"])
    assert "The gate says: **improves**" in words
    assert [line.split(" | ")[0] for line in strata.splitlines()[2:]] == [
        "| ask for a mis-taught fact (systematic errors)",
        "| ask for none (random errors)",
    ]
    assert "vote of 4" in first and "ours over the problems as they stand" in words
    assert "80 for its samples, 81 for as many re-asked" in notes
    assert "re-asking 12.0, Monte-Carlo with 8 rollouts 90.0: 0.13 of it" in notes


def test_controls_and_their_signals_can_be_left_out():
    whole = recipe.load(RECIPE)
    kept = world.without(whole, world.CONTROLS)
    assert not kept.arms.keys() & set(world.CONTROLS) and set(world.CONTROLS) <= whole.arms.keys()
    assert (
        not kept.signals.keys() & {"two_routes", "shared", "suspect"} and {"reask", "pairwise"} <= kept.signals.keys()
    )


def test_a_policy_is_trained_once(tmp_path, monkeypatch):
    plain = yaml.safe_load(Path("recipes/world-policy.yaml").read_text())
    (tmp_path / "policy.yaml").write_text(
        yaml.safe_dump({**plain, "examples": 128, "hidden": 32, "layers": 1, "intermediate": 32})
    )
    monkeypatch.setattr(world, "POLICY", tmp_path / "policy.yaml")
    card = world.policy_of(tmp_path / "policy", 3) / "world.json"
    before = card.stat().st_mtime_ns
    assert json.loads(card.read_text())["planted"]["world"] == 3
    world.policy_of(tmp_path / "policy", 3)
    assert card.stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The ablation's own recipe with little of everything, and two worlds whose policy is the shipped one."""
    folder = tmp_path_factory.mktemp("ablation")
    made = yaml.safe_load(Path(RECIPE).read_text().replace("1.5e-3", "0.0015"))
    for split in made["problems"].values():
        split["n"] = 12
    made["sampling"] |= {"samples": 4}
    made["signals"] = {
        name: made["signals"][name] for name in ("reask", "majority", "mc_soft", "mc_hard", "gold", "two_routes")
    }
    made["measured"], made["train"] = ["reask"], {**made["train"], "batch": 4, "epochs": 1}
    made["arms"] = {
        name: made["arms"][name]
        for name in ("prm", "gold", "ceiling", "orm", "seen", "mc_soft", "mc_hard", "two_routes")
    }
    for name in ("mc_soft", "mc_hard", "ceiling"):
        made["arms"][name]["train"] = {"epochs": 1}
    (folder / "ablation.yaml").write_text(yaml.safe_dump(made))
    for seed in (1, 2):
        policy = folder / f"out/seed-{seed}/policy"
        shutil.copytree("prm/world/policy", policy)
        card = json.loads((policy / "world.json").read_text())
        card["config"] |= {"out": str(policy), "world": seed, "seed": seed}
        (policy / "world.json").write_text(json.dumps(card))
    return folder


def test_small_worlds_from_samples_to_the_table(small, capsys):
    command = [str(small / "ablation.yaml"), "--out", str(small / "out"), "--seeds", "1", "2", "--controls", "1"]
    ablation.main(command)
    table_told = capsys.readouterr().out
    found = json.loads((small / "out/summary.json").read_text())
    assert found["seeds"] == [1, 2] and found["problems"] == 12 and found["gate"] == "no evidence of gain over voting"
    assert {"prm", "gold", "orm", "re-asked vote", "prm over re-asked problems"} <= found["rows"].keys()
    assert found["rows"]["two_routes"]["seeds"] == [1]
    assert found["rows"]["prm"]["tokens_per_label"] > 0 == found["rows"]["orm"]["tokens_per_label"]
    assert 0 < found["costs"]["reask, shared by all problems"] <= found["costs"]["reask"] < found["costs"]["mc_soft"]
    assert found["costs"]["mc_hard"] == found["costs"]["mc_soft"], "rollouts that two signals share cost both"
    assert found["rows"]["mc_hard"]["tokens_per_label"] == found["rows"]["mc_soft"]["tokens_per_label"] > 0
    assert "ours, over re-asked problems" in table_told


def test_so_far_takes_the_arms_that_are_finished(small):
    command = [str(small / "ablation.yaml"), "--out", str(small / "out"), "--seeds", "1", "2"]
    ablation.main([*command, "--controls", "1"])
    ablation.main([*command, "--controls", "2", "--so-far"])
    found = json.loads((small / "out/summary.json").read_text())
    assert found["rows"]["two_routes"]["seeds"] == [1] and found["rows"]["prm"]["seeds"] == [1, 2]
    assert "(1 world)" in table.markdown(found)


def test_a_world_that_fails_is_named_and_the_others_are_kept(small):
    out = small / "broken"
    for seed in (1, 2):
        shutil.copytree(small / f"out/seed-{seed}/policy", out / f"seed-{seed}/policy")
        card = json.loads((out / f"seed-{seed}/policy/world.json").read_text())
        card["config"]["out"] = str(out / f"seed-{seed}/policy")
        (out / f"seed-{seed}/policy/world.json").write_text(json.dumps(card))
    (out / "seed-2/policy/model.safetensors").unlink()
    with pytest.raises(PrmError, match=r"worlds \[2\] failed"):
        ablation.main([str(small / "ablation.yaml"), "--out", str(out), "--seeds", "1", "2", "--controls", "0"])
    assert "no *.safetensors" in (out / "seed-2/log.txt").read_text()
    assert (out / "seed-1/measured.json").exists() and not (out / "summary.json").exists()


def test_arguments_that_cannot_work_are_told_before_anything_is_made(tmp_path):
    with pytest.raises(PrmError, match="no such recipe"):
        ablation.main([str(tmp_path / "none.yaml"), "--out", str(tmp_path / "out")])
    with pytest.raises(PrmError, match="--at-once: 0 is not positive"):
        ablation.main([RECIPE, "--at-once", "0", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(PrmError, match="--out: .*file"):
        ablation.main([RECIPE, "--out", str(tmp_path / "file")])
