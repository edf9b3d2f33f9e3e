"""Any source of pictures and texts as rows of undecoded pictures.

A source is a parquet, csv, json or jsonl file (or a glob of them), a folder of pictures with or without a
``metadata.csv``/``metadata.jsonl`` that has a ``file_name`` column, a saved ``datasets`` folder, or a Hub id: these are
read by ``datasets``, with pictures left as bytes or paths. Tar files of samples and tsv files of base64 pictures are
read where they lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.errors import ColumnError, PictureError
from interbert.extraction.columns import ColumnMapping, resolve_columns
from interbert.extraction.given_settings import BoxFormat
from interbert.extraction.packed_rows import PackedRows
from interbert.extraction.pictures import load_picture
from interbert.extraction.tables import read_rows
from interbert.regions.caption_index import CaptionIndex

if TYPE_CHECKING:
    from PIL import Image

_FIRST, _SPREAD = 20, 20
"""Rows that columns are found by."""


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
        self,
        name: str,
        rows: Any,
        columns: ColumnMapping,
        folder: Path | None,
        only: Sequence[int] | None = None,
        captions: CaptionIndex | None = None,
    ) -> None:
        self.name = name
        self.columns = columns
        self._rows = rows
        self._folder = folder
        self._only = only
        self._captions = captions
        self._ids = self._picture_ids()

    def select(self, rows: Sequence[int]) -> PictureSource:
        """The same source with only these rows; their picture ids stay."""
        only = [row if self._only is None else self._only[row] for row in rows]
        chosen = PictureSource(self.name, self._rows, self.columns, self._folder, only, self._captions)
        chosen._ids = [self._ids[row] for row in rows]
        return chosen

    def with_ids(self, ids: Sequence[str]) -> PictureSource:
        """The same source with these picture ids, one a row and none twice; without product ids they are those too."""
        named = PictureSource(self.name, self._rows, self.columns, self._folder, self._only)
        named._ids = list(ids)
        return named

    def products_and_texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Product id and texts of every row, without reading a picture."""
        wanted = [*self.columns.texts, *([self.columns.product_id] if self.columns.product_id else [])]
        if self._captions is not None and self.columns.picture_id is None and self.columns.picture is not None:
            wanted.append(self.columns.picture)  # its file's name is what captions are found by
        light = self._rows.select_columns(list(dict.fromkeys(wanted))) if wanted else self._rows
        for row, name in enumerate(self._ids):
            values = light[row if self._only is None else self._only[row]]
            yield self._product(values, name), self._texts(values, name)[0]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[SourceItem]:
        return (self[row] for row in range(len(self)))

    def picture_ids(self) -> list[str]:
        """Every row's picture id, unique."""
        return self._ids

    def __getitem__(self, row: int) -> SourceItem:
        values = self._rows[row if self._only is None else self._only[row]]
        texts, text_fields = self._texts(values, self._ids[row])
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

    @property
    def column_names(self) -> list[str]:
        """Every column of the source."""
        return list(self._rows.column_names)

    def other_columns(self, names: Sequence[str] | None = None) -> Any:
        """Arrow table of every row's other columns: neither pictures, nor ids, nor texts.

        Args:
            names: these columns instead, whatever they are.

        Raises:
            ColumnError: one of ``names`` is missing.
        """
        for name in names or ():
            if name not in self._rows.column_names:
                raise ColumnError.missing(name, self._rows.column_names, self.name)
        ours = {self.columns.picture, self.columns.picture_id, self.columns.product_id, *self.columns.texts}
        wanted = [name for name in self._rows.column_names if name not in ours] if names is None else list(names)
        if not wanted or isinstance(self._rows, PackedRows):
            import pyarrow as pa

            rows = range(len(self._ids)) if self._only is None else self._only
            return pa.table({name: [self._rows.value(row, name) for row in rows] for name in wanted})
        light = self._rows.select_columns(wanted)
        if self._only is not None:
            light = light.select(self._only)
        return light.with_format("arrow")[:]

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

    def _texts(self, values: dict[str, Any], picture_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found: dict[str, str] = {}
        for column in self.columns.texts:
            value = values[column]
            for text in value if isinstance(value, list | tuple) else [value]:
                clean = " ".join(str(text).split()) if text is not None else ""
                if clean:
                    found.setdefault(clean, column)
        if self._captions is not None:
            name = picture_id if self.columns.picture_id is not None else self._file_name(values) or picture_id
            joined = self._captions.find(name) or ((), ())  # pictures of other splits have no text
            found |= {text: field for text, field in zip(*joined, strict=True) if text not in found}
        return tuple(found), tuple(found.values())

    def of_splits(self) -> PictureSource:
        """Without the pictures whose captions are of other splits than those asked for."""
        if self._captions is None or not self._captions.splits:
            return self
        known = (self._captions.find(name) is not None for name in self._caption_names())
        return self.select([row for row, wanted in enumerate(known) if wanted])

    def _caption_names(self) -> Iterator[str]:
        if self.columns.picture_id is not None or self.columns.picture is None:
            yield from self._ids
            return
        column = self._rows.select_columns([self.columns.picture])
        for row, name in enumerate(self._ids):
            yield self._file_name(column[row if self._only is None else self._only[row]]) or name

    def _file_name(self, values: dict[str, Any]) -> str | None:
        value = values.get(self.columns.picture or "")
        value = value.get("path") if isinstance(value, dict) else value
        return value if isinstance(value, str) else None

    def _picture(self, value: Any) -> tuple[bytes | Path | None, str | None]:
        if isinstance(value, dict):
            if value.get("problem"):
                return None, str(value["problem"])
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
    source: str,
    mapping: ColumnMapping | None = None,
    split: str | None = None,
    need_texts: bool = True,
    captions: CaptionIndex | None = None,
) -> PictureSource:
    """Open a source.

    Args:
        source: file, glob, folder or Hub id.
        mapping: columns; those not named are found.
        split: of a Hub data set or a saved one; None takes ``train``, or the only one.
        need_texts: whether pictures alone are an error.
        captions: texts that stand apart, joined by picture id or file name.

    Raises:
        SourceError: it is missing, empty or unreadable.
        ColumnError: a column is missing.
    """
    rows, folder = read_rows(source, split)
    sample = _some_rows(rows)
    mapping = mapping or ColumnMapping()
    if isinstance(rows, PackedRows) and mapping.picture_id is None:
        mapping = replace(mapping, picture_id=rows.picture_id)
    columns = resolve_columns(mapping, list(sample), sample, source, need_texts and captions is None)
    if captions is not None and columns.picture_id is None and not _has_names(sample[columns.picture or ""]):
        raise ColumnError(
            f"{source}: its pictures have no names that captions could be found by. Name the column of their ids with "
            "--picture_id."
        )
    return PictureSource(source, rows, columns, folder, captions=captions).of_splits()


def _some_rows(rows: Any) -> dict[str, list[Any]]:
    """Values of a few rows, by column: the first ones, and some of all over the source, which may be unlike them."""
    places = sorted({*range(min(_FIRST, len(rows))), *np.linspace(0, len(rows) - 1, _SPREAD, dtype=int).tolist()})
    listed = [rows[place] for place in places]
    return {name: [one[name] for one in listed] for name in rows.column_names}


def _has_names(pictures: Sequence[Any]) -> bool:
    return any(isinstance(one.get("path") if isinstance(one, dict) else one, str) for one in pictures)
