"""Whether a store's rows were extracted from this source, and not from another one under the same ids."""

from __future__ import annotations

import hashlib
from itertools import islice

import numpy as np

from interbert.errors import ImageError, StoreError
from interbert.extraction.images import file_bytes
from interbert.extraction.sources import ImageSource, SourceItem
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
