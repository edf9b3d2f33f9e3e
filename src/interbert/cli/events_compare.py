"""Compare the variants of an experiment: click-through with 95% intervals, searches without results, times.

An experiment is `interbert serve shop=INDEX next=OTHER --experiment shop:0.1=next`. The interval of a rate is Wilson's
over searches, that of the difference is by the delta method over clients. Choose --days so that they began with the
experiment.

    interbert events compare shop --state service
    interbert events compare shop --days 7 --state service
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.service.variant_statistics import Rate


@dataclass
class Options:
    """Options of ``interbert events compare``."""

    index: str
    """Name of the index as it is served, whose searches were shared out."""
    state: str | None = None
    """Folder of the service's state."""
    database: str | None = None
    """URL of the service's database, in place of the folder."""
    days: float = 30.0
    """Searches of the last days."""


def run(options: Options) -> None:
    """Print the table and the differences."""
    from rich.box import SIMPLE

    from interbert.cli.service_state import opened_state
    from interbert.cli.tables import TextTable, print_table
    from interbert.errors import UsageError, require_range

    require_range("events compare: --days", options.days, 1e-6, 36_525)
    with opened_state(options.state, options.database) as state:
        found, where = state.events.variants(options.index, options.days), state.name
    if not found:
        raise UsageError(
            f"{where}: no search of {options.index!r} was part of an experiment in the last {options.days:g} days. "
            "See: interbert serve --experiment"
        )
    from interbert.service.variant_statistics import differences, wilson

    table = TextTable(box=SIMPLE, padding=(0, 1, 0, 0))
    for header in ("variant", "clients", "searches", "click-through", "without results", "p50 ms", "p99 ms"):
        table.add_column(header)
    for one in found:
        rates = (_shown(wilson(count, one.searches)) for count in (one.clicked, one.without_results))
        times = ("" if value is None else f"{value:.0f}" for value in (one.p50_ms, one.p99_ms))
        table.add_row(one.variant, str(one.clients), str(one.searches), *rates, *times)
    print_table(table, 108)
    for against in differences(options.index, found):
        told = _shown(against.click_through, "+")
        say(f"{against.variant} against {against.control}: click-through {told} percentage points")


def _shown(rate: Rate, sign: str = "") -> str:
    value, low, high = (format(100 * one, f"{sign}.2f") for one in (rate.value, rate.low, rate.high))
    return f"{value} [{low}, {high}]"
