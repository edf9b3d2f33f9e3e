"""Learning curves as inline SVG: each objective against the value it has by chance."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interbert.search.page import escape

WIDTH, HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 26


_TITLES = {
    "lm_loss": "Masked words",
    "region_loss": "Masked regions",
    "matching_loss": "Text/picture matching",
    "contrastive_loss": "Contrast in the batch",
    "loss": "Sum of the objectives",
}
_SMOOTHING = 0.85


@dataclass(frozen=True)
class Chart:
    """One quantity over training.

    Attributes:
        title: what is shown.
        train: (step, value) on training batches; may be empty.
        held_out: (step, value) on validation data; may be empty.
        chance: the value without learning; None when there is no such value.
        percent: show values as per cent.
    """

    title: str
    train: tuple[tuple[float, float], ...]
    held_out: tuple[tuple[float, float], ...]
    chance: float | None = None
    percent: bool = False


def read_log(path: str | Path) -> list[dict[str, float]]:
    """Entries of a ``log_history.jsonl`` whose values are finite numbers; [] when there is no such file."""
    file = Path(path)
    if not file.is_file():
        return []
    entries = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        record = json.loads(line)
        entries.append(
            {
                key: float(value)
                for key, value in record.items()
                if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            }
        )
    return entries


def charts_from_log(entries: Sequence[Mapping[str, float]], chance: Mapping[str, float]) -> list[Chart]:
    """One chart per objective and one for validation recall, from the trainer's log.

    Args:
        entries: of :func:`read_log`; training values are called ``matching_loss``, ``lm_loss`` and so on,
            validation values the same with ``eval_`` before it, recall ``eval_...r@1``.
        chance: chance value of each name (without ``eval_``). A log entry may bring its own as
            ``chance_NAME`` or ``NAME_chance``; the last one wins.
    """
    train: dict[str, list[tuple[float, float]]] = {}
    held_out: dict[str, list[tuple[float, float]]] = {}
    known = dict(chance)
    for entry in entries:
        step = entry.get("step")
        if step is None:
            continue
        for key, value in entry.items():
            name = key.removeprefix("eval_")
            if "chance" in name:
                known[name.replace("chance_", "").replace("_chance", "")] = value
            elif name in _TITLES or name.lower().endswith("r@1"):
                (held_out if key.startswith("eval_") else train).setdefault(name, []).append((step, value))
    names = [name for name in _TITLES if name != "loss" and (name in train or name in held_out)]
    if not names and ("loss" in train or "loss" in held_out):
        names = ["loss"]
    charts = [
        Chart(_TITLES[name], tuple(train.get(name, ())), tuple(held_out.get(name, ())), known.get(name))
        for name in names
    ]
    recalls = [name for name in held_out if name.lower().endswith("r@1")]
    charts.extend(
        Chart(_recall_title(name), (), tuple(held_out[name]), known.get(name), percent=True) for name in recalls
    )
    return charts


def _recall_title(name: str) -> str:
    extra = name[: -len("r@1")].strip("_/ ").replace("_", " ").replace("/", " ")
    return "Right picture first (R@1)" + (f", {extra}" if extra else "")


def smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Exponential moving average with its start-up bias taken out."""
    result, average, weight = [], 0.0, 0.0
    for step, value in points:
        average = _SMOOTHING * average + (1 - _SMOOTHING) * value
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        result.append((step, average / weight))
    return result


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round values from ``low`` to ``high``, about ``count`` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _number(value: float, percent: bool) -> str:
    if percent:
        return f"{value:.0f}%" if value >= 10 or value == int(value) else f"{value:.1f}%"
    return f"{value:.3g}"


def chart_svg(chart: Chart) -> str:
    """One chart as a ``<figure>``; "" when it has no points."""
    factor = 100.0 if chart.percent and _largest(chart) <= 1.0 else 1.0
    train = smooth([(step, value * factor) for step, value in chart.train])
    held_out = [(step, value * factor) for step, value in chart.held_out]
    points = [*train, *held_out]
    if not points:
        return ""
    chance = None if chart.chance is None else chart.chance * factor
    values = [value for _, value in points] + ([] if chance is None else [chance])
    low, high = (0.0 if chart.percent else min(values)), max(values)
    margin = (high - low or abs(high) or 1.0) * 0.08
    low, high = (low if chart.percent else low - margin), high + margin
    last_step = max(step for step, _ in points) or 1.0
    inner_width, inner_height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(step: float, value: float) -> tuple[float, float]:
        return _LEFT + inner_width * step / last_step, _TOP + inner_height * (high - value) / (high - low)

    parts = []
    for tick in ticks(low, high):
        _, y = place(0, tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = _number(tick, chart.percent)
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for tick in ticks(0, last_step):
        x, _ = place(tick, low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{tick:g}</text>')
    if chance is not None:
        _, y = place(0, chance)
        parts.append(f'<line class="chance" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{WIDTH - _RIGHT}" y="{y - 4:.1f}" text-anchor="end">chance</text>')
    parts.append(_line([place(*point) for point in train], "train"))
    parts.append(_line([place(*point) for point in held_out], "held"))
    if held_out:
        x, y = place(*held_out[-1])
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
    final = _number((held_out or train)[-1][1], chart.percent)
    against = "" if chance is None else f" · chance {_number(chance, chart.percent)}"
    return (
        f'<figure class="chart"><figcaption>{escape(chart.title)}<span>{final}{against}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(chart.title)}: ends at {final}{against}">' + "".join(parts) + "</svg></figure>"
    )


def _largest(chart: Chart) -> float:
    return max((value for _, value in (*chart.train, *chart.held_out)), default=0.0)


def _line(points: Iterable[tuple[float, float]], css: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{css}" points="{path}"/>' if path else ""
