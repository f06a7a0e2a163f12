"""What a role looks like: its most typical spans, and a short name made of the words that set them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

TYPICAL = 5  # spans shown of a role
WORDS = 3  # of a name
_WORD = re.compile(r"[^\W\d_]+|[^\w\s]")  # numbers say what a step is about, not what it does
_DIGITS = re.compile(r"\d+")


def typical(texts_N: Sequence[str], role_N: np.ndarray, distance_NK: np.ndarray) -> list[tuple[str, ...]]:
    """Each role's spans nearest to its centre, nearest first; spans that differ in numbers alone count as one."""
    import numpy as np

    shown: list[tuple[str, ...]] = []
    for role in range(distance_NK.shape[1]):
        members = np.flatnonzero(role_N == role)
        different: dict[str, str] = {}
        for n in members[np.argsort(distance_NK[members, role], kind="stable")]:
            different.setdefault(_DIGITS.sub("0", texts_N[n].strip()), texts_N[n].strip())
            if len(different) == TYPICAL:
                break
        shown.append(tuple(different.values()))
    return shown


def names(texts_N: Sequence[str], role_N: np.ndarray, roles: int) -> list[str]:
    """Of each role the words (or signs) whose share of its spans is most above their share of the other spans, most distinctive first; "role 3" where
    none is, and a number behind a name that another role has."""
    has = [Counter() for _ in range(roles)]
    size = Counter(int(role) for role in role_N)
    for text, role in zip(texts_N, role_N):
        has[role].update(set(_WORD.findall(text)))
    everywhere, made = sum(has, Counter()), []
    for role in range(roles):
        others = max(len(texts_N) - size[role], 1)
        lead = {w: n / max(size[role], 1) - (everywhere[w] - n) / others for w, n in has[role].items()}
        best = [w for w in sorted(lead, key=lambda w: (-lead[w], w)) if lead[w] > 0][:WORDS]
        name = " ".join(best) or f"role {role}"
        made.append(name if name not in made else f"{name} ({role})")
    return made
