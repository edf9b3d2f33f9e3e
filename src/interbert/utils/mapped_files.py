"""Files that are mapped into memory."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_DONT_NEED = 4
"""MADV_DONTNEED of Linux."""


def let_go(file: Path) -> int:
    """Take pages of a file that is mapped to be read alone out of this process; bytes of the mappings.

    Whoever reads them again has them read from the file again. Linux only: elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return 0
    name, total = str(file.resolve()), 0
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    for line in lines:
        area, access, _, _, _, *path = line.split(maxsplit=5)
        if path == [name] and "w" not in access:  # what was written would be lost
            start, end = (int(one, 16) for one in area.split("-"))
            if advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONT_NEED) == 0:
                total += end - start
    return total
