"""Arrays of regions that are stored turned round or padded, and class distributions where a file has less
(SPEC part 2)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import RegionError
from interbert.regions.importers.fields import MAX_RECORD
from interbert.regions.importers.rows import require_numbers

BOX_COLUMNS = range(4, 8)
"""x1, y1, x2, y2, and what some tools add: width, height, area."""


def matrix(value: NDArray[Any], name: str, where: str) -> NDArray[Any]:
    """An array with two sides, without empty outer ones; a single region may be flat.

    Raises:
        RegionError: it has other dimensions, no numbers, or more than 64 MiB.
    """
    if value.dtype.kind not in "fiu" or value.nbytes > MAX_RECORD:
        raise RegionError(f"{where}: {name} are {value.dtype} of shape {list(value.shape)}, no numbers of regions.")
    while value.ndim > 2 and value.shape[0] == 1:
        value = value[0]
    if value.ndim != 2 or not value.size:
        raise RegionError(f"{where}: {name} have the shape {list(value.shape)}; a row per region is needed.")
    return value


def columns_of(value: NDArray[Any], rows: Collection[int]) -> tuple[int, bool] | None:
    """F of a matrix and whether it is turned round, as far as numbers of rows tell; None when they do not.

    Args:
        value: [N,F] or [F,N], N perhaps with padding.
        rows: how many rows it may have: the regions, and the rows of other arrays that may be padded alike.
    """
    first, second = value.shape
    if (first in rows) == (second in rows):
        return None
    return (second, False) if first in rows else (first, True)


def upright(
    value: NDArray[Any],
    count: int,
    columns: Collection[int],
    name: str,
    where: str,
    rows: Collection[int] = (),
    turned: bool = False,
) -> NDArray[Any]:
    """[count, F] of a matrix with regions on one side and F on the other.

    Args:
        value: [N,F] or [F,N], N at least ``count``.
        count: regions.
        columns: what F may be.
        name: of the field, for messages.
        where: the record, for messages.
        rows: as in :func:`columns_of`; an array lies otherwise than its file's only when its N is one of these.
        turned: whether the file's arrays are [F,N].

    Raises:
        RegionError: neither way fits.
    """
    for way, expected in ((value.T, True), (value, True)) if turned else ((value, True), (value.T, False)):
        if way.shape[1] in columns and len(way) >= count and (expected or len(way) in rows):
            return way[:count]
    wanted = f"{min(columns)}" if len(columns) == 1 else f"{min(columns)} to {max(columns)}"
    remedy = " If all rows have another size, give it with --feature-size." if name == "features" else ""
    raise RegionError(
        f"{where}: {name} have the shape {list(value.shape)}, not [{count}, {wanted}] or the other way round.{remedy}"
    )


def flat(value: NDArray[Any], count: int, name: str, where: str) -> NDArray[Any]:
    """[count] of an array with a number per region.

    Raises:
        RegionError: it has fewer, or more than one each.
    """
    if value.dtype.kind not in "fiu" or value.nbytes > MAX_RECORD:
        raise RegionError(f"{where}: {name} are {value.dtype} of shape {list(value.shape)}, no numbers of regions.")
    sides = [side for side in value.shape if side != 1]
    if len(sides) > 1 or value.size < count:
        raise RegionError(f"{where}: {name} have the shape {list(value.shape)}; there are {count} regions.")
    return np.ravel(value)[:count]


VISUAL_GENOME_CLASSES = 1601
"""1,600 object classes and background, which is class 0 and which detectors' top ids leave out."""


def spread(
    ids: NDArray[Any], confidences: NDArray[Any] | None, num_classes: int, where: str, background: bool
) -> NDArray[np.float32]:
    """[N,C]: each region's class has its confidence, the others share the rest evenly; without confidences, one-hot.

    Args:
        ids: [N] class of each region.
        confidences: [N] probability of that class, or None.
        num_classes: C.
        where: the record, for messages.
        background: class 0 is background and ``ids`` do not count it: id k is class k + 1.

    Raises:
        RegionError: an id is no class, or a confidence no probability.
    """
    require_numbers(len(ids) * num_classes, where)
    classes = ids.astype(np.int64) + int(background)
    wrong = np.flatnonzero((classes < int(background)) | (classes >= num_classes))
    if len(wrong):
        raise RegionError(
            f"{where}: region {wrong[0]} has class {ids[wrong[0]]}; there are {num_classes - int(background)} classes."
        )
    if confidences is None:
        values = np.zeros((len(classes), num_classes), dtype=np.float32)
        values[np.arange(len(classes)), classes] = 1.0
        return values
    if not np.isfinite(confidences).all() or (confidences < 0).any() or (confidences > 1.0 + 1e-3).any():
        raise RegionError(f"{where}: class confidences are not between 0 and 1.")
    top = np.asarray(confidences, dtype=np.float32).clip(0, 1)
    rest = (1 - top) / max(num_classes - 1, 1)
    values = np.repeat(rest[:, None], num_classes, axis=1)
    values[np.arange(len(classes)), classes] = top
    return values
