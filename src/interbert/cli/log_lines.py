"""What the library logs, as the lines of the command line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from interbert.terminal import say


class _Lines(logging.Handler):
    """Prints each message as one line; a reader that has gone is the caller's to notice, as where it prints itself."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), flush=True)


@contextmanager
def log_lines_on_stdout() -> Iterator[None]:
    """While a block runs, what the logger ``interbert`` logs at INFO and above goes to standard output, and only there.

    Without it the logger is as the program that imports us sets it up: it comes back so.
    """
    logger, handler = logging.getLogger("interbert"), _Lines()
    level, propagated = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagated
