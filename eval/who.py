"""The report's section on who said what: a table an arm from its label manifest (`prm.witnesses`), with the warnings."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from prm import recipe, witnesses
from prm.store import Run

HEAD = ("speaks", "says wrong", "right steps it calls right", "wrong steps it calls right", "overruled")
ABOUT = (
    "What each label set rests on. Sources with one key are one witness; reliabilities are estimated without gold answers, in "
    "brackets 95 % intervals that count a problem as one observation."
)


def reports(run: Run, made: recipe.Recipe) -> dict[str, dict[str, Any]]:
    """Each arm's witnesses on the split it learns from; an arm of gold has none worth telling."""
    found = {}
    for name, arm in made.arms.items():
        stage = run.folders.get(f"labels.{name}.{arm.problems}")
        manifest = (stage.manifest() if stage else None) or {}
        if "witnesses" in manifest and "gold" not in manifest["witnesses"]["keys"]:
            found[name] = manifest["witnesses"]
    return found


def section(reports: Mapping[str, Mapping]) -> str:
    """The HTML section; "" for a run that told nothing."""
    if not reports:
        return ""
    tables = "".join(_arm(name, report) for name, report in reports.items())
    return f"<section><h2>Who said what</h2><p class='quiet'>{ABOUT}</p>{tables}</section>"


def _arm(name: str, report: Mapping) -> str:
    head = "".join(f"<th class='num'>{title}</th>" for title in HEAD)
    rows = "".join(_key(key, facts) for key, facts in report["keys"].items())
    how = "estimated" if report["reliability"] == "estimated" else "trusted as the recipe says"
    pairs = "".join(
        f"<tr><td>{escape(name.replace('+', ' and '))}</td><td class='num'>{_share(p['both'])}</td>"
        f"<td class='num'>{_share(p['agree'])}</td><td class='num'>{_share(p['missed'])}</td>"
        f"<td class='num'>{_share(p['expected'])}</td></tr>"
        for name, p in report["pairs"].items()
    )
    between = (
        "<table><thead><tr><th>pair</th><th class='num'>both speak</th><th class='num'>agree</th>"
        f"<th class='num'>miss together</th><th class='num'>if independent</th></tr></thead><tbody>{pairs}</tbody></table>"
    )
    told = "".join(f"<li>{escape(text)}</li>" for text in witnesses.warnings(report))
    total = sum(report["rests_on"].values())
    rests = ", ".join(f"{n} key{'s' * (n != '1')}: {_share(count / total)}" for n, count in report["rests_on"].items())
    return (
        f"<h3>{escape(name)} <span class='quiet'>{how}, {report['steps']:,} steps</span></h3>"
        f"<table><thead><tr><th>key</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"{between if pairs else ''}<p class='quiet'>Labels rest on {rests or 'nothing'}.</p>"
        + (f"<ul>{told}</ul>" if told else "")
    )


def _key(key: str, facts: Mapping) -> str:
    cells = (
        _share(facts["coverage"]),
        _share(facts["says_wrong"]),
        _interval(facts["right"]),
        _interval(facts["miss"]),
        _share(facts["overruled"]),
    )
    name = f"{escape(key)} <span class='quiet'>{escape(', '.join(facts['signals']))}</span>"
    return f"<tr><td>{name}</td>" + "".join(f"<td class='num'>{cell}</td>" for cell in cells) + "</tr>"


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}".removeprefix("0")


def _interval(values: list[float] | None) -> str:
    return "n/a" if values is None else f"{_share(values[0])} [{_share(values[1])}, {_share(values[2])}]"
