"""A text corpus as a stream of documents: a JSONL or Parquet file, a folder of data files, or a data set of the hub. Never held whole.

A row that has no usable text is a document with a reason, so the corpus' rows are counted and none is lost.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from prm import tables
from prm.errors import PrmError
from prm.progress import progress, say

PROMPT = "{prompt}"
_FIRST = 100  # rows among which the columns asked for must be found before anything costly begins
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_FILES = (".jsonl", ".json", ".gz", ".parquet")


@dataclass(frozen=True)
class Config:
    """path: a .jsonl, .jsonl.gz or .parquet file, a folder of data files, or a hub id; streamed.
    text, prompt, id: columns. Without prompt nothing stood before a text; without id a document is named by its row, from 1.
    template: what stood before the text, to the character, made of the prompt.
    subset, split, revision: of a folder or hub id (without a revision the hub's newest is read). limit: rows, null for all.
    max_chars: a longer text is rejected as "too_long", for its hidden states must fit into memory; 0 = no limit.
    """

    path: str
    text: str = "text"
    prompt: str | None = None
    id: str | None = None
    template: str = "{prompt}\n"
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    limit: int | None = None
    max_chars: int = 200_000

    def __post_init__(self):
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: {self.limit} is not positive; null takes every row")
        if self.max_chars < 0:
            raise ValueError(f"max_chars: {self.max_chars} is negative; 0 takes texts of any length")
        if PROMPT not in self.template:
            raise ValueError(f"template: {self.template!r} has no {PROMPT}; put it where the prompt goes")

    @property
    def columns(self) -> list[str]:
        return [name for name in (self.text, self.prompt, self.id) if name is not None]


@dataclass(frozen=True, slots=True)
class Document:
    """One row of a corpus. id: the id column's, else the row's number from 1; prompt: what stood before the text, to the character.

    reason: "" or why there is nothing to read: "bad_row" (no JSON object, not UTF-8), "no_text" (missing or null), "not_text", "empty",
    "too_long", "no_prompt", "no_id".
    """

    id: str
    prompt: str
    text: str
    reason: str = ""

    @property
    def checksum(self) -> int:
        return zlib.crc32("\0".join((self.id, self.prompt, self.text, self.reason)).encode())


def read(config: Config) -> Iterator[Document]:
    """The documents in order. Opens the corpus and looks at its first rows at once.

    Raises PrmError where it cannot be opened, is empty, or none of the first rows has the columns; while reading, where it cannot be read on.
    """
    place = str(Path(config.path).expanduser())
    asked = (config.subset, config.split, config.revision)
    found = islice(tables.rows(kind(config.path), place, *asked, streaming=True, columns=config.columns), config.limit)
    first = list(islice(found, _FIRST))
    _check(config, [row for _, row in first])
    return (_document(config, number, row) for number, row in chain(first, found))


def named(mapping: Mapping[str, Any], path: str, where: str) -> dict[str, Any]:
    """A recipe's mapping with the corpus that the command names. Raises PrmError, which begins with `where`, for a recipe that names one itself."""
    settings = mapping.get("corpus", {})
    if not isinstance(settings, Mapping) or "path" in settings:
        raise PrmError(f"{where} corpus: a mapping of settings without `path`: the command names the corpus")
    return {**mapping, "corpus": {**settings, "path": path}}


def usable(documents: Iterator[Document], limit: int | None) -> list[Document]:
    """Those without a reason, in memory; how many were left out, and why, is said on stderr."""
    kept, rejected = [], Counter()
    for document in progress(documents, limit, "corpus"):
        if document.reason:
            rejected[document.reason] += 1
        else:
            kept.append(document)
    if rejected:
        say("rows left out: " + ", ".join(f"{n:,} {reason}" for reason, n in rejected.most_common()))
    return kept


def kind(path: str) -> str:
    """What reads it: "parquet", "jsonl", or "hub" for a folder of data files or an id. PrmError for a path where nothing is."""
    there = Path(path).expanduser()
    if there.is_dir():
        return "hub"
    if there.is_file() or path.endswith(_FILES):
        return "parquet" if path.endswith(".parquet") else "jsonl"
    owner = there.parent if "/" in path else None
    if not _HUB_ID.fullmatch(path) or (owner and owner.is_dir()):
        raise PrmError(f"{path}: no such file or folder; check the path (a hub id looks like 'owner/name')")
    return "hub"


def identity(config: Config) -> Any:
    """What tells a corpus on this disk from another; None for one on the hub."""
    from prm import store

    there = Path(config.path).expanduser()
    return store.fingerprint(there) if there.exists() else None


def _check(config: Config, rows: Sequence[tables.Row | PrmError]) -> None:
    if not rows:
        raise PrmError(f"{config.path}: the corpus has no rows")
    good = [row for row in rows if not isinstance(row, PrmError)]
    if not good:
        raise rows[0]
    for column in config.columns:
        if not any(column in row for row in good):
            there = dict.fromkeys(name for row in good for name in row)
            raise PrmError(tables.no_column(config.path, column, there))
    kinds = {type(row.get(config.text)).__name__ for row in good}
    if "str" not in kinds:
        raise PrmError(
            f"{config.path}: '{config.text}' holds no text in the first {len(rows)} rows ({', '.join(sorted(kinds))}); "
            "name another column with text=..."
        )


def _document(config: Config, number: int, row: tables.Row | PrmError) -> Document:
    if isinstance(row, PrmError):
        return Document(str(number), "", "", "bad_row")
    id = number if config.id is None else row.get(config.id)
    if isinstance(id, bool) or not isinstance(id, (int, str)) or id == "":
        return Document(str(number), "", "", "no_id")
    text, prompt = row.get(config.text), "" if config.prompt is None else row.get(config.prompt)
    reason = _text_reason(text, config.max_chars) or ("" if isinstance(prompt, str) else "no_prompt")
    if reason:
        return Document(str(id), "", "", reason)
    before = "" if config.prompt is None else config.template.replace(PROMPT, prompt)
    return Document(str(id), before, text)


def _text_reason(text: Any, max_chars: int) -> str:
    if text is None:
        return "no_text"
    if not isinstance(text, str):
        return "not_text"
    if not text.strip():
        return "empty"
    return "too_long" if max_chars and len(text) > max_chars else ""
