"""Arguments of the verbs that make labels and PRMs, and show what was made."""

from __future__ import annotations

from prm import verbs
from prm.cli.arguments import add_verb, formats, labelled, out, overrides


def run(made) -> None:
    verb = add_verb(
        made,
        "run",
        verbs.run,
        "run a recipe, going on where an earlier run stopped",
        "prm run recipes/demo.yaml\nprm run recipes/demo.yaml sampling.samples=32 out=runs/demo32\n"
        "prm run recipes/demo.yaml --check",
    )
    verb.add_argument("recipe", help="a YAML file, see recipes/")
    overrides(verb, "dotted keys, YAML values: train.lr=1e-4")
    verb.add_argument(
        "--check", action="store_true", help="check all that can be checked without loading a model, then stop"
    )


def show(made) -> None:
    verb = add_verb(
        made,
        "show",
        verbs.show,
        "what a run made",
        "prm show runs/demo\nprm show runs/demo samples.test | head -3\nprm show runs/demo --problem world-2-0\n"
        "prm show runs/demo --problem world-2-0 --html problem.html\n"
        "prm show runs/demo labels.prm.train --who",
    )
    verb.add_argument("run", metavar="RUN", help="a run's folder")
    verb.add_argument(
        "stage",
        nargs="?",
        metavar="STAGE",
        help="print this stage's rows as JSON lines; names as `prm show RUN` prints them",
    )
    verb.add_argument(
        "--problem",
        metavar="ID",
        help="all that is known of one problem, its steps with each signal's value, label and score",
    )

    verb.add_argument(
        "--html",
        metavar="OUT",
        help="with --problem: write it as one HTML page (works offline) in which each token carries its traces (KL flow, curl, RPI, entropy, "
        "surprise), each step its boundary, role and scores",
    )
    verb.add_argument(
        "--model",
        metavar="FOLDER_OR_HUB_ID",
        help="with --html or --traces: the model that reads the samples (default: the one that the recipe's engine sampled from)",
    )
    verb.add_argument("--roles", metavar="FOLDER", help="with --html: saved roles, shown at every step")
    verb.add_argument(
        "--traces", action="store_true", help="with --problem: the mean of each trace over each step's tokens too"
    )
    verb.add_argument(
        "--who",
        action="store_true",
        help="who said what: for STAGE, or every stage of labels, each independence key's coverage, reliability (estimated without "
        "gold where the recipe says so: right|right is the share of right steps it calls right, right|wrong of wrong ones), agreement "
        "with the others, how often the label says otherwise (overruled), and what to beware of",
    )


def label(made) -> None:
    verb = add_verb(
        made,
        "label",
        verbs.label,
        "label the steps of samples you already have, without a model",
        'echo \'{"problem": "...", "samples": [{"text": "..."}, {"text": "..."}]}\' > pool.jsonl\n'
        "prm label pool.jsonl -o labels.jsonl",
    )
    verb.add_argument(
        "pool", metavar="POOL", help='JSONL(.gz): {"problem" or "question", "samples": [{"text"} or {"steps"}]}'
    )
    verb.add_argument(
        "--recipe", help="take segmenter, answers, signals and labels from this recipe (default recipes/label.yaml)"
    )
    out(
        verb,
        '{"problem_id", "problem", "sample", "steps", "values", "weights"}: the belief in [0, 1] that each step is right, null '
        "where nothing tells, and how far to trust it; a sample without text has a reason instead",
    )


def convert(made) -> None:
    verb = add_verb(
        made,
        "convert",
        verbs.convert,
        "step-labelled data from one format to another",
        "prm convert labels.jsonl --from labels --to trl -o trl.jsonl to.threshold=0.5\n"
        "prm convert phase2_train.jsonl --from prm800k --to labels -o labelled.jsonl from.neutral=null from.alternatives=true",
    )
    labelled(verb)
    verb.add_argument("--from", dest="source", required=True, metavar="FORMAT", help=f"its format: {formats()}")
    verb.add_argument("--to", dest="target", required=True, metavar="FORMAT", help=f"one of {formats(written=True)}")
    overrides(verb, "from.KEY=VALUE, to.KEY=VALUE: settings of the two formats (prm/formats)")
    out(verb, "rows of the format; trl's labels are true above to.threshold (default 0.5), null keeps soft labels")


def train(made) -> None:
    verb = add_verb(
        made,
        "train",
        verbs.train,
        "train a PRM on step labels that you have: by people, by other tools, or by `prm label`",
        "prm train labels.jsonl --backbone FOLDER_OR_HUB_ID -o runs/given\n"
        "prm train phase2_train.jsonl --backbone FOLDER_OR_HUB_ID -o runs/given --format prm800k format.neutral=null\n"
        "prm train trl.jsonl --backbone FOLDER_OR_HUB_ID -o runs/given --format trl after_error=drop train.wrong_weight=2.0",
    )
    labelled(verb)
    verb.add_argument("--backbone", required=True, metavar="MODEL", help="a folder or a hub id: causal or encoder")
    verb.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FOLDER",
        help="the PRM, with history.json: its losses, what was left out, and what it says of held-out problems; a new or empty folder, "
        "or that of the same call, which goes on where it was stopped",
    )
    verb.add_argument("--format", metavar="FORMAT", help=f"the data's format: {formats()}; default labels")
    verb.add_argument("--recipe", help="format, split, PRM and training (default recipes/train.yaml)")
    overrides(verb, "values of the recipe: train.lr=1e-4 train.evaluation.held_out=0.1 format.separator='\\n\\n'")
