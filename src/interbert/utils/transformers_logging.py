"""Silence for expected events of the library below: we say ourselves what matters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from huggingface_hub.utils.tqdm import progress_bar_states
from transformers.utils import logging

_lock = threading.Lock()
_open: list[Callable[[], None]] = []
"""For each block that is open, in whatever thread, what undoes the silence that the first of them began."""


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No tables of missing weights (a BERT without an LM head is what we expect) and no bars for a file's shards.

    The settings are the process's, so the caller's come back as they were when the last open block ends.
    """
    with _lock:
        _open.append(_open[0] if _open else _silence())
    try:
        yield
    finally:
        with _lock:
            undo = _open.pop()
            if not _open:
                undo()


def _silence() -> Callable[[], None]:
    """Silence the library; what comes back undoes it."""
    level, bars, hub = logging.get_logger().level, logging.is_progress_bar_enabled(), dict(progress_bar_states)
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    def undo() -> None:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
        progress_bar_states.clear()  # the hub's own, which transformers' switch turns with its own
        progress_bar_states.update(hub)

    return undo
