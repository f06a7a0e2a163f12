"""Arguments of the verbs that read a model's dynamics: where steps end, and what they are."""

from __future__ import annotations

from prm import verbs
from prm.cli.arguments import add_verb, corpus, overrides


def segmenter(made) -> None:
    verb = add_verb(
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
    corpus(verb)
    verb.add_argument("--recipe", help="model, layers, form and the corpus' columns (default recipes/segmenter.yaml)")
    overrides(verb, "values of the recipe: corpus.text=solution segmenter.form=shown segmenter.layers=[6]")
    verb.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FOLDER",
        help="where it is saved: what a recipe names as segmenter.path, together with its model, layers and form",
    )


def roles(made) -> None:
    verb = add_verb(
        made,
        "roles",
        verbs.roles,
        "find the roles of steps in a corpus, by clustering a model's hidden states",
        "prm roles corpus.jsonl -o runs/roles\n"
        "prm roles corpus.jsonl -o runs/roles corpus.prompt=problem reader.model=FOLDER_OR_HUB_ID cluster.roles=6\n"
        "prm roles corpus.parquet -o runs/roles --recipe recipes/roles.yaml corpus.limit=500",
    )
    corpus(verb)
    verb.add_argument(
        "--recipe", help="model, layer, segmenter, clusters and the corpus' columns (default recipes/roles.yaml)"
    )
    overrides(verb, "values of the recipe: corpus.text=solution reader.layers=[6]")
    verb.add_argument("-o", "--out", required=True, metavar="FOLDER", help="where the roles are saved")


def harvest(made) -> None:
    verb = add_verb(
        made,
        "harvest",
        verbs.harvest,
        "label a corpus with roles: its segments, each with role, confidence and centre; going on where an earlier run stopped",
        "prm harvest corpus.jsonl --roles runs/roles -o runs/harvest\n"
        "prm harvest corpus.parquet --roles runs/roles -o runs/harvest corpus.prompt=problem corpus.limit=1000 shard=100",
    )
    corpus(verb)
    verb.add_argument("--roles", required=True, metavar="FOLDER", help="roles that `prm roles` saved")
    overrides(
        verb, "corpus.text=solution (columns and rows, as in recipes/roles.yaml), shard=500 (documents of one file)"
    )
    verb.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="OUT",
        help="folder of Parquet files with a data card, which datasets.load_dataset reads: document, segment, start, end, text, role, "
        "role_name, confidence, centre, tokens; a document that has no segments is a row with a reason",
    )
