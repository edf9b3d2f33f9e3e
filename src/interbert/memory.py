"""The C library's allocator, told to keep memory that was freed.

By default glibc gives every large block back to the system when it is freed and asks for it anew in the next step; the
system then clears each page again at its first touch. A step of a network frees and takes the same large blocks over
and over: on a CPU a fifth of training and half of describing images went into pages (`benchmarks/results/memory.md`).
What is computed does not change.
"""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of glibc's parameters (``malloc.h``)."""
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Variables by which somebody has chosen already."""
_LARGE = 1 << 30
"""Bytes: larger blocks still come from the system and go back to it, and so does free memory at the heap's end."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for its next step; whether that was possible.

    Nothing is changed without glibc, nor where the environment says something of its allocator. The ``interbert``
    command does this; in a program of your own call it before the work. A process holds about as much memory at its
    peak, but gives less of it back afterwards.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _CHOSEN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _LARGE)) & bool(mallopt(_MMAP_THRESHOLD, _LARGE))
