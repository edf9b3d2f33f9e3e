"""Columns of a catalogue for the images of a store that was extracted from it, in whatever order its rows are now."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from interbert.errors import ImageError, StoreError
from interbert.extraction.attributes import attribute_values
from interbert.extraction.images import file_bytes
from interbert.extraction.sources import ImageSource, SourceItem
from interbert.regions.schema import CaptionRow
from interbert.regions.store import RegionStore

_COMPARED = 64


def require_same_source(store: RegionStore, source: ImageSource, texts: bool) -> None:
    """Check that what the store has under this source's image ids is what the source has.

    All texts are compared, and the files of up to 64 images spread over the source: reading millions again would
    take as long as extracting them.

    Args:
        store: may be empty, or hold other images too.
        source: about to be extracted, or searched with the store's regions.
        texts: compare the texts.

    Raises:
        StoreError: naming the first row that differs.
    """
    names = source.image_ids()
    places = {name: row for row, name in enumerate(names) if name}
    # numbers and no objects: a store has millions of rows
    known = np.zeros((len(names), 2), dtype=np.int64)
    store_rows = np.full(len(names), -1, dtype=np.int64)
    for one in store.captions():
        row = places.get(one.image_id, -1) if one.view == 0 else -1
        if row >= 0:
            known[row], store_rows[row] = (hash(one.texts), hash(one.digest)), one.row
    rows = np.flatnonzero(store_rows >= 0).tolist()
    remedy = f"The source has changed, or is another one. Extract into another folder than {store.path}."
    if texts and rows:
        for row, (_, found) in enumerate(source.products_and_texts()):
            if store_rows[row] >= 0 and hash(found) != known[row, 0]:
                stored = next(islice(store.captions(), int(store_rows[row]), None))
                raise StoreError(
                    f"{source.name}, row {row}: its texts are {list(found)}, the store has {list(stored.texts)}. "
                    f"{remedy}"
                )
    for row in rows[:: max(1, len(rows) // _COMPARED)]:
        digest = image_digest(source[row])
        if digest is not None and hash(digest) != known[row, 1]:
            raise StoreError(f"{source.name}, row {row}: the store has another image under its id. {remedy}")


def image_digest(item: SourceItem) -> str | None:
    """SHA-256 of an image's file, as a store has it; None when it cannot be read, which extraction reports."""
    try:
        return None if item.data is None else hashlib.sha256(file_bytes(item.data, item.where)).hexdigest()
    except (OSError, ImageError):
        return None


Rows = Sequence[int]


@dataclass(frozen=True)
class Joined:
    """What a catalogue says of images."""

    values: list[tuple[str, ...]]
    """Of each image, its values by column; all "" where no row is known to be the image's."""
    problems: list[tuple[int, str]]
    """(place among the images, why no row is its own)"""


class CatalogueColumns:
    """Columns of a catalogue, found by id and image: row numbers are no ids, as tables are sorted anew.

    An image's row has its image id, or its product id, and, where both files are known, the same image. Of a
    catalogue without ids the image alone says which row it is.

    Args:
        source: the catalogue.
        columns: those to read; named twice they count once.

    Raises:
        ColumnError: there is no such column.
    """

    def __init__(self, source: ImageSource, columns: Sequence[str]) -> None:
        self.name = source.name
        self.columns = tuple(dict.fromkeys(columns))
        self._source = source
        self._values = attribute_values(source, self.columns)
        self._digests: dict[int, str | None] = {}

    def join(self, captions: Sequence[CaptionRow]) -> Joined:
        """Values of each image of a store, and what is wrong with those that have no row."""
        found = Joined([], [])
        for place, one in enumerate(captions):
            rows = self._rows_of(one)
            different = {self._values[row] for row in rows}
            if len(different) == 1:
                found.values.append(self._values[rows[0]])
                continue
            found.values.append(("",) * len(self.columns))
            if different:
                reason = f"rows {rows[0]} and {rows[-1]} of {self.name} are both its own, with another "
                reason += self._differing(rows)
            else:
                reason = self._why_none(one)
            found.problems.append((place, reason))
        return found

    def _rows_of(self, one: CaptionRow) -> Rows:
        """Rows that are this image's, by the surest of what they have in common."""
        for rows in (self._by_image.get(one.image_id, ()), self._by_product.get(one.product_id, ())):
            if same := self._of_image(rows, one.digest):
                return same
        if not one.digest or not _is_numbered(one):
            return ()
        if one.source_row < len(self._values) and self._digest(one.source_row) == one.digest:
            return [one.source_row]  # not sorted anew: the other images need not be read
        return self._by_digest.get(one.digest, ())

    def _of_image(self, rows: Rows, digest: str) -> Rows:
        """Those of rows with the right id that have this image, or else those whose image cannot be compared."""
        if not digest:
            return rows
        same = [row for row in rows if self._digest(row) == digest]
        return same or [row for row in rows if self._digest(row) is None]

    def _why_none(self, one: CaptionRow) -> str:
        for what, name, known in (
            ("image", one.image_id, self._by_image),
            ("product", one.product_id, self._by_product),
        ):
            if name in known:
                return f"row {known[name][0]} of {self.name} has its {what} id {name[:60]!r}, but another image"
        if not self._by_image and not self._by_product:
            return f"{self.name} has no ids, and its image is in no row"
        return f"no row of {self.name} has its id {(one.product_id if self._by_product else one.image_id)[:60]!r}"

    def _differing(self, rows: Rows) -> str:
        pairs = zip(*(self._values[row] for row in rows), strict=True)
        return ", ".join(name for name, values in zip(self.columns, pairs, strict=True) if len(set(values)) > 1)

    def _digest(self, row: int) -> str | None:
        if row not in self._digests:
            self._digests[row] = image_digest(self._source[row])
        return self._digests[row]

    @cached_property
    def _by_image(self) -> dict[str, list[int]]:
        return {} if self._source.columns.image_id is None else _places(self._source.image_ids())

    @cached_property
    def _by_product(self) -> dict[str, list[int]]:
        return {} if self._source.columns.product_id is None else _places(list(self._source.product_ids()))

    @cached_property
    def _by_digest(self) -> dict[str, list[int]]:
        return _places([self._digest(row) or "" for row in range(len(self._values))])


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    """Where each name stands; "" is none."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        if name:
            found[name].append(place)
    return dict(found)


def _is_numbered(one: CaptionRow) -> bool:
    """Whether a store's image was extracted without any id, so that the number of a row stands in its place."""
    return one.image_id == one.product_id and one.image_id.isdecimal()
