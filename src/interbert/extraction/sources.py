"""Any source of pictures and texts as rows of undecoded pictures.

A source is a parquet, csv, json or jsonl file (or a glob of them), a folder of pictures with or without a
``metadata.csv``/``metadata.jsonl`` that has a ``file_name`` column, a saved ``datasets`` folder, or a Hub id. All are
read by ``datasets``, with pictures left as bytes or paths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interbert.errors import ColumnError, PictureError
from interbert.extraction.columns import ColumnMapping, resolve_columns
from interbert.extraction.given_settings import BoxFormat
from interbert.extraction.pictures import load_picture
from interbert.extraction.tables import read_rows

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class SourceItem:
    """One row of a source."""

    row: int
    where: str
    """The row in words, for messages."""
    data: bytes | Path | None
    """The picture's file; None when it cannot be had, see ``problem``."""
    problem: str | None
    texts: tuple[str, ...]
    text_fields: tuple[str, ...]
    picture_id: str
    product_id: str
    boxes: Any = None
    """What the cell with the picture's boxes holds."""
    box_format: BoxFormat | None = None
    """What the numbers in it are; None when the source has no such column."""


class PictureSource:
    """Rows of a source in order, by index."""

    def __init__(
        self, name: str, rows: Any, columns: ColumnMapping, folder: Path | None, only: Sequence[int] | None = None
    ) -> None:
        self.name = name
        self.columns = columns
        self._rows = rows
        self._folder = folder
        self._only = only
        self._ids = self._picture_ids()

    def select(self, rows: Sequence[int]) -> PictureSource:
        """The same source with only these rows; their picture ids stay."""
        only = [row if self._only is None else self._only[row] for row in rows]
        chosen = PictureSource(self.name, self._rows, self.columns, self._folder, only)
        chosen._ids = [self._ids[row] for row in rows]
        return chosen

    def products_and_texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Product id and texts of every row, without reading a picture."""
        wanted = [*self.columns.texts, *([self.columns.product_id] if self.columns.product_id else [])]
        light = self._rows.select_columns(list(dict.fromkeys(wanted))) if wanted else self._rows
        for row, name in enumerate(self._ids):
            values = light[row if self._only is None else self._only[row]]
            yield self._product(values, name), self._texts(values)[0]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[SourceItem]:
        return (self[row] for row in range(len(self)))

    def picture_ids(self) -> list[str]:
        """Every row's picture id, unique."""
        return self._ids

    def __getitem__(self, row: int) -> SourceItem:
        values = self._rows[row if self._only is None else self._only[row]]
        texts, text_fields = self._texts(values)
        assert self.columns.picture is not None
        data, problem = self._picture(values[self.columns.picture])
        return SourceItem(
            row=row,
            where=f"{self.name}, row {row}",
            data=data,
            problem=problem,
            texts=texts,
            text_fields=text_fields,
            picture_id=self._ids[row],
            product_id=self._product(values, self._ids[row]),
            boxes=values[self.columns.boxes] if self.columns.boxes else None,
            box_format=self.columns.box_format if self.columns.boxes else None,
        )

    def _product(self, values: dict[str, Any], picture_id: str) -> str:
        value = values.get(self.columns.product_id) if self.columns.product_id else None
        return picture_id if value is None else str(value)

    def open_picture(self, row: int, target_side: int = 512) -> Image.Image | None:
        """A row's picture as RGB, for showing; None when it cannot be read."""
        item = self[row]
        try:
            return None if item.data is None else load_picture(item.data, item.where, target_side)
        except PictureError:
            return None

    def _picture_ids(self) -> list[str]:
        name = self.columns.picture_id
        if name is None:
            return [str(row) for row in range(len(self._rows))]
        ids = [str(value) for value in self._rows[name]]
        repeated = [value for value, count in Counter(ids).items() if count > 1]
        if repeated:
            raise ColumnError(
                f"{self.name}: column {name!r} is no picture id: {repeated[0]!r} stands in "
                f"{sum(value == repeated[0] for value in ids)} rows. Use --product_id for ids that pictures share."
            )
        return ids

    def _texts(self, values: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found: dict[str, str] = {}
        for column in self.columns.texts:
            value = values[column]
            for text in value if isinstance(value, list | tuple) else [value]:
                clean = " ".join(str(text).split()) if text is not None else ""
                if clean:
                    found.setdefault(clean, column)
        return tuple(found), tuple(found.values())

    def _picture(self, value: Any) -> tuple[bytes | Path | None, str | None]:
        if isinstance(value, dict):
            if value.get("bytes"):
                return value["bytes"], None
            value = value.get("path")
            if value and self._folder is None:
                return Path(value), None  # a path that `datasets` resolved itself
        if isinstance(value, bytes):
            return value, None
        if not value:
            return None, "the picture is empty"
        if str(value).startswith(("http://", "https://")):
            return None, f"{str(value)[:80]}: is an address. Download the pictures first and give their paths"
        folder = (self._folder or Path()).resolve()
        try:
            path = (folder / str(value)).resolve()
            if not path.is_relative_to(folder):
                return None, f"the path {value} leads out of {self._folder}"
            if path.is_file():
                return path, None
        except (OSError, ValueError):  # too long, or with a NUL
            return None, f"{str(value)[:80]!r}: is no path of a picture"
        return None, f"{value}: there is no such file"


def open_source(
    source: str, mapping: ColumnMapping | None = None, split: str | None = None, need_texts: bool = True
) -> PictureSource:
    """Open a source.

    Args:
        source: file, glob, folder or Hub id.
        mapping: columns; those not named are found.
        split: of a Hub data set or a saved one; None takes ``train``, or the only one.
        need_texts: whether pictures alone are an error.

    Raises:
        SourceError: it is missing, empty or unreadable.
        ColumnError: a column is missing.
    """
    rows, folder = read_rows(source, split)
    sample = rows[: min(20, len(rows))]
    columns = resolve_columns(mapping or ColumnMapping(), list(sample), sample, source, need_texts)
    return PictureSource(source, rows, columns, folder)
