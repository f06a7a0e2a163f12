"""`prm roles`: a recipe and a corpus -> a folder of roles, and what is shown of them. See recipes/roles.yaml."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from prm import config as configs
from prm import corpus, plugins, recipefile, store
from prm.progress import progress, say
from prm.roles import fit
from prm.roles.model import Roles

SPAN_CHARS = 100


@dataclass(frozen=True, kw_only=True)
class Recipe(fit.Config):
    """corpus: what the roles are fitted on, all of it in memory: its `limit` bounds that."""

    corpus: corpus.Config


def load(path: str | Path | None, corpus_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at `path` (None: recipes/roles.yaml) for a corpus. Raises PrmError, before anything is loaded, for whatever is wrong in it."""
    path = Path(path) if path is not None else recipefile.shipped("roles.yaml")
    made = configs.build(Recipe, corpus.named(recipefile.read(path, overrides), corpus_path, f"{path}:"), f"{path}:")
    plugins.build("segmenters", made.segmenter, "name", None, f"{path}: segmenter")
    return made


def fit_corpus(recipe: Recipe, out: str | Path) -> Roles:
    """Fits roles on the recipe's corpus and saves them in the folder `out`. Raises PrmError, what can be told before a model is loaded first."""
    out = Path(out)
    documents = corpus.read(recipe.corpus)
    store.check_writable(out)
    store.check_own(out, "roles.json")
    fit.check(recipe)
    kept = [(document.prompt, document.text) for document in corpus.usable(documents, recipe.corpus.limit)]
    bar = progress(range(len(kept)), what="reading")
    roles = fit.fit(kept, recipe, progress=lambda more: deque(islice(bar, more), 0))
    roles.save(out)
    say(f"{len(roles.names)} roles of {len(kept):,} documents -> {out}")
    return roles


def lines(roles: Roles) -> Iterator[str]:
    """How the number of roles was chosen, and each role with its most typical spans."""
    if roles.report["criterion"]:
        yield "roles  strength  error  stability  silhouette"
    for row in roles.report["criterion"]:
        chosen = "  <- chosen" if row["chosen"] else ""
        yield (
            f"{row['roles']:>5}  {row['strength']:>8.3f}  {row['error']:>5.3f}  {row['stability']:>9.3f}"
            f"  {row['silhouette']:>10.3f}{chosen}"
        )
    report = roles.report
    yield (
        f"{report['segments']:,} segments of {report['rows']['read']:,} documents; stability {report['stability']:.3f}"
        + (f"; noise {report['noise']:.3f}" if report["noise"] else "")
        + "".join(f"; {n:,} {reason}" for reason, n in report["rows"].items() if reason != "read")
    )
    for number, role in enumerate(roles.roles):
        yield f"\nrole {number}: {role.name}  ({role.size:,} segments)"
        for span in role.typical:
            yield "  " + re.sub(r"\s+", " ", span)[:SPAN_CHARS]
