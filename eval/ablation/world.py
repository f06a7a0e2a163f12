"""One world of the ablation: facts, policy, problems and PRMs all drawn anew by its seed.

    runs/ablation/seed-3/policy      trained by prm.world.pretrain
    runs/ablation/seed-3/run         a run of the recipe with that policy as engine and backbone

Both are kept: what is there is not made again, and a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import yaml

from prm import pipeline, recipe
from prm.config import build
from prm.errors import PrmError
from prm.world import pretrain

POLICY = Path("recipes/world-policy.yaml")  # the shipped policy's training, for other seeds

# Arms beside the claim, which say what one choice does: worse routes, our dynamic weights, steps after an error dropped.
CONTROLS = ("two_routes", "shared", "suspect", "soft", "ttrl_soft", "mc_drop", "pairwise", "filled")


def make(path: Path, out: Path, seed: int, controls: bool) -> Path:
    """The finished run's folder. controls: with the arms CONTROLS."""
    folder = out / f"seed-{seed}"
    loaded = recipe.load(path, overrides(folder, policy_of(folder / "policy", seed), seed))
    pipeline.run(loaded if controls else without(loaded, CONTROLS))
    return folder / "run"


def so_far(path: Path, out: Path, seed: int) -> Path:
    """The run's folder, of those arms alone whose PRM has scored the test split already; nothing is trained. Raises PrmError if none has."""
    folder = out / f"seed-{seed}"
    if not (folder / "policy" / "world.json").exists():
        raise PrmError(f"{folder}: this world has no policy yet; without --so-far the same command trains it")
    loaded = recipe.load(path, overrides(folder, folder / "policy", seed))
    missing = pipeline.missing(loaded)
    pipeline.run(without(loaded, [arm for arm in loaded.arms if missing & {f"prm.{arm}", f"scores.{arm}.test"}]))
    return folder / "run"


def without(loaded: recipe.Recipe, arms: Collection[str]) -> recipe.Recipe:
    """The recipe without some arms, and without the signals and splits that only they use."""
    kept = {name: arm for name, arm in loaded.arms.items() if name not in arms}
    used = {signal for arm in kept.values() for signal in arm.signals} | set(loaded.signals_of("test"))
    splits = {"train", "test"} | {arm.problems for arm in kept.values()}
    repose = loaded.repose and replace(loaded.repose, arms=tuple(name for name in loaded.repose.arms if name in kept))
    return replace(
        loaded,
        arms=kept,
        repose=repose,
        signals={name: signal for name, signal in loaded.signals.items() if name in used},
        problems={name: source for name, source in loaded.problems.items() if name in splits},
    )


def overrides(folder: Path, policy: Path, seed: int) -> list[str]:
    """What makes the recipe this world's: its policy, its mis-taught facts, problems and samples that no other world has."""
    made = [f"out={folder / 'run'}", f"seed={seed}", f"sampling.seed={seed}"]
    made += [f"engine.model={policy}", f"prm.backbone={policy}"]
    for number, split in enumerate(("train", "seen", "test"), 1):
        made += [f"problems.{split}.world={seed}", f"problems.{split}.seed={100 * seed + number}"]
    return made


def policy_of(folder: Path, seed: int) -> Path:
    shipped = build(pretrain.Config, yaml.safe_load(POLICY.read_text()), str(POLICY))
    config = replace(shipped, out=str(folder), world=seed, seed=seed)
    card = folder / "world.json"  # written last
    if not card.exists() or build(pretrain.Config, json.loads(card.read_text())["config"], f"{card}: config") != config:
        pretrain.train(config)
    return folder
