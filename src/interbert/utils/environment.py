"""What this machine and this installation have: memory, and versions of packages."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any

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
    if any(name in os.environ for name in _CHOSEN):
        return False
    mallopt = _of_glibc("mallopt")
    return mallopt is not None and bool(mallopt(_TRIM_THRESHOLD, _LARGE)) & bool(mallopt(_MMAP_THRESHOLD, _LARGE))


def return_freed_memory() -> None:
    """Give the system what this process has freed, after work that is not done again; does nothing without glibc."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library, where that is glibc; else None."""
    try:
        return getattr(ctypes.CDLL(None), name) if sys.platform == "linux" else None
    except (OSError, AttributeError):
        return None


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Version of each package that is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
