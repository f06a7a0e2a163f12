"""The data card of a harvested corpus: what the hub and a reader need to know of it, as README.md with YAML front matter."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import prm
from prm import codec, corpus, store
from prm.roles.model import Roles

SPANS = 3  # shown of a role
SPAN_CHARS = 100

_HEAD = """\
---
pretty_name: {name}
license: other
tags: [self-labelled, segmentation]
configs:
- config_name: default
  data_files:
  - split: train
    path: shard-*.parquet
---
"""

_BODY = """\
# {name}

{segments:,} segments of {documents:,} documents of {corpus}, each with its role: the cluster of hidden states that its mean state is nearest to.

**The labels were made by a machine and nobody has verified them.** Roles were found without any labels; their names are the words that
set their spans apart, not a claim about meaning. The text is the corpus' own, and so is its licence.

```python
import datasets

datasets.load_dataset("FOLDER", split="train")
```

## How it was made

| | |
|---|---|
| corpus | {corpus}{columns} |
| model | {model}, weights {fingerprint} |
| hidden states | layer {layer}, mean over a segment's tokens |
| segmenter | `{segmenter}` |
| roles | {roles}, of {fitted:,} segments ({roles_id}) |
| made by | prm {version} |

## Roles

Confidence is the role's posterior under round Gaussians around the centres, smaller where a segment lies far from all of them: it compares
roles and is no probability of being right.

{table}

## Documents without segments

{rejected}

## Columns

`document`: its id in the corpus, or its row there, from 1. `segment`: its number in the document. `start`, `end`: characters, end exclusive. `text`.
`role`, `role_name`. `confidence`: in [0, 1]. `centre`: names the role's centre, the same in every harvest by the same roles. `tokens`: of the model.
`reason`: empty, or why a document has no segments; then it is one row without role.
"""


@dataclass
class _Tally:
    segments: int = 0
    tokens: int = 0
    confidence: float = 0.0
    spans: list[tuple[float, str]] = field(default_factory=list)  # the surest different ones, a heap

    def add(self, text: str, confidence: float, tokens: int) -> None:
        self.segments += 1
        self.tokens += tokens
        self.confidence += confidence
        if len(self.spans) == SPANS and confidence <= self.spans[0][0]:
            return
        shown = _short(text)
        if shown and all(shown != there for _, there in self.spans):
            (heapq.heappush if len(self.spans) < SPANS else heapq.heappushpop)(self.spans, (confidence, shown))


def text(folder: store.Folder, roles: Roles, roles_id: str, read: corpus.Config) -> str:
    """The card of the shards that are there. roles_id: what centres' names begin with; read: the corpus. Reads a shard at a time."""
    by_role = _tallies(folder, len(roles.names))
    told = folder.tally()
    source = (
        Path(read.path).name if Path(read.path).expanduser().exists() else read.path
    )  # not where it lay on this disk
    hub = ("subset", "split", "revision") if corpus.kind(read.path) == "hub" else ()
    columns = {key: getattr(read, key) for key in (*hub, "text", "prompt", "id", "limit")}
    name = f"Roles in {source}"
    return _HEAD.format(name=json.dumps(name, ensure_ascii=False)) + _BODY.format(
        name=name,
        corpus=f"`{source}`",
        columns="".join(f", {key} `{value}`" for key, value in columns.items() if value is not None),
        segments=sum(tally.segments for tally in by_role),
        documents=told["documents"],
        model=f"`{_public(roles.reader.model)}`",
        fingerprint=roles.fingerprint,
        layer=roles.reader.layers[0],
        segmenter=json.dumps(
            {k: _public(v) if k in ("model", "path") and v else v for k, v in roles.segmenter.items()}
        ),
        roles=len(roles.names),
        fitted=sum(role.size for role in roles.roles),
        roles_id=roles_id,
        version=prm.__version__,
        table=_table(roles, by_role),
        rejected=_rejected(told["reasons"]),
    )


def _tallies(folder: store.Folder, roles: int) -> list[_Tally]:
    made = [_Tally() for _ in range(roles)]
    for shard in folder.shards():
        columns = (codec.column(shard, name) for name in ("role", "text", "confidence", "tokens"))
        for role, span, confidence, tokens in zip(*columns):
            if role is not None:
                made[role].add(span, confidence, tokens)
    return made


def _table(roles: Roles, by_role: list[_Tally]) -> str:
    total = max(sum(tally.segments for tally in by_role), 1)
    lines = [
        "| role | name | segments | share | tokens | mean confidence | typical spans, where the roles were fitted | surest spans here |",
        "|---:|---|---:|---:|---:|---:|---|---|",
    ]
    for number, (role, tally) in enumerate(zip(roles.roles, by_role)):
        mean = f"{tally.confidence / tally.segments:.3f}" if tally.segments else ""
        typical = "<br>".join(_cell(_short(span)) for span in role.typical[:SPANS])
        surest = "<br>".join(_cell(span) for _, span in sorted(tally.spans, reverse=True))
        share = tally.segments / total
        lines.append(
            f"| {number} | {_cell(role.name)} | {tally.segments:,} | {share:.3f} | {tally.tokens:,} | {mean} | {typical} | {surest} |"
        )
    return "\n".join(lines)


def _rejected(reasons: Mapping[str, int]) -> str:
    if not reasons:
        return "None."
    return "\n".join(["| reason | documents |", "|---|---:|", *(f"| {why} | {n:,} |" for why, n in reasons.items())])


def _public(path: str) -> str:
    """The name of a file or folder without where it lay on this disk, a hub id as it is."""
    there = Path(path).expanduser()
    return there.resolve().name if there.exists() else path


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip())[:SPAN_CHARS]


def _cell(text: str) -> str:
    """As it is, in a cell of a table."""
    return re.sub(r"([\\\\`*_{}\[\]<>|~$#])", r"\\\1", text)
