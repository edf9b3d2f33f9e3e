"""Images of single rows of a source, for what looks at few of them, and small ones for the page."""

from __future__ import annotations

import bisect
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.curation.listing import SourceListing, starts
from interbert.curation.shards_of_source import OpenShards
from interbert.errors import DataError, ImageError
from interbert.extraction.image_cells import image_file
from interbert.extraction.images import file_bytes


class RowImages:
    """Files of images by the number of their row, counted over all shards.

    Args:
        opened: the source.
        listing: of the same.
        digests: [N, 32] of the files that were judged, 0 without one; N rows of all shards.
    """

    def __init__(self, opened: OpenShards, listing: SourceListing, digests: NDArray[np.uint8]) -> None:
        self._opened, self._listing, self._digests = opened, listing, digests
        self._starts = starts(listing.shards)

    def shown(self, row: int) -> bytes | None:
        """The file of a row's image for a page; None of a source that has none.

        Raises:
            InterBertError: the row has none, or its shard cannot be read.
        """
        number = bisect.bisect_right(self._starts, row) - 1
        sound = row - self._starts[number] < self._listing.shards[number].sound
        known = self._listing.columns.image is not None and sound
        return self.load(row) if known else None

    def load(self, row: int) -> bytes:
        """The file of a row's image.

        Raises:
            DataError: it was there when it was judged, and is no more, or is another now.
        """
        number = bisect.bisect_right(self._starts, row) - 1
        source = self._opened.rows(number)
        name = self._listing.columns.image
        assert name is not None
        there = name in source.rows.column_names
        value = source.rows.select_columns([name])[row - self._starts[number]][name] if there else None
        where = f"{self._listing.shards[number].name}, row {row - self._starts[number]}"
        digest = self._digests[row].tobytes()
        return kept_file(value, source.folder, self._opened.shards[number].path, where, digest if any(digest) else None)


def kept_file(value: Any, folder: Path | None, source: str, where: str, digest: bytes | None) -> bytes:
    """The file of an image that was judged before, when its SHA-256 was ``digest``.

    Raises:
        DataError: it is there no more, or another one.
    """
    data, problem = image_file(value, folder, source)
    try:
        if data is not None:
            found = file_bytes(data, where)
            if digest is None or hashlib.sha256(found).digest() == digest:
                return found
            raise DataError(
                f"{where}: its image is another one than when it was judged. Put that back, or remove the folder "
                ".build of the data set, so that all are judged anew."
            )
    except (OSError, ImageError) as error:
        problem = str(error)
    raise DataError(f"{where}: its image was there when it was judged, and is no more ({problem}). Put it back.")
