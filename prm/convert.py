"""`prm convert`: step-labelled data from one format (prm/formats) to another, row by row, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from os import PathLike
from typing import Any

from prm import formats, plugins
from prm.errors import PrmError
from prm.formats import BadRow
from prm.jsonl import write_rows
from prm.plugins import Plugin
from prm.progress import progress, say


def sides(source: str, target: str, overrides: dict[str, Any]) -> tuple[Plugin, Plugin]:
    """The two formats by name, with the settings `{"from": {...}, "to": {...}}`. Raises PrmError."""
    for key in overrides.keys() - {"from", "to"}:
        raise PrmError(f"'{key}': settings of the formats are from.KEY=VALUE and to.KEY=VALUE")
    made = []
    for side, name in (("from", source), ("to", target)):
        settings = overrides.get(side, {})
        if not isinstance(settings, dict):
            raise PrmError(f"{side}: give its settings as {side}.KEY=VALUE")
        plugins.load("formats", name, f"--{side}")
        made.append(formats.build({"name": name, **settings}, side))
    if not hasattr(made[1].module, "write"):
        able = [name for name in plugins.names("formats") if hasattr(plugins.load("formats", name), "write")]
        raise PrmError(f"--to: {target} can be read only; give one of {', '.join(able)}")
    return made[0], made[1]


def convert(path: str | PathLike, out: str | PathLike, source: Plugin, target: Plugin) -> Counter:
    """Writes the solutions of `path`, which is of the format `source`, to `out`, which appears only when whole.

    Returns counts: "rows", "solutions", "labels" (steps that had one), "written", what was left out by reason, and what the
    target cannot hold of what was written. Raises PrmError where nothing could be written.
    """
    tally: Counter = Counter()
    rows = progress(formats.read(path, source, tally), what="convert")
    write_rows(out, _written(rows, target, tally, path))
    lost = {name: n for name, n in tally.items() if n and name not in ("rows", "solutions", "labels", "written")}
    told = ", ".join(f"{n:,} {name}" for name, n in lost.items())
    say(f"{tally['written']:,} solutions of {tally['rows']:,} rows -> {out}{'; lost: ' + told if told else ''}")
    return tally


def _written(rows: Iterator[formats.Row], target: Plugin, tally: Counter, path: str | PathLike) -> Iterator[dict]:
    for row in rows:
        try:
            made = target.module.write(row, target.config, tally)
        except BadRow as error:
            tally[error.reason] += 1
            continue
        tally["written"] += 1
        yield made
    if not tally["written"]:
        raise PrmError(
            f"{path}: none of its solutions can be written as {target.name}: "
            + ", ".join(f"{n:,} {name}" for name, n in tally.items())
        )
