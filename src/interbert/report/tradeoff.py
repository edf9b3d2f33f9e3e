"""Recall against time per query, as an SVG file of its own: what each stage of a cascade buys, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from interbert.report.svg import number, ticks
from interbert.search.page import escape

_WIDTH, _HEIGHT, _PANEL = 860, 400, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 24, 64, 62
_NAME_ROWS = 3
_MARGIN = 0.15
"""Of the time axis, in powers of ten."""
_STYLE = """text{font:12px system-ui,sans-serif;fill:#6b6862}.head{font-size:14px;font-weight:600;fill:#1c1b19}
.paper{fill:#fff}.grid{stroke:#e4e0d8}.line{fill:none;stroke-width:2.2}.m0{stroke:#b4441f;fill:#b4441f}
.m1{stroke:#1f6fb4;fill:#1f6fb4}.m2{stroke:#2d8a4e;fill:#2d8a4e}.line{fill:none}.name{stroke:none}
@media(prefers-color-scheme:dark){.paper{fill:#201f1d}.grid{stroke:#34322e}text{fill:#a39e95}.head{fill:#f1eee8}
.m0{stroke:#f08a5d;fill:#f08a5d}.m1{stroke:#6cb4f0;fill:#6cb4f0}.m2{stroke:#5cc68a;fill:#5cc68a}.line{fill:none}}"""


@dataclass(frozen=True)
class Point:
    """One stage."""

    name: str
    milliseconds: float
    """Per query."""
    values: tuple[float, ...]
    """Of each metric, in per cent."""


@dataclass(frozen=True)
class Panel:
    """One way to take the time."""

    title: str
    points: tuple[Point, ...]


def tradeoff_svg(title: str, metrics: Sequence[str], panels: Sequence[Panel]) -> str:
    """Draw one curve per metric in each panel; time runs on a logarithmic axis.

    Args:
        title: of the whole.
        metrics: names of the values of every point, at most three.
        panels: at most two, each with a point.
    """
    values = [value for panel in panels for point in panel.points for value in point.values]
    low = max(0.0, 10 * math.floor((min(values) - 1) / 10))
    high = min(100.0, 10 * math.ceil((max(values) + 1) / 10))
    drawn = "".join(
        _panel(panel, metrics, index * (_WIDTH - _PANEL), (low, high)) for index, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><style>{_STYLE}</style><rect class="paper" width="100%" height="100%"/>'
        f'<text class="head" x="{_LEFT}" y="22">{escape(title)}</text>{drawn}</svg>\n'
    )


def _panel(panel: Panel, metrics: Sequence[str], offset: float, bounds: tuple[float, float]) -> str:
    times = [math.log10(max(point.milliseconds, 1e-3)) for point in panel.points]
    first, last = min(times) - _MARGIN, max(times) + _MARGIN
    low, high = bounds

    def across(logarithm: float) -> float:
        return offset + _LEFT + (_PANEL - _LEFT - _RIGHT) * (logarithm - first) / (last - first)

    def down(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    right, bottom = offset + _PANEL - _RIGHT, _HEIGHT - _BOTTOM
    parts = [f'<text x="{offset + _LEFT}" y="42">{escape(panel.title)}</text>']
    for tick in ticks(low, high, 5):
        parts.append(
            f'<line class="grid" x1="{offset + _LEFT}" x2="{right}" y1="{down(tick):.1f}" y2="{down(tick):.1f}"/>'
        )
        parts.append(f'<text x="{offset + _LEFT - 6}" y="{down(tick) + 4:.1f}" text-anchor="end">{tick:g}%</text>')
    for power in range(math.ceil(first), math.floor(last) + 1):
        x = across(power)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_time(10.0**power)}</text>')
    for index, metric in enumerate(metrics):
        places = [(across(x), down(one.values[index])) for x, one in zip(times, panel.points, strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line m{index}" points="{line}"/>')
        for (x, y), point in zip(places, panel.points, strict=True):
            said = f"{point.name}: {metric} {point.values[index]:.1f}%, {_time(point.milliseconds)}"
            parts.append(
                f'<circle class="m{index}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"><title>{escape(said)}</title></circle>'
            )
        parts.append(
            f'<text class="name m{index}" x="{places[0][0]:.1f}" y="{places[0][1] - 8:.1f}">{escape(metric)}</text>'
        )
    for place, (x, point) in enumerate(zip(times, panel.points, strict=True)):
        y = bottom + 30 + 12 * (place % _NAME_ROWS)
        parts.append(
            f'<text x="{across(x):.1f}" y="{y}" text-anchor="middle" font-size="10">{escape(point.name)}</text>'
        )
    return "".join(parts)


def _time(milliseconds: float) -> str:
    return f"{number(milliseconds / 1000)} s" if milliseconds >= 1000 else f"{number(milliseconds)} ms"
