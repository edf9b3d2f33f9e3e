"""Images of single rows of a source, for what looks at few of them, and small ones for the page."""

from __future__ import annotations

import bisect
from pathlib import Path
from typing import Any

from interbert.curation.listing import SourceListing, starts
from interbert.curation.shards_of_source import OpenShards
from interbert.errors import DataError, ImageError
from interbert.extraction.image_cells import image_file
from interbert.extraction.images import file_bytes


class RowImages:
    """Files of images by the number of their row, counted over all shards."""

    def __init__(self, opened: OpenShards, listing: SourceListing) -> None:
        self._opened, self._listing = opened, listing
        self._starts = starts(listing.shards)

    def shown(self, row: int) -> bytes | None:
        """The file of a row's image for a page; None of a source that has none.

        Raises:
            InterBertError: the row has none, or its shard cannot be read.
        """
        number = bisect.bisect_right(self._starts, row) - 1
        known = self._listing.columns.image is not None and self._listing.shards[number].problem is None
        return self.load(row) if known else None

    def load(self, row: int) -> bytes:
        """The file of a row's image.

        Raises:
            DataError: it was there when it was judged, and is no more.
        """
        number = bisect.bisect_right(self._starts, row) - 1
        source = self._opened.rows(number)
        name = self._listing.columns.image
        assert name is not None
        there = name in source.rows.column_names
        value = source.rows.select_columns([name])[row - self._starts[number]][name] if there else None
        where = f"{self._listing.shards[number].name}, row {row - self._starts[number]}"
        return kept_file(value, source.folder, self._opened.shards[number].path, where)


def kept_file(value: Any, folder: Path | None, source: str, where: str) -> bytes:
    """The file of an image that was judged before.

    Raises:
        DataError: it is there no more.
    """
    data, problem = image_file(value, folder, source)
    try:
        if data is not None:
            return file_bytes(data, where)
    except (OSError, ImageError) as error:
        problem = str(error)
    raise DataError(f"{where}: its image was there when it was judged, and is no more ({problem}). Put it back.")
