"""What people see on a terminal: text without control characters, and progress."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from interbert.utils.redaction import without_credentials

_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
"""What would begin another line or column, where a forged message could stand."""
_FIRST_TOLD = 10.0
"""Seconds of measuring before the rest is estimated."""
_ACTING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction
    "\ud800-\udfff]"  # halves of characters, as in names of files that are no UTF-8: they cannot be written at all
)


def printable(text: object) -> str:
    """A text as one line in which nothing acts on a terminal.

    Line breaks and tabs become a space; other control characters, direction characters and lone surrogates become
    their escapes.
    Everything else stays, also joiners of scripts and emoji.
    """
    return inert(_BREAKS.sub(" ", str(text)))


def inert(text: str) -> str:
    """As :func:`printable`, for a page: its line breaks and tabs stay."""
    return _ACTING.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def say(text: object, flush: bool = False) -> None:
    """Print one line of the command line, as :func:`printable` makes it, in which no URI has credentials."""
    print(printable(without_credentials(str(text))), flush=flush)


def in_words(seconds: float) -> str:
    """A time as people estimate it: ``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


@contextmanager
def progress_bar(what: str, total: int, unit: str, shown: bool | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; the block gets a function that is told how much more is done.

    A file or pipe gets lines in its place that say how long the rest takes, by what is done: after ten seconds first,
    then each time twice as much has passed.

    Args:
        what: title of the bar.
        total: units of the whole work.
        unit: of the rate, such as "pairs".
        shown: whether there is a bar; None: where the logger ``interbert`` logs at INFO, as in the command line.

    Example::

        with progress_bar("scoring", texts * images, "pairs") as advance:
            score_matrix(model, texts, images, advance)
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not (console.is_jupyter or sys.stderr.isatty()):
        console = Console(stderr=True, force_terminal=False)  # FORCE_COLOR asks for colours, not for redrawing a file
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    if not (logging.getLogger("interbert").isEnabledFor(logging.INFO) if shown is None else shown):
        yield lambda more: None
        return
    started, done, told_at = time.monotonic(), 0, _FIRST_TOLD

    def advance(more: int) -> None:
        nonlocal done, told_at
        done += more
        passed = time.monotonic() - started
        bar.update(task, advance=more, rate=f"{_rate(done / max(passed, 1e-6))} {unit}/s")
        if not console.is_terminal and passed >= told_at and done < total:
            told_at = 2 * passed  # corrected as the work goes on, and seldom: a log keeps every line
            left = in_words(passed / done * (total - done))
            bar.console.print(f"{title}: {done:,} of {total:,} {unit}, about {left} left", markup=False, soft_wrap=True)

    title = printable(without_credentials(what))
    with bar:
        task = bar.add_task(title, total=total, rate="")
        yield advance
