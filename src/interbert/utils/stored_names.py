"""Names inside of files. Fields of classes were renamed; files keep the names that earlier versions wrote and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def stored(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Fields as a file has them; ``names`` is field -> name in the file, for those that differ."""
    return {names.get(name, name): value for name, value in fields.items()}


def from_stored(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Inverse of :func:`stored`."""
    return stored(content, {name: field for field, name in names.items()})


RegionArrays = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Region features [R,F] and locations [R,5] of an image, the global token first (SPEC part 2)."""
