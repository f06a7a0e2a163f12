"""`prm search`: a recipe's method on a file of problems. Its sections: method, engine, search (every method's),
steps (those that go step by step), methods (each one's own), so that `method=tree` is all it takes to try another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prm import config, plugins, recipefile
from prm.apply import Usage, read_usage
from prm.errors import PrmError
from prm.jsonl import try_rows, write_rows
from prm.plugins import Plugin
from prm.progress import progress, say
from prm.records import Problem
from prm.search import Found, Stepwise
from prm.solutions import bad, problem_of

TOGETHER = 256  # problems searched in step: what the engine and the PRM are given at once


@dataclass(frozen=True)
class Recipe:
    """The file's sections. engine: as in every recipe; search, steps, methods: see above."""

    engine: dict[str, Any]
    method: str = "beam"
    search: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)


def load(path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Raises PrmError for a file that cannot be read, an unknown section or method."""
    loaded = config.build(Recipe, recipefile.read(Path(path), overrides), f"{path}:")
    for name in (loaded.method, *loaded.methods):
        plugins.load("search", name, f"{path}: method{'' if name == loaded.method else 's'}")
    return loaded


def method(recipe: Recipe, name: str, usage: Usage, where: str) -> Plugin:
    """The method `name` with all its settings; how steps are cut, answers read and scores reduced is the PRM's
    where the recipe says nothing.
    """
    told = {"reduce": usage.reduce, "segmenter": usage.segmenter, "answers": config.plain(usage.answers)}
    told = {key: value for key, value in told.items() if value is not None}
    steps = recipe.steps if issubclass(plugins.load("search", name).Config, Stepwise) else {}
    own = recipe.methods.get(name, {})
    sections = {"search": {**told, **recipe.search}, "steps": steps, f"methods.{name}": own}
    settings = {key: value for section in sections.values() for key, value in section.items()}
    try:
        made = plugins.build("search", {**settings, "method": name}, "method", None, where)
    except PrmError as error:
        raise PrmError(_placed(str(error).removeprefix(f"{where}."), sections, where)) from None
    cutter = plugins.build("segmenters", made.config.segmenter, "name", None, f"{where}: search.segmenter")
    plugins.check(cutter.module, cutter.config)
    return made


def _placed(problem: str, sections: Mapping[str, Mapping[str, Any]], where: str) -> str:
    """The problem with a setting, "KEY: ...", by the section that says it; "search" where none does."""
    key = re.match(r"\w*", problem)[0]
    section = next((name for name in reversed(sections) if key in sections[name]), "search")
    return f"{where}: {section}.{problem}"


def search_file(path: str, folder: Path, out: str, recipe_path: str, overrides: Sequence[str]) -> int:
    """Writes {"problem_id", "answer", "solution", "score", "tokens", "reason"} rows, one a row of `path`, and
    returns their number.

    A row that holds no problem, and a problem for which nothing was found, has a reason and nulls.
    """
    recipe = load(recipe_path, overrides)
    chosen = method(recipe, recipe.method, read_usage(folder), recipe_path)
    engine = plugins.build("engines", recipe.engine, "name", None, f"{recipe_path}: engine")
    plugins.check(engine.module, engine.config)
    rows, told = list(read_problems(path)), Counter()

    def made() -> Iterator[dict]:
        for found in _search(rows, chosen, engine, folder):
            told.update({found.reason.split(":")[0]: 1, "tokens": found.tokens})
            yield row(found)

    count = write_rows(out, made())
    tokens, _ = told.pop("tokens", 0), told.pop("", 0)
    why = "; without an answer: " + ", ".join(f"{n} {reason}" for reason, n in told.most_common()) if told else ""
    say(f"{count} problems, {tokens:,} tokens generated -> {out}{why}")
    return count


def read_problems(path: str) -> Iterator[Problem | Found]:
    """Rows {"problem" or "question", "problem_id"?}; one that is none is an outcome with a reason, named by its row."""
    seen: dict[str, int] = {}
    for number, given in try_rows(path):
        where = f"{path} row {number}"
        try:
            problem = problem_of(given, where)
            if (first := seen.setdefault(problem.id, number)) != number:
                raise PrmError(f"{where}: the problem '{problem.id}' is that of row {first} too")
        except PrmError as error:
            yield Found(f"row {number}", None, None, None, 0, bad(error, where))
            continue
        yield problem


def row(found: Found) -> Mapping[str, Any]:
    return {name: getattr(found, name) for name in ("problem_id", "answer", "solution", "score", "tokens", "reason")}


def _search(rows: Sequence[Problem | Found], chosen: Plugin, engine: Plugin, folder: Path) -> Iterator[Found]:
    if all(isinstance(given, Found) for given in rows):
        yield from rows
        return
    from prm.model import PRM

    prm, opened = PRM.load(folder), engine.module.open_engine(engine.config)
    try:
        for at in progress(range(0, len(rows), TOGETHER), what=chosen.name):
            part = rows[at : at + TOGETHER]
            problems = [given for given in part if isinstance(given, Problem)]
            found = iter(chosen.module.search(problems, opened, prm, chosen.config))
            yield from (next(found) if isinstance(given, Problem) else given for given in part)
    finally:
        opened.close()
