"""Groups of rows that are duplicates of each other, directly or through others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Int64s = NDArray[np.int64]


def group_rows(number_of_rows: int, *pairs: Int64s) -> Int64s:
    """The smallest row of the connected component of each row.

    Args:
        number_of_rows: N.
        pairs: each [P, 2] rows that belong together, in any order: of equal files, near titles, near images, ...

    Returns:
        [N] int64; a row without a pair is its own group.
    """
    rows = np.concatenate([np.empty((0, 2), np.int64), *pairs])
    graph = coo_array((np.ones(len(rows), np.bool_), (rows[:, 0], rows[:, 1])), (number_of_rows, number_of_rows))
    _, component = connected_components(graph, directed=False)
    # the rows in reverse, so that the smallest row of a component is written last
    smallest = np.empty(number_of_rows, np.int64)
    smallest[component[::-1]] = np.arange(number_of_rows - 1, -1, -1)
    return np.asarray(smallest[component])
