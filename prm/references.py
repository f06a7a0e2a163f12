"""Gold: the reference answers by problem id, kept apart from the problems.

Only `eval/` and the signal named `gold` may import this module; `tests/test_gold_apart.py` walks the imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prm import problems
from prm.errors import PrmError
from prm.jsonl import text_of
from prm.recipe import Recipe
from prm.world.program import Program


@dataclass(frozen=True, slots=True)
class Reference:
    """What is true of one problem. program, world: the small world's, from which the truth of any step is computed; else None."""

    problem_id: str
    answer: str
    program: Program | None = None
    world: int = 0

    def kinds(self, steps: Sequence[str]) -> list[str] | None:
        """ "right", "slip", "misconception" or "carried" for each step's text; None where only the answer is known."""
        from prm.world.truth import truth

        return None if self.program is None else truth(self.program, steps, self.world)


def load(recipe: Recipe, split: str) -> dict[str, Reference]:
    """The references of a split's problems by problem id. Raises PrmError when the recipe names none or one is missing."""
    if recipe.references is None:
        raise PrmError(
            f"{recipe.name}: the recipe has no `references`, so nothing can be measured against gold; add them"
        )
    source = recipe.problems[split]
    if recipe.references.source == "world":
        return _world(source)
    known = _table(recipe.references)
    missing = [p.id for p in problems.load(source) if p.id not in known]
    if missing:
        raise PrmError(
            f"{recipe.references.path}: no reference for {len(missing)} problems of {split}, the first '{missing[0]}'; "
            "check the id columns of problems and references"
        )
    return known


def _world(source: problems.Source) -> dict[str, Reference]:
    from prm.world.problems import programs

    found = programs(source.n, source.seed, source.shortest, source.longest, source.world, source.seen)
    return {id: Reference(id, str(program.answer), program, source.world) for id, program in found.items()}


def _table(config: problems.Table) -> dict[str, Reference]:
    """Rows of `config`, whose `answer` column is the gold answer."""
    found = {}
    for where, row in problems.rows(config):
        id = problems.id_of(row, config.id, config.text, where)
        answer = row.get(config.answer)
        found[id] = Reference(
            id, str(answer) if isinstance(answer, (int, float)) else text_of(row, [config.answer], where)
        )
    return found
