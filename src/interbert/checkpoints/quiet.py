"""Silence for expected events of the library below: we say ourselves what matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def quiet_library() -> Iterator[None]:
    """No tables of missing weights (a BERT without an LM head is what we expect) and no bars for a file's shards."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()
