"""Charts in pixels for an inline SVG that works without a script: values show under the pointer, and in a table."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from interbert.report.charts import Chart, Curve, Points
from interbert.utils.templating import colour_classes, format_number

Place = tuple[float, float]
"""x and y in pixels."""

WIDTH, HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 26
_WINDOWS = 15
"""A moving average spans this part of what was logged: few points are hardly smoothed, many are a lot."""
_DRAWN = 400
_HOVERED = 32
_LISTED = 12
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


def final_value(curve: Curve, chart: Chart) -> float:
    """Where a curve ends; of a smoothed one its average."""
    return (smooth(curve.points) if chart.smooth else curve.points)[-1][1]


@dataclass(frozen=True)
class _Scale:
    """Values to pixels."""

    last: float
    low: float
    high: float

    def __call__(self, x: float, value: float) -> tuple[float, float]:
        across = _LEFT + (WIDTH - _LEFT - _RIGHT) * x / self.last
        return across, _TOP + (HEIGHT - _TOP - _BOTTOM) * (self.high - value) / (self.high - self.low)


@dataclass(frozen=True)
class DrawnCurve:
    """One curve in pixels: CSS classes and points of its lines, CSS classes, centre and radius of its dots."""

    lines: list[tuple[str, list[Place]]]
    dots: list[tuple[str, float, float, float]]
    kept: list[tuple[float, float, str]]
    """Where "kept" is written, with its anchor; at most one."""


@dataclass(frozen=True)
class Hovered:
    """An invisible column that shows its values, each with CSS classes, while the pointer is over it."""

    start: float
    width: float
    x: float
    """Of the values."""
    texts: list[tuple[str, str]]


@dataclass(frozen=True)
class Drawing:
    """A chart in pixels, as ``chart.html`` shows it."""

    title: str
    note: str
    axis: str
    names: list[str]
    """Of the curves."""
    rows: list[tuple[float, str]]
    """Height and label of the lines of the grid."""
    columns: list[tuple[float, str]]
    """Place and label of the ticks below."""
    chances: list[tuple[str, float, float]]
    """CSS classes and height of each line, and height of its name."""
    far_chances: list[tuple[str, float]]
    """What is written of those that are not drawn, and its height."""
    curves: list[DrawnCurve]
    hovered: list[Hovered]
    listed: list[list[str]]
    """Cells of the folded table."""
    box: tuple[int, int, int, int, int, int] = (_TOP, HEIGHT - _BOTTOM, _LEFT, WIDTH - _RIGHT, WIDTH, HEIGHT)
    """Top, bottom, left and right of the axes, then width and height of the whole."""


def drawings(charts: Sequence[Chart]) -> list[Drawing]:
    """Each chart that has a point."""
    return [_drawing(chart) for chart in charts if any(curve.points for curve in chart.curves)]


def _drawing(chart: Chart) -> Drawing:
    scale = _scale(chart)
    chances, far_chances = _chances(chart, scale)
    return Drawing(
        title=chart.title,
        note=_note(chart),
        axis=chart.axis,
        names=[curve.name for curve in chart.curves],
        rows=[
            (scale(0, tick)[1], f"{tick:g}%" if chart.percent else format_number(tick))
            for tick in ticks(scale.low, scale.high)
        ],
        columns=[(scale(tick, scale.low)[0], _short(tick)) for tick in ticks(0, scale.last)],
        chances=chances,
        far_chances=far_chances,
        curves=[_curve(curve, chart, scale) for curve in chart.curves],
        hovered=_hovered(chart, scale),
        listed=_listed(chart),
    )


def _note(chart: Chart) -> str:
    """What stands beside the title: where the only curve ends or what was kept of it, and what it has to leave."""
    chances = {curve.chance for curve in chart.curves if curve.chance is not None}
    parts = []
    if len(chart.curves) == 1:
        kept = chart.curves[0].kept
        value = final_value(chart.curves[0], chart) if kept is None else kept[1]
        parts.append(("" if kept is None else "kept ") + format_number(value, chart.percent))
    if len(chances) == 1:
        parts.append(f"chance {format_number(chances.pop())}")
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


def _short(x: float) -> str:
    return f"{x / 1000:g}k" if x >= 10_000 else f"{x:g}"


def _exact(x: float) -> str:
    return f"{x:,.0f}" if x == int(x) else f"{x:,.2f}"


def _chances(chart: Chart, scale: _Scale) -> tuple[list[tuple[str, float, float]], list[tuple[str, float]]]:
    """A dashed line for each chance value, its name on the side away from the curve; an arrow to those far away."""
    owners: dict[float, list[Curve]] = {}
    for curve in chart.curves:
        if curve.chance is not None:
            owners.setdefault(curve.chance, []).append(curve)
    drawn: list[tuple[str, float, float]] = []
    texts: list[tuple[str, float]] = []
    for chance, curves in owners.items():
        if scale.low <= chance <= scale.high:
            _, y = scale(0, chance)
            own = len(owners) > 1 and len(curves) == 1
            css = f"chance {colour_classes(curves[0].slot)}" if own else "chance"
            drawn.append((css, y, y + 12 if final_value(curves[0], chart) > chance else y - 4))
    far = {
        "↑": (_TOP + 10, [one for one in owners if one > scale.high]),
        "↓": (HEIGHT - _BOTTOM - 4, [one for one in owners if one < scale.low]),
    }
    for arrow, (y, values) in far.items():
        if values:
            texts.append((f"chance {', '.join(map(format_number, sorted(values)))} {arrow}", y))
    return drawn, texts


def _curve(curve: Curve, chart: Chart, scale: _Scale) -> DrawnCurve:
    colour = colour_classes(curve.slot)
    points = thinned(curve.points, _DRAWN)
    lines, kept = [], []
    if chart.smooth:
        if len(chart.curves) <= 2:
            lines.append((f"raw {colour}", [scale(*point) for point in points]))
        points = thinned(smooth(curve.points), _DRAWN)
    drawn = [scale(*point) for point in points]
    lines.append((f"line {colour}", drawn))
    dots = []
    if chart.percent or len(drawn) == 1:
        dots += [(f"dot {colour}", x, y, 2.6) for x, y in (drawn if len(drawn) <= 60 else drawn[-1:])]
    if curve.kept is not None:
        x, y = scale(*curve.kept)
        dots.append((f"kept {colour}", x, y, 5.5))
        if len(chart.curves) == 1:
            kept.append((x, y - 10, "end" if x > WIDTH / 2 else "start"))
    return DrawnCurve(lines, dots, kept)


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


def _hovered(chart: Chart, scale: _Scale) -> list[Hovered]:
    places = _places(chart, _HOVERED)
    edges = [(a + b) / 2 for a, b in pairwise(places)]
    found = []
    for x, start, end in zip(places, [0.0, *edges], [*edges, scale.last], strict=True):
        (left, _), (right, _), (middle, _) = scale(start, 0), scale(end, 0), scale(x, 0)
        texts = [("", f"{chart.axis} {_exact(x)}")]
        for curve in chart.curves:
            value = value_at(curve, x)
            if value is not None:
                shown = f"{curve.name} {format_number(value, chart.percent)}".strip()
                texts.append((colour_classes(curve.slot), shown))
        found.append(Hovered(left, max(right - left, 1), middle, texts))
    return found


def _listed(chart: Chart) -> list[list[str]]:
    """The values of a dozen places."""
    rows = []
    for x in _places(chart, _LISTED):
        values = (value_at(curve, x) for curve in chart.curves)
        rows.append([_exact(x), *("" if one is None else format_number(one, chart.percent) for one in values)])
    return rows
