"""Progress bars of long work: what was done of how much, the rate, and the time that remains."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from interbert.redaction import without_credentials
from interbert.terminal import printable


@contextmanager
def progress_bar(what: str, total: int, unit: str, shown: bool | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; the block gets a function that is told how much more is done.

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

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    if not (logging.getLogger("interbert").isEnabledFor(logging.INFO) if shown is None else shown):
        yield lambda more: None
        return
    started, done = time.monotonic(), 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        rate = done / max(time.monotonic() - started, 1e-6)
        bar.update(task, advance=more, rate=f"{rate:,.0f} {unit}/s")

    with bar:
        task = bar.add_task(printable(without_credentials(what)), total=total, rate="")
        yield advance
