"""An SVG of measures that grow with the number of products, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 420, 60, 300, 20, 40
_COLOURS = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)


def growth_svg(lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """A line for each measure: (products, value) each; what is not above 0 is left out."""
    known = {name: [(size, value) for size, value in line if value > 0] for name, line in lines.items()}
    known = {name: line for name, line in known.items() if len(line) > 1}
    sizes = [math.log10(size) for line in known.values() for size, _ in line]
    values = [math.log10(value) for line in known.values() for _, value in line]
    low, high = math.floor(min(values)), math.ceil(max(values))

    def place(size: float, value: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (size - min(sizes)) / (max(sizes) - min(sizes))
        return across, _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / max(high - low, 1)

    parts = []
    for power in range(low, high + 1):
        x, y = place(min(sizes), power)
        parts.append(f'<path d="M{x:.1f} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for size in sorted(set(sizes)):
        x, _ = place(size, low)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{round(10**size):,}</text>')
    for number, (name, line) in enumerate(known.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [place(math.log10(size), math.log10(value)) for size, value in line]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        y = _TOP + 20 + 22 * number
        parts.append(f'<path d="M{_WIDTH - _RIGHT + 20} {y - 4}h24" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 50}" y="{y}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )
