"""Charts as inline SVG that works without a script: values show under the pointer, and in a table below."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from interbert.report.charts import Chart, Curve, Points
from interbert.search.page import escape

WIDTH, HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 26
_WINDOWS = 15
"""A moving average spans this part of what was logged: few points are hardly smoothed, many are a lot."""
_DRAWN = 400
_HOVERED = 32
_LISTED = 12
_SLOTS = 8
_NEAR = 3.0
"""A chance value further from a curve than so many times the curve's own height is named, not drawn."""


def smooth(points: Sequence[tuple[float, float]]) -> Points:
    """Exponential moving average with its start-up bias taken out."""
    keep = 1 - 1 / max(1.0, len(points) / _WINDOWS)
    result, average, weight = [], 0.0, 0.0
    for x, value in points:
        average = keep * average + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        result.append((x, average / weight))
    return tuple(result)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round values from ``low`` to ``high``, about ``count`` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{index * step:.6g}") for index in range(first, last + 1)]


def number(value: float, percent: bool = False) -> str:
    """A value as people read it."""
    if percent:
        return f"{value:.1f}%"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def final_value(curve: Curve, chart: Chart) -> float:
    """Where a curve ends; of a smoothed one its average."""
    return (smooth(curve.points) if chart.smooth else curve.points)[-1][1]


