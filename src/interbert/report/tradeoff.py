"""Recall against time per query, as an SVG file of its own: what each stage of a cascade buys, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from interbert.report.svg import ticks
from interbert.utils.templating import format_number, render

_WIDTH, _HEIGHT, _PANEL = 860, 400, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 24, 64, 62
_NAME_ROWS = 3
_MARGIN = 0.15
"""Of the time axis, in powers of ten."""


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
    return render(
        "tradeoff.svg",
        title=title,
        metrics=metrics,
        panels=[_panel(panel, metrics, index * (_WIDTH - _PANEL), (low, high)) for index, panel in enumerate(panels)],
        box=(_WIDTH, _HEIGHT, _TOP, _HEIGHT - _BOTTOM, _LEFT),
    )


def _panel(panel: Panel, metrics: Sequence[str], offset: float, bounds: tuple[float, float]) -> dict[str, object]:
    """What the template shows of a panel, in pixels."""
    times = [math.log10(max(point.milliseconds, 1e-3)) for point in panel.points]
    first, last = min(times) - _MARGIN, max(times) + _MARGIN
    low, high = bounds

    def across(logarithm: float) -> float:
        return offset + _LEFT + (_PANEL - _LEFT - _RIGHT) * (logarithm - first) / (last - first)

    def down(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    return {
        "title": panel.title,
        "left": offset + _LEFT,
        "right": offset + _PANEL - _RIGHT,
        "rows": [(down(tick), f"{tick:g}%") for tick in ticks(low, high, 5)],
        "columns": [(across(power), _time(10.0**power)) for power in range(math.ceil(first), math.floor(last) + 1)],
        "curves": [
            [
                (
                    across(x),
                    down(point.values[index]),
                    f"{point.name}: {metric} {point.values[index]:.1f}%, {_time(point.milliseconds)}",
                )
                for x, point in zip(times, panel.points, strict=True)
            ]
            for index, metric in enumerate(metrics)
        ],
        "names": [
            (across(x), _HEIGHT - _BOTTOM + 30 + 12 * (place % _NAME_ROWS), point.name)
            for place, (x, point) in enumerate(zip(times, panel.points, strict=True))
        ],
    }


def _time(milliseconds: float) -> str:
    seconds = milliseconds / 1000
    return f"{format_number(seconds)} s" if seconds >= 1 else f"{format_number(milliseconds)} ms"
