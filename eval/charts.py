"""Small SVG charts as text: no library, no script; colours are the classes of the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape


def interval(difference: Sequence[float] | None, low: float, high: float, role: str, width: int = 260) -> str:
    """One row of a forest plot: the mean difference and its interval on the shared scale low..high, a line at zero."""
    x = lambda value: 6 + (value - low) / (high - low) * (width - 12)
    parts = [f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="24"/>']
    if known(difference):
        mean, left, right = difference
        parts.append(
            f'<rect class="{role} band" x="{x(left):.1f}" y="8" width="{max(x(right) - x(left), 1):.1f}" '
            'height="8" rx="4"/>'
        )
        parts.append(f'<circle class="{role}" cx="{x(mean):.1f}" cy="12" r="5"/>')
    return _svg(width, 24, parts, "difference to majority")


def known(numbers: Sequence[float | None] | None) -> bool:
    """Whether every number is there (neither None nor NaN)."""
    return numbers is not None and all(n is not None and not math.isnan(n) for n in numbers)


def scale(differences: Sequence[Sequence[float] | None]) -> tuple[float, float]:
    """One range around zero that holds every interval."""
    ends = [0.0] + [end for d in differences if known(d) for end in d]
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin


def lines(x_labels: Sequence[object], series: Mapping[str, Sequence[float]], roles: Mapping[str, str]) -> str:
    """Accuracy against x, evenly spaced; each line named at its right end, pushed apart where names would overlap."""
    width, height, left, right, top, bottom = 910, 300, 44, 190, 14, 34
    shown = {name: ys for name, ys in series.items() if any(known([y]) for y in ys)}
    values = [y for ys in shown.values() for y in ys if known([y])]
    if not values:
        return "<p class='quiet'>nothing to draw</p>"
    low = max(0.0, math.floor(min(values) * 20 - 0.5) / 20)
    high = min(1.0, math.ceil(max(values) * 20 + 0.5) / 20)
    x = lambda i: left + i * (width - left - right) / max(len(x_labels) - 1, 1)
    y = lambda value: top + (high - value) / (high - low) * (height - top - bottom)
    parts = _ticks(low, high, y, left, width - right)
    parts += [
        f'<text class="tick" x="{x(i):.1f}" y="{height - 12}" text-anchor="middle">{escape(str(label))}</text>'
        for i, label in enumerate(x_labels)
    ]
    ends = []
    for name, ys in shown.items():
        points = [(x(i), y(value)) for i, value in enumerate(ys) if known([value])]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline class="{roles[name]} line" points="{path}"/>')
        parts += [f'<circle class="{roles[name]}" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>' for a, b in points]
        ends.append((points[-1][1], points[-1][0], name, [v for v in ys if known([v])][-1]))
    last = -99.0
    for at, end, name, value in sorted(ends):
        last = max(at, last + 16)
        parts.append(
            f'<text class="{roles[name]} name" x="{end + 10:.1f}" y="{last + 4:.1f}">{escape(name)} {value:.3f}</text>'
        )
    return _svg(width, height, parts, "accuracy against samples a problem")


def reliability(table: Mapping[str, Sequence[float]], role: str) -> str:
    """Belief against share right, a dot a bin (area: how many steps), and the diagonal of a calibrated source."""
    size, pad = 300, 44
    at = lambda value: pad + value * (size - pad - 14)
    up = lambda value: size - at(value)
    most = max(table["count"]) or 1
    parts = [f'<line class="zero" x1="{at(0):.1f}" y1="{up(0):.1f}" x2="{at(1):.1f}" y2="{up(1):.1f}"/>']
    for value in (0, 0.5, 1):
        parts.append(
            f'<text class="tick" x="{at(value):.1f}" y="{size - pad + 18}" text-anchor="middle">{value:g}</text>'
        )
        parts.append(f'<text class="tick" x="{pad - 8}" y="{up(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for count, belief, right in zip(table["count"], table["belief"], table["right"]):
        if count:
            radius = 3 + 9 * math.sqrt(count / most)
            parts.append(
                f'<circle class="{role} soft" cx="{at(belief):.1f}" cy="{up(right):.1f}" r="{radius:.1f}">'
                f"<title>{count} steps: believed {belief:.2f}, right {right:.2f}</title></circle>"
            )
    parts.append(
        f'<text class="tick" x="{(size + pad - 14) / 2:.0f}" y="{size - 4}" text-anchor="middle">belief</text>'
    )
    parts.append(
        f'<text class="tick" transform="translate(12 {(size - pad + 14) / 2:.0f}) rotate(-90)" '
        'text-anchor="middle">share right</text>'
    )
    return _svg(size, size, parts, "reliability diagram")


def bar(share: float, role: str, width: int = 220) -> str:
    """A plain bar, share of the full width."""
    return _svg(
        width, 12, [f'<rect class="{role}" x="0" y="1" width="{max(share * width, 1):.1f}" height="10" rx="3"/>'], ""
    )


def _ticks(low: float, high: float, y, left: float, right: float) -> list[str]:
    step = 0.05 if high - low <= 0.3 else 0.1
    count = int(round((high - low) / step))
    parts = []
    for value in (low + i * step for i in range(count + 1)):
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    return parts


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    about = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" {about}>{"".join(parts)}</svg>'
