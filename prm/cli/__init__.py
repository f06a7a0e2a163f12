"""The command line: its help and its arguments. What a verb does lies in `prm.verbs`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import prm
from prm import verbs
from prm.cli import judging, learning, reading
from prm.errors import PrmError

EXAMPLES = """\
examples:
  prm run recipes/demo.yaml                          the whole flow on the small world; give it again after a stop, it goes on
  prm run recipes/demo.yaml train.epochs=2 seed=1    with other values; what they do not change is not made again
  prm show runs/demo                                 what the run made: rows, rows rejected and why, seconds
  prm show runs/demo --who                           what the labels rest on: each key's coverage, reliability, agreement
  prm show runs/demo --problem world-2-0             one problem: each step with each signal's value, label and score
  prm show runs/demo --problem world-2-0 --html page.html    the same as a page: each token with KL flow, curl, RPI, the steps with roles
  prm label pool.jsonl -o labels.jsonl               step labels for samples you already have, without a model
  prm convert prm800k.jsonl --from prm800k --to trl -o trl.jsonl    step labels from one format to another
  prm train labelled.jsonl --backbone my-model -o runs/given --format trl    a PRM on step labels that you have
  prm score runs/demo solutions.jsonl --arm prm -o scores.jsonl
  prm rerank pool.jsonl --prm runs/demo --arm prm -o chosen.jsonl
  prm search problems.jsonl --prm runs/demo --arm prm --recipe recipes/search.yaml -o found.jsonl
  prm export runs/demo my-prm --arm prm              one checkpoint that transformers, vLLM, TRL, OpenRLHF and verl load
  prm serve runs/demo --arm prm --port 8000          the PRM behind HTTP, in the formats of vLLM and OpenRLHF
  prm segmenter corpus.jsonl -o runs/segmenter       where steps end in texts without delimiters, learned from a model's own dynamics
  prm roles corpus.jsonl -o runs/roles               what kinds of step there are in texts, found in a model's hidden states
  prm harvest corpus.jsonl --roles runs/roles -o runs/harvest    every text in steps with their roles, as a data set; goes on after a stop
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 with one line on stderr for what the user can mend."""
    given, rest = parser().parse_known_args(arguments)
    if rest and not ("overrides" in given and all("=" in text and not text.startswith("-") for text in rest)):
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        given.overrides += rest  # argparse stops collecting at an option
    try:
        given.verb(given)
    except PrmError as error:
        print(f"prm: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = (
            "what was finished is kept, the same command goes on"
            if given.verb in verbs.GO_ON
            else "nothing was written"
        )
        print(f"prm: stopped; {kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `prm show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="prm",
        description="Learn to judge reasoning steps without step labels or gold answers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"prm {prm.__version__}")
    made = top.add_subparsers(metavar="VERB", required=True)
    learned = (learning.run, learning.show, learning.label, learning.convert, learning.train)
    judged = (judging.score, judging.rerank, judging.search, judging.export, judging.serve)
    for add in (*learned, *judged, reading.segmenter, reading.roles, reading.harvest):
        add(made)
    return top
