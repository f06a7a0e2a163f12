"""The command line: its help and its arguments. What a verb does lies in `verbs`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import prm
from prm import verbs
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

_FORMATS = "labels (ours), trl, prm800k, math_shepherd, processbench"


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

    run = _verb(
        made,
        "run",
        verbs.run,
        "run a recipe, going on where an earlier run stopped",
        "prm run recipes/demo.yaml\nprm run recipes/demo.yaml sampling.samples=32 out=runs/demo32\n"
        "prm run recipes/demo.yaml --check",
    )
    run.add_argument("recipe", help="a YAML file, see recipes/")
    _overrides(run, "dotted keys, YAML values: train.lr=1e-4")
    run.add_argument(
        "--check", action="store_true", help="check all that can be checked without loading a model, then stop"
    )

    show = _verb(
        made,
        "show",
        verbs.show,
        "what a run made",
        "prm show runs/demo\nprm show runs/demo samples.test | head -3\nprm show runs/demo --problem world-2-0\n"
        "prm show runs/demo --problem world-2-0 --html problem.html\n"
        "prm show runs/demo labels.prm.train --who",
    )
    show.add_argument("run", metavar="RUN", help="a run's folder")
    show.add_argument(
        "stage",
        nargs="?",
        metavar="STAGE",
        help="print this stage's rows as JSON lines; names as `prm show RUN` prints them",
    )
    show.add_argument(
        "--problem",
        metavar="ID",
        help="all that is known of one problem, its steps with each signal's value, label and score",
    )

    show.add_argument(
        "--html",
        metavar="OUT",
        help="with --problem: write it as one HTML page (works offline) in which each token carries its traces (KL flow, curl, RPI, entropy, "
        "surprise), each step its boundary, role and scores",
    )
    show.add_argument(
        "--model",
        metavar="FOLDER_OR_HUB_ID",
        help="with --html or --traces: the model that reads the samples (default: the one that the recipe's engine sampled from)",
    )
    show.add_argument("--roles", metavar="FOLDER", help="with --html: saved roles, shown at every step")
    show.add_argument(
        "--traces", action="store_true", help="with --problem: the mean of each trace over each step's tokens too"
    )
    show.add_argument(
        "--who",
        action="store_true",
        help="who said what: for STAGE, or every stage of labels, each independence key's coverage, reliability (estimated without "
        "gold where the recipe says so: right|right is the share of right steps it calls right, right|wrong of wrong ones), agreement "
        "with the others, how often the label says otherwise (overruled), and what to beware of",
    )

    label = _verb(
        made,
        "label",
        verbs.label,
        "label the steps of samples you already have, without a model",
        'echo \'{"problem": "...", "samples": [{"text": "..."}, {"text": "..."}]}\' > pool.jsonl\n'
        "prm label pool.jsonl -o labels.jsonl",
    )
    label.add_argument(
        "pool", metavar="POOL", help='JSONL(.gz): {"problem" or "question", "samples": [{"text"} or {"steps"}]}'
    )
    label.add_argument(
        "--recipe", help="take segmenter, answers, signals and labels from this recipe (default recipes/label.yaml)"
    )
    _out(
        label,
        '{"problem_id", "problem", "sample", "steps", "values", "weights"}: the belief in [0, 1] that each step is right, null '
        "where nothing tells, and how far to trust it; a sample without text has a reason instead",
    )

    _convert(made)
    _train(made)
    _score(made)

    rerank = _verb(
        made,
        "rerank",
        verbs.rerank,
        "choose the best of each problem's samples, with a trained PRM or by checks of the texts alone",
        "prm rerank pool.jsonl --method checked-vote -o chosen.jsonl\n"
        "prm rerank pool.jsonl --prm runs/demo --arm prm -o chosen.jsonl\n"
        "prm rerank pool.jsonl --prm my-prm --method weighted-vote --reduce min -o chosen.jsonl\n"
        "prm rerank pool.jsonl --method reasked-vote --recipe recipes/reasked.yaml model=FOLDER_OR_HUB_ID -o answers.jsonl",
    )
    rerank.add_argument(
        "pool", metavar="POOL", help='JSONL(.gz): {"problem" or "question", "samples": [{"text"} or {"steps"}]}'
    )
    _overrides(rerank, "with --recipe: values of it, such as model=... or sampling.temperature=0.7")
    _prm(rerank, required=False)
    rerank.add_argument(
        "--method",
        choices=["best-of-n", "weighted-vote", "checked-vote", "reasked-vote"],
        default="best-of-n",
        help="the sample with the best score, or the answer whose samples' scores add up to most (default best-of-n); "
        "checked-vote needs no PRM: the vote, in which false equations and answers of a form not asked for count little; "
        "reasked-vote asks each problem again in other words, as often as it has samples, and votes over those, weighted by "
        "the PRM if one is given: needs --recipe",
    )
    rerank.add_argument(
        "--recipe", help="reasked-vote: whose engine is asked, and how problems are put; recipes/reasked.yaml"
    )
    rerank.add_argument(
        "--reduce",
        help="step scores -> one score: min, product, mean, geometric_mean, last (default: the one its recipe names)",
    )
    _out(
        rerank,
        '{"problem_id", "choice", "text", "score", "reason", "values", "reasons"}: choice counts from 0, null with a reason '
        "where nothing could be chosen; values and reasons are the samples'; of reasked-vote "
        '{"problem_id", "answer", "score", "reason", "answers", "scores"}',
    )
    _search(made)
    _export(made)
    _serve(made)

    segmenter = _verb(
        made,
        "segmenter",
        verbs.segmenter,
        "fit a segmenter on a corpus, without labels: it cuts where a model's own dynamics say that a step ends",
        "prm segmenter corpus.jsonl -o runs/segmenter\n"
        "prm segmenter corpus.jsonl -o runs/segmenter corpus.prompt=problem segmenter.form=shown segmenter.shown.by=lines\n"
        "prm segmenter corpus.parquet -o runs/segmenter --recipe recipes/segmenter.yaml segmenter.model=FOLDER_OR_HUB_ID "
        "segmenter.rate=0.1\n"
        "prm run recipes/demo.yaml 'segmenter={name: attractor, layers: [1], path: runs/segmenter}'",
    )
    _corpus(segmenter)
    segmenter.add_argument(
        "--recipe", help="model, layers, form and the corpus' columns (default recipes/segmenter.yaml)"
    )
    _overrides(segmenter, "values of the recipe: corpus.text=solution segmenter.form=shown segmenter.layers=[6]")
    segmenter.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FOLDER",
        help="where it is saved: what a recipe names as segmenter.path, together with its model, layers and form",
    )

    roles = _verb(
        made,
        "roles",
        verbs.roles,
        "find the roles of steps in a corpus, by clustering a model's hidden states",
        "prm roles corpus.jsonl -o runs/roles\n"
        "prm roles corpus.jsonl -o runs/roles corpus.prompt=problem reader.model=FOLDER_OR_HUB_ID cluster.roles=6\n"
        "prm roles corpus.parquet -o runs/roles --recipe recipes/roles.yaml corpus.limit=500",
    )
    _corpus(roles)
    roles.add_argument(
        "--recipe", help="model, layer, segmenter, clusters and the corpus' columns (default recipes/roles.yaml)"
    )
    _overrides(roles, "values of the recipe: corpus.text=solution reader.layers=[6]")
    roles.add_argument("-o", "--out", required=True, metavar="FOLDER", help="where the roles are saved")

    harvest = _verb(
        made,
        "harvest",
        verbs.harvest,
        "label a corpus with roles: its segments, each with role, confidence and centre; going on where an earlier run stopped",
        "prm harvest corpus.jsonl --roles runs/roles -o runs/harvest\n"
        "prm harvest corpus.parquet --roles runs/roles -o runs/harvest corpus.prompt=problem corpus.limit=1000 shard=100",
    )
    _corpus(harvest)
    harvest.add_argument("--roles", required=True, metavar="FOLDER", help="roles that `prm roles` saved")
    _overrides(
        harvest, "corpus.text=solution (columns and rows, as in recipes/roles.yaml), shard=500 (documents of one file)"
    )
    harvest.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="OUT",
        help="folder of Parquet files with a data card, which datasets.load_dataset reads: document, segment, start, end, text, role, "
        "role_name, confidence, centre, tokens; a document that has no segments is a row with a reason",
    )
    return top


def _verb(made, name: str, function, what: str, example: str) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {line}" for line in example.splitlines())
    verb = made.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(verb=function)
    return verb


def _corpus(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "corpus",
        metavar="CORPUS",
        help="JSONL(.gz) or Parquet file, folder of data files, or a data set's hub id, read as a stream",
    )


def _overrides(verb: argparse.ArgumentParser, what: str) -> None:
    verb.add_argument("overrides", nargs="*", metavar="key=value", help=what)


def _prm(verb: argparse.ArgumentParser, required: bool = True) -> None:
    verb.add_argument("--prm", required=required, metavar="FOLDER", help="a PRM's folder, or a run's")
    _arm(verb)


def _arm(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--arm", help="which PRM of a run's folder, an arm of its recipe; needed where it has several")


def _out(verb: argparse.ArgumentParser, row: str) -> None:
    verb.add_argument("-o", "--out", required=True, metavar="OUT", help=f"JSONL(.gz) to write: {row}")


def _convert(made) -> None:
    verb = _verb(
        made,
        "convert",
        verbs.convert,
        "step-labelled data from one format to another",
        "prm convert labels.jsonl --from labels --to trl -o trl.jsonl to.threshold=0.5\n"
        "prm convert phase2_train.jsonl --from prm800k --to labels -o labelled.jsonl from.neutral=null from.alternatives=true",
    )
    _labelled(verb)
    verb.add_argument("--from", dest="source", required=True, metavar="FORMAT", help=f"its format: {_FORMATS}")
    verb.add_argument("--to", dest="target", required=True, metavar="FORMAT", help="labels or trl")
    _overrides(verb, "from.KEY=VALUE, to.KEY=VALUE: settings of the two formats (prm/formats)")
    _out(verb, "rows of the format; trl's labels are true above to.threshold (default 0.5), null keeps soft labels")


def _train(made) -> None:
    verb = _verb(
        made,
        "train",
        verbs.train,
        "train a PRM on step labels that you have: by people, by other tools, or by `prm label`",
        "prm train labels.jsonl --backbone FOLDER_OR_HUB_ID -o runs/given\n"
        "prm train phase2_train.jsonl --backbone FOLDER_OR_HUB_ID -o runs/given --format prm800k format.neutral=null\n"
        "prm train trl.jsonl --backbone FOLDER_OR_HUB_ID -o runs/given --format trl after_error=drop train.wrong_weight=2.0",
    )
    _labelled(verb)
    verb.add_argument("--backbone", required=True, metavar="MODEL", help="a folder or a hub id: causal or encoder")
    verb.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FOLDER",
        help="the PRM, with heldout.json: what it says of held-out problems",
    )
    verb.add_argument("--format", metavar="FORMAT", help=f"the data's format: {_FORMATS}; default labels")
    verb.add_argument("--recipe", help="format, split, PRM and training (default recipes/train.yaml)")
    _overrides(verb, "values of the recipe: train.lr=1e-4 heldout=0.05 format.separator='\\n\\n'")


def _score(made) -> None:
    verb = _verb(
        made,
        "score",
        verbs.score,
        "score the steps of solutions with a trained PRM",
        "prm score runs/demo solutions.jsonl --arm prm -o scores.jsonl\n"
        "prm score my-prm processbench.jsonl --separator '\\n\\n' -o scores.jsonl",
    )
    verb.add_argument("model", metavar="MODEL", help="a PRM's folder, or a run's")
    verb.add_argument(
        "solutions",
        metavar="SOLUTIONS",
        help='JSONL(.gz), read as a stream: {"problem" or "question", "steps": [..]} or {"problem", "text"}; '
        "steps keep their line breaks, joined they are the solution",
    )
    _arm(verb)
    verb.add_argument(
        "--separator",
        default="",
        metavar="TEXT",
        help="what stood between the steps of rows that do not show it, '\\n\\n' for ProcessBench (default: nothing)",
    )
    _out(
        verb,
        '{"id", "scores"}, a row each, in order: the belief in [0, 1] that each step is right; "steps" too where the row brought '
        'a text; "reason" where it cannot be scored. id: the row\'s id or problem_id, else its line',
    )


def _labelled(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "data",
        metavar="DATA",
        help="step-labelled rows: a JSONL(.gz) or Parquet file, folder of data files, or a data set's hub id",
    )


def _search(made) -> None:
    verb = _verb(
        made,
        "search",
        verbs.search,
        "solve problems by search: a model's steps, chosen by a trained PRM while they are drawn, at a fixed number of tokens",
        "prm search problems.jsonl --prm runs/demo --arm prm --recipe recipes/search.yaml -o found.jsonl\n"
        "prm search problems.jsonl --prm runs/demo --arm prm --recipe recipes/search.yaml method=tree search.budget=392 -o found.jsonl",
    )
    verb.add_argument("problems", metavar="PROBLEMS", help='JSONL(.gz): {"problem" or "question", "problem_id"?}')
    _prm(verb)
    verb.add_argument("--recipe", required=True, help="engine, method and its settings: recipes/search.yaml")
    _overrides(verb, "values of the recipe: method=dvts search.budget=2048 methods.beam.width=8 engine.model=...")
    _out(
        verb,
        '{"problem_id", "answer", "solution", "score", "tokens", "reason"}: tokens, all that were drawn for the problem; answer null with a '
        "reason where none was found",
    )


def _export(made) -> None:
    verb = _verb(
        made,
        "export",
        verbs.export,
        "write a PRM as one checkpoint that transformers, vLLM, TRL, OpenRLHF and verl load",
        "prm export runs/demo my-prm --arm prm\nprm export my-trained my-prm --dtype bfloat16",
    )
    verb.add_argument("model", metavar="MODEL", help="a PRM's folder, or a run's")
    verb.add_argument("out", metavar="DIR", help="folder to write: weights with LoRA merged, tokenizer, README.md")
    _arm(verb)
    verb.add_argument("--dtype", help="of the weights written: float32 or bfloat16 (default: the backbone's)")


def _serve(made) -> None:
    verb = _verb(
        made,
        "serve",
        verbs.serve,
        "answer scoring requests over HTTP: vLLM's /pooling and /classify, OpenRLHF's remote reward, a plain /score",
        "prm serve runs/demo --arm prm --port 8000\n"
        'curl localhost:8000/score -d \'{"rows": [{"problem": "...", "steps": ["...\\n", "..."]}]}\'\n'
        "prm serve my-prm --port 8000 --reduce min --prompt 'User: {problem}\\nAssistant:'",
    )
    verb.add_argument("model", metavar="MODEL", help="a PRM's folder, an export, or a run's folder")
    _arm(verb)
    verb.add_argument("--port", type=int, required=True, help="0 takes any that is free and says which")
    verb.add_argument("--host", default="127.0.0.1", help="0.0.0.0 answers other machines too (default 127.0.0.1)")
    verb.add_argument("--reduce", help="/get_reward: step scores -> one: min, product, mean, geometric_mean, last")
    verb.add_argument(
        "--prompt",
        default="{problem}",
        help="/get_reward: the form of the policy's prompts, with {problem} where the problem stands (default: it is all)",
    )
    verb.add_argument(
        "--unscored", type=float, metavar="REWARD", help="/get_reward: for what cannot be scored (default: null)"
    )
