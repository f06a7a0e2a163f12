"""A corpus -> a self-labelled corpus: every document in segments, each with its role, how sure, and the centre it is nearest to.

    OUT/harvest.json             what is being made: settings, roles, corpus; written first
        shard-00000.parquet ...  `Segment` rows, each shard written whole
        README.md                the data card: `datasets.load_dataset(OUT)` reads the folder by it
        manifest.json            written last: the harvest is complete

Stopped or killed, the same call goes on: as many documents as the finished shards hold are passed over, and must be those that were read then.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from prm import config as configs
from prm import corpus, plugins, recipefile, store
from prm.corpus import Document
from prm.errors import PrmError
from prm.progress import progress, say
from prm.roles import card
from prm.roles.model import SEGMENTER, Roles
from prm.roles.segments import cuts
from prm.signals import Context

VERSION = 1
BATCH = 256  # documents read at once,
BATCH_CHARS = 2**18  # and their characters: the hidden states of all of them are in memory together


@dataclass(frozen=True)
class Config:
    """corpus: what is read, and its columns. shard: documents of one Parquet file; what a stop costs at most."""

    corpus: corpus.Config
    shard: int = 500

    def __post_init__(self):
        if self.shard < 1:
            raise ValueError(f"shard: {self.shard} is not positive; 500 is usual")


def settings(corpus_path: str, overrides: Sequence[str]) -> Config:
    """Of `key=value` texts, such as corpus.text=solution. Raises PrmError."""
    return configs.build(Config, corpus.named(recipefile.of_overrides(overrides), corpus_path, "harvest:"), "harvest:")


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of one document, or the one row of a document that has none, with a reason.

    start, end: its characters in the document, end exclusive. role: its number in the roles' folder. confidence: of the role, in [0, 1].
    centre: "HASH-ROLE", which names the role's centre among all roles ever fitted. tokens: of the roles' model.
    reason: "" or why there are no segments: of `corpus.Document`, of the reader ("prompt_too_long", "not_finite"), "no_steps". Then segment, role, confidence are None.
    """

    document: str
    segment: int | None
    start: int
    end: int
    text: str
    role: int | None
    role_name: str
    confidence: float | None
    centre: str
    tokens: int
    reason: str = ""


class Folder(store.Folder):
    row_type = Segment


def harvest(roles_folder: str | Path, out: str | Path, config: Config) -> Folder:
    """Makes the self-labelled corpus, or what is missing of it.

    Raises PrmError before a model is loaded: no such roles or corpus, wrong columns, a folder that is in use, cannot be written, or holds
    something else or a harvest of other settings.
    """
    roles, out = Roles.load(roles_folder), Path(out)
    segmenter = roles.segmenter_plugin()
    plugins.check(segmenter.module, segmenter.config)
    documents = corpus.read(config.corpus)
    store.check_writable(out)
    store.check_own(out, "harvest.json")
    facts = _facts(roles_folder, config)
    with store.lock(out):
        folder = Folder(out, "harvest")
        folder.open()
        _claim(out, facts)
        if folder.manifest():
            say(f"{out}: complete already")
            return folder
        with store.disk_full_is_mendable(folder):
            _shards(folder, roles, facts["roles"], documents, config)
            store.write_file(out / "README.md", card.text(folder, roles, facts["roles"], config.corpus).encode())
            folder.finish(facts)
    told = folder.manifest()
    say(f"{told['documents']:,} documents, {told['rows']:,} rows -> {out}" + _why(told["reasons"]))
    return folder


def _why(reasons: Mapping[str, int]) -> str:
    return "; rejected: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.items()) if reasons else ""


def label(documents: Sequence[Document], roles: Roles, roles_id: str, context: Context) -> Iterator[list[Segment]]:
    """Each document's rows. context: keeps the roles' model, which is opened and checked on first use."""
    usable = [(d.prompt, d.text) for d in documents if not d.reason]
    made = iter(())
    if usable:
        reader = context.cached(("reader", roles.reader), lambda: roles.open_reader(context))
        made = chain.from_iterable(cuts(b, reader, roles.segmenter_plugin(), context) for b in _batches(usable))
    for document in documents:
        yield (
            [_rejected(document.id, document.reason)]
            if document.reason
            else _segments(document, next(made), roles, roles_id)
        )


