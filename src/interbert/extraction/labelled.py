"""Items with labels from any source: what a classifier is taught."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from interbert.errors import SourceError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import ImageSource, open_source
from interbert.extraction.table_limits import MAX_TEXT
from interbert.extraction.tables import read_rows


@dataclass(frozen=True)
class LabelledSource:
    """Columns of a source: labels, and texts or images."""

    labels: tuple[str, ...]
    texts: tuple[str, ...] | None
    images: ImageSource | None
    fingerprint: str
    """SHA-256 of the texts and labels, first 16 hex digits."""


def read_labelled(source: str, text: str | None, image: str | None, label: str) -> LabelledSource:
    """Read a source's label column and its text or image column, or both.

    Raises:
        SourceError: the source is missing or empty, or a row has no label or no text; the row is named.
        ColumnError: a column is missing, with the nearest name that exists.
    """
    found = read_rows(source)
    found.require((label, text, image), source)
    rows = found.rows
    labels = tuple(_cell(value, source, row, label) for row, value in enumerate(rows[label]))
    texts = None
    if text is not None:
        texts = tuple(_cell(value, source, row, text) for row, value in enumerate(rows[text]))
    images = None
    if image is not None:
        images = open_source(source, ColumnMapping(image), need_texts=False)
    digest = hashlib.sha256("\x1f".join((*labels, *(texts or ()))).encode()).hexdigest()[:16]
    return LabelledSource(labels, texts, images, f"{digest}-{len(labels)}")


def _cell(value: object, source: str, row: int, column: str) -> str:
    clean = "" if value is None else str(value).strip()
    if not clean:
        raise SourceError(f"{source}, row {row}: {column!r} is empty. Fill it, or leave the row out.")
    if len(clean) > MAX_TEXT:
        raise SourceError(
            f"{source}, row {row}: {column!r} has {len(clean):,} characters; at most {MAX_TEXT:,} are read. Shorten it."
        )
    return clean
