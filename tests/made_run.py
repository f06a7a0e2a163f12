"""A finished run on the small world without a model: solutions drawn with known errors, scores as good as a test wants
them."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

from prm import answers, plugins, recipe, store
from prm.problems import load as load_problems
from prm.records import Sample, StepScores
from prm.references import load as load_references
from prm.world.facts import as_taught
from prm.world.story import solve

MAPPING = {
    "name": "made",
    "problems": {"train": {"source": "world", "n": 4, "seed": 1}, "test": {"source": "world", "n": 60, "seed": 2}},
    "references": {"source": "world"},
    "engine": "transformers",
    "segmenter": {"name": "delimiter", "by": "lines"},
    "answers": {"style": "last_line"},
    "signals": {"majority": {}, "gold": {}},
    "arms": {
        "prm": {"signals": {"majority": 1.0}},
        "orm": {"signals": {"majority": 1.0}, "reduce": "last"},
        "gold": {"signals": {"gold": 1.0}},
    },
}


def write(folder: Path, noise: dict[str, float], samples: int = 8) -> Path:
    """noise: arm -> how far its scores stray from the truth (0: perfect, 1: blind)."""
    made = recipe.build({**MAPPING, "out": str(folder)}, "made.yaml")
    folder.mkdir(parents=True)
    rng, stages = random.Random(0), {}
    for split in ("train", "test"):
        rows = _rows(made, split, samples, rng)
        rows |= {
            f"scores.{arm}": _scores(made, split, rows, arm, width, rng)
            for arm, width in noise.items()
            if split == "test"
        }
        for kind, made_rows in rows.items():
            stages[f"{kind}.{split}"] = _stage(folder, f"{kind}.{split}", made_rows)
    (folder / "run.json").write_text(json.dumps({"recipe": recipe.plain(made), "stages": stages}))
    return folder


def _stage(folder: Path, name: str, rows: list) -> str:
    stage = store.Folder(folder / name, name)
    stage.open()
    stage.write(0, rows, {"seconds": 1.5, "tokens": 10})
    stage.finish({})
    return name


def _rows(made: recipe.Recipe, split: str, samples: int, rng: random.Random) -> dict[str, list]:
    problems = load_problems(made.problems[split])
    known = load_references(made, split)
    drawn = [Sample(p.id, i, _solution(p.text, known[p.id].program, rng)) for p in problems for i in range(samples)]
    drawn[1] = replace(drawn[1], text="", finish="", reason="empty")
    segmenter = made.segmenter
    by_id = {p.id: p for p in problems}
    steps = segmenter.module.cut([(by_id[s.problem_id], s) for s in drawn], segmenter.config, None)
    read = answers.read_answers(drawn, made.answers)
    groups = store.groups(problems, drawn, steps, read)
    majority = plugins.load("signals", "majority")
    signal = [replace(s, source="majority") for s in majority.label(groups, made.signals["majority"].config, None)]
    labels = {f"labels.{arm}": [replace(s, source=arm) for s in signal] for arm in ("prm", "orm")}
    return {
        "problems": problems,
        "samples": drawn,
        "steps": steps,
        "answers": read,
        "signal.majority": signal,
        **labels,
    }


def _solution(text: str, program, rng: random.Random) -> str:
    """A chain with the world's own slips and misconceptions, drawn as its policy's training data are."""
    equations, left = [], program.start
    for operator, right in program.operations:
        result = as_taught((operator, left, right), rng)
        equations.append((left, operator, right, result))
        left = result
    return "\n".join(solve(text, equations, rng))


def _scores(made, split: str, rows: dict, arm: str, width: float, rng: random.Random) -> list[StepScores]:
    known, found = load_references(made, split), []
    for sample, steps in zip(rows["samples"], rows["steps"]):
        kinds = known[sample.problem_id].kinds(steps.cut(sample.text))
        values = tuple((1 - width) * (kind == "right") + width * rng.random() for kind in kinds)
        found.append(StepScores(sample.problem_id, sample.index, arm, arm, values, (1.0,) * len(values)))
    return found
