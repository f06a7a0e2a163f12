"""A run's report as one page: no script, nothing fetched, every text escaped. The numbers are summary.json's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from eval import charts, who

WRONG = {"slip": "slip", "misconception": "misconception", "carried": "after an error", "wrong": "wrong"}
SHOWN = 10  # stages with a line of their own
VIEWS = {"overall": "over all steps", "within": "within problems", "first_error": "up to the first error"}


def page(summary: Mapping, examples: Sequence[Mapping]) -> str:
    """The whole HTML text.

    examples: {"title", "text", "gold", "solutions": [...]}, a solution being {"title", "answer", "right",
        "steps": [(text, score or None, kind or None)]}.
    """
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    sections = [
        _verdict(summary),
        _table(summary["rows"]),
        _curve(summary["curve"]),
        _quality(summary),
        who.section(summary["witnesses"]),
        _examples(examples),
        _rejected(summary["rejected"]),
        _stages(summary["stages"]),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(summary['name'])}: report</title><style>{style}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _verdict(summary: Mapping) -> str:
    seeds = ", ".join(str(seed) for seed in summary["seeds"])
    facts = (
        f"{summary['problems']:,} held-out problems · {summary['samples']} samples a problem · seed {seeds} · "
        f"{_seconds(summary['seconds'])} in all stages"
    )
    tiles = [
        ("one sample", summary["mean"], "base"),
        (f"majority of {summary['samples']}", summary["majority"], "base"),
        ("our PRM, weighted vote", summary["prm_vote"], "ours"),
        ("PRM trained on gold", summary["gold_prm_vote"], "gold"),
        ("any of them right", summary["oracle"], "limit"),
    ]
    boxes = "".join(
        f"<div class='tile {role}'><b>{_number(value)}</b><span>{name}</span></div>" for name, value, role in tiles
    )
    state = "good" if summary["improves"] else "none"
    return (
        f"<header><p class='quiet'>{escape(summary['name'])}</p><h1 class='{state}'>{escape(summary['verdict'])}</h1>"
        f"<p>{escape(summary['because'])}</p><p class='quiet'>{facts}</p><div class='tiles'>{boxes}</div></header>"
    )


def _section(title: str, about: str, body: str) -> str:
    return f"<section><h2>{title}</h2><p class='quiet'>{about}</p>{body}</section>"


def _table(rows: Sequence[Mapping]) -> str:
    low, high = charts.scale([row["difference"] for row in rows])
    lines = []
    for row in rows:
        n = f" <span class='quiet'>on {row['n']:,}</span>" if row["n"] != rows[0]["n"] and row["n"] else ""
        lines.append(
            f"<tr class='{row['role']}'><td>{escape(row['name'])}{n}</td>"
            f"<td class='num'>{_number(row['accuracy'])}</td>"
            f"<td>{charts.interval(row['difference'], low, high, row['role'])}</td>"
            f"<td class='num quiet'>{difference(row['difference'])}</td></tr>"
        )
    head = "<th>choosing by</th><th class='num'>accuracy</th><th>minus majority</th><th></th>"
    return _section(
        "Which answer to give",
        "Share of problems answered rightly, and the difference to majority in points with its paired 95 % interval "
        "(bootstrap over problems). The vertical line is majority.",
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>",
    )


def _curve(curve: Mapping) -> str:
    series = {"majority": curve["majority"], "our weighted vote": curve["prm_vote"], "any right": curve["oracle"]}
    roles = {"majority": "base", "our weighted vote": "ours", "any right": "limit"}
    chart = charts.lines(curve["n"], series, roles)
    return _section("More samples, more right", "Accuracy against the samples a problem.", chart)


def _quality(summary: Mapping) -> str:
    quality, title = summary["quality"], "Who can tell a wrong step"
    if not quality:
        about = "These problems have no step truth: labels and scores are judged by the answers they lead to alone."
        return _section(title, about, "")
    head = "".join(
        f"<th class='num'>{name}</th>"
        for name in ("covered", "all errors", "random", "systematic", "first-error F1", "ECE", "Brier")
    )
    tables = []
    for view, name_of_view in VIEWS.items():
        lines = "".join(_quality_line(name, q, view) for name, q in quality.items())
        opened = " open" if view == "overall" else ""
        tables.append(
            f"<details{opened}><summary>{name_of_view}</summary><table><thead><tr><th>source</th>{head}</tr></thead>"
            f"<tbody>{lines}</tbody></table></details>"
        )
    diagrams = "".join(
        f"<figure>{charts.reliability(q['reliability'], _role(name))}<figcaption>{escape(name)}</figcaption></figure>"
        for name, q in quality.items()
        if name in ("labels prm", "PRM prm", "PRM gold")
    )
    return _section(
        title,
        "AUROC of right steps against wrong ones: .50 is a coin, below it the source is fooled. Systematic errors are "
        "those the policy makes again and again. All errors: with the steps behind a first one, which count as wrong "
        "whatever they say.",
        f"{''.join(tables)}<h3>Do beliefs mean what they say</h3><p class='quiet'>On the diagonal, steps believed "
        "right with .7 are right in 7 of 10 cases. A dot's area: its share of the steps.</p>"
        f"<div class='row'>{diagrams}</div>",
    )


def _quality_line(name: str, q: Mapping, view: str) -> str:
    cells = "".join(_heat(q["auroc"][kind][view]) for kind in ("all", "random", "systematic"))
    return (
        f"<tr class='{_role(name)}'><td>{escape(name)}</td><td class='num'>{_number(q['coverage'], 2)}</td>{cells}"
        f"<td class='num'>{_number(q['first_error']['f1'], 2)}</td>"
        f"<td class='num'>{_number(q['ece'], 2)}</td><td class='num'>{_number(q['brier'], 2)}</td></tr>"
    )


def _heat(value: float | None) -> str:
    if value is None:
        return "<td class='num'>n/a</td>"
    kind, strength = ("bad", 0.5 - value) if value < 0.5 else ("ok", value - 0.5)
    return f"<td class='num heat {kind}' style='--heat:{min(strength * 150, 70):.0f}%'>{_number(value, 2)}</td>"


def _examples(examples: Sequence[Mapping]) -> str:
    if not examples:
        return ""
    about = "Each step with the PRM's score; the tint goes from right (green) to wrong (red)."
    return _section("Some problems", about, "".join(map(_example, examples)))


def _example(example: Mapping) -> str:
    solutions = "".join(_solution(solution) for solution in example["solutions"])
    return (
        f"<article><h3>{escape(example['title'])}</h3><p class='problem'>{escape(example['text'])}</p>"
        f"<p class='quiet'>gold answer: {escape(example['gold'])}</p><div class='row'>{solutions}</div></article>"
    )


def _solution(solution: Mapping) -> str:
    mark = "right" if solution["right"] else "wrong"
    steps = "".join(_step(*step) for step in solution["steps"])
    return (
        f"<div class='solution'><p><b>{escape(solution['title'])}</b><br>answers {escape(solution['answer'])} "
        f"<span class='mark {mark}'>{mark}</span></p><ol>{steps}</ol></div>"
    )


def _step(text: str, score: float | None, kind: str | None) -> str:
    wrong = f" <span class='mark wrong'>{escape(WRONG.get(kind, kind))}</span>" if kind not in (None, "right") else ""
    tint = "" if score is None else f" style='--score:{score * 100:.0f}%'"
    return (
        f"<li class='{'step' if score is not None else ''}'{tint}><span>{escape(text.strip())}{wrong}</span>"
        f"<i>{_number(score, 2)}</i></li>"
    )


def _rejected(rejected: Mapping[str, int]) -> str:
    lines = "".join(f"<tr><td>{escape(why)}</td><td class='num'>{count:,}</td></tr>" for why, count in rejected.items())
    body = f"<table class='narrow'><tbody>{lines}</tbody></table>" if rejected else "<p>None.</p>"
    about = "Kept, counted, without a vote: nothing is dropped in silence."
    return _section("Rows that did not count", about, body)


def _stages(stages: Sequence[Mapping]) -> str:
    stages = sorted(stages, key=lambda stage: -stage["seconds"])
    rest = stages[SHOWN:]
    stages = stages[:SHOWN]
    if rest:
        stages.append(
            {
                "name": f"{len(rest)} more",
                "seconds": sum(s["seconds"] for s in rest),
                "rows": sum(s["rows"] for s in rest),
            }
        )
    longest = max((stage["seconds"] for stage in stages), default=0) or 1
    lines = "".join(
        f"<tr><td>{escape(stage['name'])}</td><td class='num'>{_seconds(stage['seconds'])}</td>"
        f"<td>{charts.bar(stage['seconds'] / longest, 'base')}</td>"
        f"<td class='num quiet'>{stage['rows']:,} rows</td></tr>"
        for stage in stages
    )
    return f"<section><h2>Where the time went</h2><table><tbody>{lines}</tbody></table></section>"


def _role(name: str) -> str:
    return "gold" if name.endswith(" gold") else "ours" if name.endswith(" prm") else "base"


def _number(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}".removeprefix("0")


def difference(interval: Sequence[float] | None) -> str:
    """An interval in points, "+9.4 [+7.1, +11.7]"; "" where there is none."""
    if not charts.known(interval):
        return ""
    mean, low, high = (100 * d for d in interval)
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
