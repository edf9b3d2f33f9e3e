"""What a row's checksums are taken over: exactly what is stored, so that reading can tell a changed bit.

XXH3, 64 bits: not against forgers, against disks, cables and cut files. It costs microseconds a row.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray


def regions_checksum(width: int, height: int, arrays: Sequence[NDArray[Any] | None]) -> int:
    """Of a row's regions.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        arrays: boxes, features and class columns as stored, in the layout's order; None where there is null.
    """
    from xxhash import xxh3_64

    total = xxh3_64(struct.pack("<ii", width, height))
    for values in arrays:
        total.update(struct.pack("<q", -1 if values is None else len(values)))
        if values is not None and values.size:
            total.update(values.data)
    return int(total.intdigest())


def row_checksum(row: Sequence[Any], regions: int) -> int:
    """Of a row's other columns, and of the checksum of its regions, which ties the two together.

    Args:
        row: values of the text columns, in the layout's order.
        regions: checksum of the row's regions.
    """
    from xxhash import xxh3_64_intdigest

    return int(xxh3_64_intdigest(json.dumps([*row, regions], ensure_ascii=False).encode()))