def _segments(document: Document, cut, roles: Roles, roles_id: str) -> list[Segment]:
    import numpy as np

    if cut.reason:
        return [_rejected(document.id, cut.reason)]
    role_N, confidence_N = roles.assign(cut.centres_ND)
    tokens_N = np.bincount(cut.segment_T, minlength=len(cut.segments))
    return [
        Segment(
            document.id,
            i,
            start,
            end,
            document.text[start:end],
            int(role),
            roles.names[role],
            float(confidence),
            f"{roles_id}-{role}",
            int(tokens),
        )
        for i, ((start, end), role, confidence, tokens) in enumerate(zip(cut.segments, role_N, confidence_N, tokens_N))
    ]


def _rejected(document: str, reason: str) -> Segment:
    return Segment(document, None, 0, 0, "", None, "", None, "", 0, reason)


def _batches(rows: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch, chars = [], 0
    for row in rows:
        size = len(row[0]) + len(row[1])
        if batch and (len(batch) == BATCH or chars + size > BATCH_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(row)
        chars += size
    yield batch


def _shards(folder: Folder, roles: Roles, roles_id: str, documents: Iterator[Document], config: Config) -> None:
    done, context = folder.tally(), Context()
    _pass_over(folder.path, documents, done)
    documents = progress(documents, config.corpus.limit, "harvest", done.get("documents", 0))
    number = len(folder.shards())
    while shard := list(islice(documents, config.shard)):
        began = time.monotonic()
        rows = [row for made in label(shard, roles, roles_id, context) for row in made]
        notes = {"documents": len(shard), "checksum": sum(d.checksum for d in shard)}
        folder.write(number, rows, notes | {"seconds": time.monotonic() - began})
        number += 1


def _pass_over(out: Path, documents: Iterator[Document], done: Mapping[str, Any]) -> None:
    """Leaves the documents of the finished shards behind. PrmError where they are not those: a corpus of the hub may have changed."""
    count, checksum = 0, 0
    for document in islice(documents, done.get("documents", 0)):
        count, checksum = count + 1, checksum + document.checksum
    if (count, checksum) != (done.get("documents", 0), done.get("checksum", 0)):
        raise PrmError(
            f"{out}: the corpus is not the one this harvest began with; give another -o (of the hub, name a revision)"
        )


def _facts(roles_folder: str | Path, config: Config) -> dict[str, Any]:
    """What decides the rows. A corpus on this disk goes by its content, not by its path."""
    content = corpus.identity(config.corpus)
    known = {} if content is None else {"path": f"content {store.digest(content)}"}
    parts = [Path(roles_folder) / name for name in ("roles.json", "roles.safetensors", SEGMENTER)]
    files = [store.fingerprint(part) for part in parts if part.exists()]
    settings = configs.plain(config)
    return {"version": VERSION, "roles": store.digest(files), **settings, "corpus": settings["corpus"] | known}


def _claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Writes harvest.json. PrmError where one is there that says otherwise."""
    path = out / "harvest.json"
    if not path.exists():
        store.write_file(path, json.dumps(facts, indent=2).encode())
        return
    try:
        began = _flat(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, AttributeError) as error:
        raise PrmError(f"{path}: damaged ({error!r}); give another -o") from None
    now = _flat(facts)
    other = [f"{key} {began.get(key)!r}, now {now.get(key)!r}" for key in began | now if began.get(key) != now.get(key)]
    if other:
        raise PrmError(f"{out}: a harvest of other settings ({'; '.join(other)}); give those again, or another -o")


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if k != "corpus"} | {f"corpus.{k}": v for k, v in facts["corpus"].items()}
