"""The arrays that a model takes for one image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RegionArrays = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Region features [R,F] and locations [R,5] of an image, the global token first (SPEC part 2)."""
