"""Transforms: the same question posed otherwise, and how its answer is carried back.

    Transform: problem -> re-posed problems, each with an answer map

One file each, prm/transforms/NAME.py, with a frozen dataclass `Config` and

    repose(problem, n, seed, config) -> list[Reposed]

which gives at most n re-posed problems of distinct texts, fewer or none where the transform does not apply, never
the original's own text. The same (problem, seed, config) gives the same list, and a list for n begins with the one for
fewer. Votes over re-posed problems are counted after the maps: `reposed.map.apply(answer)` answers the original.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import cycle
from typing import TYPE_CHECKING

from prm.answers.canonical import canonical, is_number
from prm.records import Problem

if TYPE_CHECKING:
    from prm.plugins import Plugin


@dataclass(frozen=True, slots=True)
class AnswerMap:
    """From the answer of a re-posed problem, as text, to an answer of the original.

        same              answer
        negate_mod10      digit d -> (10 - d) mod 10      an additive inverse in arithmetic modulo 10
        scale PARAMETER   number x -> x * PARAMETER       rational, not 0: "1/3"
        offset PARAMETER  number x -> x + PARAMETER       rational

    Two texts, so that it can be stored. Raises ValueError for an unknown name or a parameter it cannot use.
    """

    name: str = "same"
    parameter: str = ""

    def __post_init__(self):
        if self.name not in _MAPS:
            raise ValueError(f"answer map {self.name!r} is unknown; take one of {', '.join(_MAPS)}")
        if (self.name in ("scale", "offset")) != bool(self.parameter):
            raise ValueError(
                f"answer map {self.name}: parameter {self.parameter!r}; scale and offset take one, no other"
            )
        rational = re.fullmatch(r"-?[0-9]+(/0*[1-9][0-9]*)?", self.parameter)
        if self.parameter and not (rational and (self.name == "offset" or Fraction(self.parameter))):
            raise ValueError(f"answer map {self.name}: {self.parameter!r} is no usable rational number; write 3 or 1/3")

    def apply(self, answer: str) -> str | None:
        """The original's answer, rationals in lowest terms; None where the map does not take this answer (no digit, no
        number, nothing)."""
        return _MAPS[self.name](answer.strip(), self.parameter)


@dataclass(frozen=True, slots=True)
class Reposed:
    """problem: what to ask instead, with an id of its own. of: the original's id. map: from its answers."""

    problem: Problem
    of: str
    map: AnswerMap


def asked_again(problem: Problem, n: int, seed: int, transform: Plugin) -> list[Reposed]:
    """n questions in the place of n samples: what the transform makes of the problem, in turn, or the problem itself where
    it makes nothing. Ids are ID/reposed/0, ID/reposed/1, ..."""
    made = transform.module.repose(problem, n, seed, transform.config) or [Reposed(problem, problem.id, AnswerMap())]
    ids = (f"{problem.id}/reposed/{k}" for k in range(n))
    return [replace(one, problem=Problem(id, one.problem.text)) for id, one in zip(ids, cycle(made))]


def as_meta(reposed: Reposed) -> dict[str, str]:
    """What a re-posed problem's row keeps beside its text; `of_meta` reads it."""
    return {"of": reposed.of, "map": reposed.map.name, "parameter": reposed.map.parameter}


def of_meta(meta: Mapping[str, str]) -> tuple[str, AnswerMap]:
    """(the original's id, the answer's way back to it)."""
    return meta["of"], AnswerMap(meta["map"], meta["parameter"])


def _negate_mod10(answer: str, parameter: str) -> str | None:
    return str((10 - int(answer)) % 10) if re.fullmatch(r"[0-9]", answer) else None


def _scale(answer: str, parameter: str) -> str | None:
    form = canonical(answer)
    return str(Fraction(form) * Fraction(parameter)) if is_number(form) else None


def _offset(answer: str, parameter: str) -> str | None:
    form = canonical(answer)
    return str(Fraction(form) + Fraction(parameter)) if is_number(form) else None


_MAPS = {
    "same": lambda answer, parameter: answer or None,
    "negate_mod10": _negate_mod10,
    "scale": _scale,
    "offset": _offset,
}
