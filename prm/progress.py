"""Progress on stderr, one way for every part; PRM_QUIET=1 silences it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(iterable: Iterable[T], total: int | None = None, what: str = "", done: int = 0) -> Iterator[T]:
    """Yields from `iterable` under a bar named `what`; `done` of `total` were finished by an earlier run."""
    return iter(
        tqdm(
            iterable,
            desc=what,
            total=total,
            initial=done,
            file=sys.stderr,
            disable=_quiet(),
            leave=False,
            dynamic_ncols=True,
            mininterval=0.5,
            delay=0.5,
        )
    )


def say(line: str) -> None:
    """One line on stderr, above any bar."""
    if not _quiet():
        tqdm.write(line, file=sys.stderr)


def _quiet() -> bool:
    return os.environ.get("PRM_QUIET", "") not in ("", "0")