def key(slot: int) -> str:
    """CSS classes of a run's colour; every eighth run has the first one's colour, dotted."""
    return f"s{slot % _SLOTS}" + (" dotted" if slot // _SLOTS % 2 else "")


@dataclass(frozen=True)
class _Scale:
    """Values to pixels."""

    last: float
    low: float
    high: float

    def __call__(self, x: float, value: float) -> tuple[float, float]:
        across = _LEFT + (WIDTH - _LEFT - _RIGHT) * x / self.last
        return across, _TOP + (HEIGHT - _TOP - _BOTTOM) * (self.high - value) / (self.high - self.low)


def chart_figure(chart: Chart) -> str:
    """One chart with its values in a folded table, as a ``<figure>``; "" when it has no points."""
    if not any(curve.points for curve in chart.curves):
        return ""
    scale = _scale(chart)
    parts = [_grid(chart, scale), _chance_lines(chart, scale)]
    parts += [_curve(curve, chart, scale) for curve in chart.curves]
    parts.append(_hover(chart, scale))
    note = _note(chart)
    return (
        f'<figure class="chart"><figcaption>{escape(chart.title)}<span>{note}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)} {note}">'
        f"{''.join(parts)}</svg>{_table(chart)}</figure>"
    )


def _note(chart: Chart) -> str:
    """What stands beside the title: where the only curve ends or what was kept of it, and what it has to leave."""
    chances = {curve.chance for curve in chart.curves if curve.chance is not None}
    parts = []
    if len(chart.curves) == 1:
        kept = chart.curves[0].kept
        value = final_value(chart.curves[0], chart) if kept is None else kept[1]
        parts.append(("" if kept is None else "kept ") + number(value, chart.percent))
    if len(chances) == 1:
        parts.append(f"chance {number(chances.pop())}")
    return " · ".join(parts)


def _scale(chart: Chart) -> _Scale:
    values = [value for curve in chart.curves for _, value in curve.points]
    low, high = min(values), max(values)
    if chart.percent:
        middle, half = (low + high) / 2, max(5.0, (high - low) / 2)  # a step of one image in 500 is no cliff
        low, high = max(0.0, middle - half), min(100.0, middle + half)
    near = _NEAR * (high - low)
    for curve in chart.curves:
        if curve.chance is not None and low - near <= curve.chance <= high + near:
            low, high = min(low, curve.chance), max(high, curve.chance)
    margin = (high - low or abs(high) or 1.0) * 0.08
    floor = 0.0 if low >= 0 else -math.inf
    return _Scale(max(curve.points[-1][0] for curve in chart.curves) or 1.0, max(floor, low - margin), high + margin)


def _grid(chart: Chart, scale: _Scale) -> str:
    parts = []
    for tick in ticks(scale.low, scale.high):
        _, y = scale(0, tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = f"{tick:g}%" if chart.percent else number(tick)
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for tick in ticks(0, scale.last):
        x, _ = scale(tick, scale.low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{_short(tick)}</text>')
    return "".join(parts)


def _short(x: float) -> str:
    return f"{x / 1000:g}k" if x >= 10_000 else f"{x:g}"


def _exact(x: float) -> str:
    return f"{x:,.0f}" if x == int(x) else f"{x:,.2f}"


def _chance_lines(chart: Chart, scale: _Scale) -> str:
    """A dashed line for each chance value, its name on the side away from the curve; an arrow to those far away."""
    owners: dict[float, list[Curve]] = {}
    for curve in chart.curves:
        if curve.chance is not None:
            owners.setdefault(curve.chance, []).append(curve)
    parts = []
    far = {"↑": [one for one in owners if one > scale.high], "↓": [one for one in owners if one < scale.low]}
    for chance, curves in owners.items():
        if not scale.low <= chance <= scale.high:
            continue
        _, y = scale(0, chance)
        colour = key(curves[0].slot) if len(owners) > 1 and len(curves) == 1 else ""
        css = f"chance {colour}".strip()
        parts.append(f'<line class="{css}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        below = final_value(curves[0], chart) > chance
        parts.append(_end_text("chance", y + 12 if below else y - 4))
    for arrow, values in far.items():
        if values:
            named = ", ".join(map(number, sorted(values)))
            parts.append(_end_text(f"chance {named} {arrow}", _TOP + 10 if arrow == "↑" else HEIGHT - _BOTTOM - 4))
    return "".join(parts)


def _end_text(text: str, y: float) -> str:
    return f'<text x="{WIDTH - _RIGHT}" y="{y:.1f}" text-anchor="end">{text}</text>'


def _curve(curve: Curve, chart: Chart, scale: _Scale) -> str:
    colour = key(curve.slot)
    drawn = thinned(curve.points, _DRAWN)
    parts = []
    if chart.smooth:
        if len(chart.curves) <= 2:
            parts.append(_line(drawn, scale, f"raw {colour}"))
        drawn = thinned(smooth(curve.points), _DRAWN)
    parts.append(_line(drawn, scale, f"line {colour}"))
    if chart.percent or len(drawn) == 1:
        parts += [_dot(scale(*point), f"dot {colour}", 2.6) for point in (drawn if len(drawn) <= 60 else drawn[-1:])]
    if curve.kept is not None:
        x, y = scale(*curve.kept)
        parts.append(_dot((x, y), f"kept {colour}", 5.5))
        if len(chart.curves) == 1:
            anchor = "end" if x > WIDTH / 2 else "start"
            parts.append(f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="{anchor}">kept</text>')
    return "".join(parts)


def _dot(at: tuple[float, float], css: str, radius: float) -> str:
    return f'<circle class="{css}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}"/>'


def _line(points: Iterable[tuple[float, float]], scale: _Scale, css: str) -> str:
    path = " ".join("{:.1f},{:.1f}".format(*scale(*point)) for point in points)
    return f'<polyline class="{css}" points="{path}"/>'


def thinned(points: Points, count: int) -> Points:
    """At most ``count`` of them, evenly chosen, first and last among them."""
    if len(points) <= count:
        return points
    return tuple(points[round(index * (len(points) - 1) / (count - 1))] for index in range(count))


def _places(chart: Chart, count: int) -> list[float]:
    xs = sorted({x for curve in chart.curves for x, _ in curve.points})
    return [x for x, _ in thinned(tuple((x, 0.0) for x in xs), count)]


def value_at(curve: Curve, x: float) -> float | None:
    """The value last logged at ``x``; None before the first, and after the last."""
    index = bisect.bisect_right(curve.points, (x, math.inf)) - 1
    return None if index < 0 or x > curve.points[-1][0] else curve.points[index][1]


def _hover(chart: Chart, scale: _Scale) -> str:
    """Invisible columns, each of which shows its values while the pointer is over it."""
    places = _places(chart, _HOVERED)
    edges = [(a + b) / 2 for a, b in pairwise(places)]
    parts = []
    for x, start, end in zip(places, [0.0, *edges], [*edges, scale.last], strict=True):
        (left, _), (right, _), (middle, _) = scale(start, 0), scale(end, 0), scale(x, 0)
        side = f'x="{middle + 7:.1f}"' if middle < WIDTH / 2 else f'x="{middle - 7:.1f}" text-anchor="end"'
        shown = [("", f"{chart.axis} {_exact(x)}")]
        for curve in chart.curves:
            value = value_at(curve, x)
            if value is not None:
                shown.append((key(curve.slot), f"{curve.name} {number(value, chart.percent)}".strip()))
        at = side.split()[0]
        spans = "".join(f'<tspan class="{css}" {at} dy="13">{escape(one)}</tspan>' for css, one in shown)
        parts.append(
            f'<g class="at"><rect x="{left:.1f}" y="0" width="{max(right - left, 1):.1f}" height="{HEIGHT}"/>'
            f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
            f'<text {side} y="{_TOP - 4}">{spans}</text></g>'
        )
    return "".join(parts)


def _table(chart: Chart) -> str:
    """The values of a dozen places, folded."""
    head = "".join(f"<th>{escape(curve.name or 'value')}</th>" for curve in chart.curves)
    rows = []
    for x in _places(chart, _LISTED):
        cells = (value_at(curve, x) for curve in chart.curves)
        line = "".join(f"<td>{'' if one is None else number(one, chart.percent)}</td>" for one in cells)
        rows.append(f"<tr><td>{_exact(x)}</td>{line}</tr>")
    return (
        '<details><summary>values</summary><div class="scroll"><table class="values">'
        f"<thead><tr><th>{escape(chart.axis)}</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )
