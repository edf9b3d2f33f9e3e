"""Any source of images and texts as rows of undecoded images.

A source is a parquet, csv, json or jsonl file (or a glob of them), a folder of images with or without a
``metadata.csv``/``metadata.jsonl`` that has a ``file_name`` column, a saved ``datasets`` folder, or a Hub id: these are
read by ``datasets``, with images left as bytes or paths. Tar files of samples and tsv files of base64 images are
read where they lie.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.errors import ColumnError, ImageError
from interbert.extraction.columns import ColumnMapping, id_text, resolve_columns
from interbert.extraction.image_cells import image_file, is_address
from interbert.extraction.image_tsv import ArchiveRows
from interbert.extraction.images import NEEDED_SIDE, load_image
from interbert.extraction.row_places import RowPlaces
from interbert.extraction.settings import BoxFormat
from interbert.extraction.several_images import Member, list_members, member_of, numbered
from interbert.extraction.table_limits import MAX_ID, MAX_TEXT, MAX_TEXTS
from interbert.extraction.tables import SourceRows, read_rows
from interbert.regions.caption_index import CaptionIndex
from interbert.regions.caption_records import PassedOver
from interbert.utils.redaction import without_credentials

if TYPE_CHECKING:
    from PIL import Image

_FIRST, _SPREAD = 20, 20
"""Rows that columns are found by."""
_BEGINNING = 64
"""Bytes of an image's file that are kept to find columns by."""


@dataclass(frozen=True)
class SourceItem:
    """One row of a source."""

    row: int
    where: str
    """The row in words, for messages."""
    data: bytes | Path | None
    """The image's file; None when the row cannot be used, see ``problem``."""
    problem: str | None
    texts: tuple[str, ...]
    text_fields: tuple[str, ...]
    image_id: str
    """Empty when the row has none, and so cannot be used."""
    product_id: str
    boxes: Any = None
    """What the cell with the image's boxes holds."""
    box_format: BoxFormat | None = None
    """What the numbers in it are; None when the source has no such column."""
    why_no_text: str | None = None
    """Why no captions were joined to it, where they are ambiguous."""

    @property
    def called(self) -> str:
        """The image's id, or the row's number where there is none: for lists of what could not be used."""
        return self.image_id or f"row {self.row}"


class ImageSource:
    """Rows of a source in order, by index."""

    def __init__(
        self,
        name: str,
        rows: Any,
        columns: ColumnMapping,
        folder: Path | None,
        captions: CaptionIndex | None = None,
        left_out: Mapping[str, str] | None = None,
        members: Sequence[Member] | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.name = without_credentials(name)
        self.left_out = left_out or {}
        """Columns that could not be read, with why."""
        self.columns = columns
        self._rows = rows
        self._folder = folder
        self._places = RowPlaces(files, len(rows))
        self._only: Sequence[int] | None = None
        """Rows of the table."""
        self._members: Sequence[Member] | None = None
        """Which images of these rows' cells, where cells hold several."""
        self._captions = captions
        self._ids = self._image_ids()
        self._products = self._ids
        """Product ids where no column has them: images of one cell share theirs."""
        if members is not None:
            self._members, self._only = members, [one.row for one in members]
            self._products = [self._ids[row] for row in self._only]
            self._ids = numbered(self._products)

    def select(self, rows: Sequence[int]) -> ImageSource:
        """The same source with only these rows; their image ids stay."""
        other = self._with([self._ids[row] for row in rows], [self._row(row) for row in rows])
        other._products = [self._products[row] for row in rows]
        if self._members is not None:
            other._members = [self._members[row] for row in rows]
        return other

    def with_ids(self, ids: Sequence[str]) -> ImageSource:
        """The same source with these image ids, one a row and none twice; without product ids they are those too.

        A row whose id is empty has none and cannot be used.
        """
        other = self._with(list(ids), self._only)
        if self._members is not None:  # the first image of a cell names the product
            firsts: dict[int, str] = {}
            other._products = [firsts.setdefault(one.row, name) for one, name in zip(self._members, ids, strict=True)]
        return other

    def _with(self, ids: list[str], only: Sequence[int] | None) -> ImageSource:
        other = copy.copy(self)
        other._ids, other._products, other._only = ids, ids, only
        return other

    def _row(self, row: int) -> int:
        """The row of the table."""
        return row if self._only is None else self._only[row]

    def _cell(self, cell: Any, row: int) -> Any:
        """The image of a row, of the cell that holds it."""
        return cell if self._members is None else member_of(cell, self._members[row])

    def _named(self, row: int) -> str:
        """A row in words, as its table numbers it."""
        if self._members is None:
            return f"row {row}"
        member = self._members[row]
        return f"row {member.row}" + ("" if member.place is None else f", image {member.place + 1}")

    def place_of(self, row: int) -> dict[str, Any]:
        """Where a row stands, for lists of what could not be used: ``file`` and ``line``, as far as they are known.

        The file is the table's; of a folder of images it is the image's own.
        """
        file, line = self._places.of(self._row(row))
        if not file and self._folder is not None and not isinstance(self._rows, ArchiveRows):
            cell = self._rows[self._row(row)].get(self.columns.image or "")
            file = cell if isinstance(cell, str) and not is_address(cell) else ""
        return ({"file": file} if file else {}) | ({} if line is None else {"line": line})

    def image_cells(self) -> list[Any]:
        """What the image column holds of every row, such as the path of its file."""
        column = self.columns.image or ""
        cells = self.other_columns([column])[column].to_pylist()
        return [self._cell(cell, row) for row, cell in enumerate(cells)]

    def products_and_texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Product id and texts of every row, without reading an image; a row that lacks an id has its image's."""
        wanted = [*self.columns.texts, *([self.columns.product_id] if self.columns.product_id else [])]
        if self._captions is not None and self.columns.image_id is None and self.columns.image is not None:
            wanted.append(self.columns.image)  # its file's name is what captions are found by
        light = self._rows.select_columns(list(dict.fromkeys(wanted))) if wanted else self._rows
        for row in range(len(self._ids)):
            values = light[self._row(row)]
            yield self._product(values, row), self._texts(values, row)[0]

    def product_ids(self) -> Iterator[str]:
        """Product id of every row, empty where the source's column has none."""
        assert self.columns.product_id is not None
        column = self._rows.select_columns([self.columns.product_id])[self.columns.product_id]
        rows = range(len(self._ids)) if self._only is None else self._only
        values = list(column)
        return (id_text(values[row]) or "" for row in rows)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[SourceItem]:
        return (self[row] for row in range(len(self)))

    def image_ids(self) -> list[str]:
        """Every row's image id, unique."""
        return self._ids

    def __getitem__(self, row: int) -> SourceItem:
        values = self._rows[self._row(row)]
        texts, text_fields = self._texts(values, row)
        assert self.columns.image is not None
        problem = self._missing_id(values) or self._long_text(values)
        data = None
        if problem is None:
            data, problem = image_file(self._cell(values[self.columns.image], row), self._folder, self.name)
        if problem is None and not self._ids[row]:
            data, problem = None, "has no id"
        if problem is None and self.columns.boxes and self._members is not None and self._members[row].among > 1:
            data, problem = None, "shares its cell with other images, and boxes that do not say whose. Give each a row"
        return SourceItem(
            row=row,
            where=f"{self.name}, {self._named(row)}",
            data=data,
            problem=problem,
            texts=texts,
            text_fields=text_fields,
            image_id=self._ids[row],
            product_id=self._product(values, row),
            boxes=values[self.columns.boxes] if self.columns.boxes else None,
            box_format=self.columns.box_format if self.columns.boxes else None,
            why_no_text=None if texts else self._why_no_caption(values, row),
        )

    def _product(self, values: dict[str, Any], row: int) -> str:
        """A row is a product of its own where the source has no product ids, or cannot be used for want of one."""
        value = values.get(self.columns.product_id) if self.columns.product_id else None
        return id_text(value) or self._products[row]

    def _missing_id(self, values: dict[str, Any]) -> str | None:
        """What is wrong with a row's ids: one made up, such as its number, would be another product's.

        Such a row replaced the product that has its number, in the index or the store that it was added to.
        """
        for name, what in ((self.columns.image_id, "image"), (self.columns.product_id, "product")):
            if name is None:
                continue
            if id_text(values[name]) is None:
                return f"has no {what} id: {name!r} is empty. Fill it"
            if len(id_text(values[name]) or "") > MAX_ID:
                return f"its {what} id in {name!r} has more than {MAX_ID:,} characters, which are not read. Shorten it"
        return None

    def _long_text(self, values: dict[str, Any]) -> str | None:
        """What is wrong with a row's texts where they are more than titles are."""
        for column in self.columns.texts:
            value = values[column]
            texts = value if isinstance(value, list | tuple) else [value]
            if len(texts) > MAX_TEXTS:
                return f"it has {len(texts):,} texts in {column!r}; at most {MAX_TEXTS:,} are read. Leave some out"
            longest = max((len(text) for text in texts if isinstance(text, str)), default=0)
            if longest > MAX_TEXT:
                return f"its text in {column!r} has {longest:,} characters; at most {MAX_TEXT:,} are read. Shorten it"
        return None

    @property
    def several_images(self) -> bool:
        """Whether cells hold several images, which are a row each."""
        return self._members is not None

    @property
    def column_names(self) -> list[str]:
        """Every column of the source."""
        return list(self._rows.column_names)

    def require(self, names: Iterable[str]) -> None:
        """Check that columns are there and could be read.

        Raises:
            ColumnError: one is missing, or its types differ from file to file.
        """
        SourceRows(self._rows, self._folder, left_out=self.left_out).require(names, self.name)

    def other_columns(self, names: Sequence[str] | None = None) -> Any:
        """Arrow table of every row's other columns: neither images, nor ids, nor texts.

        Args:
            names: these columns instead, whatever they are.

        Raises:
            ColumnError: one of ``names`` is missing.
        """
        self.require(names or ())
        ours = {self.columns.image, self.columns.image_id, self.columns.product_id, *self.columns.texts}
        wanted = [name for name in self._rows.column_names if name not in ours] if names is None else list(names)
        if not wanted or isinstance(self._rows, ArchiveRows):
            import pyarrow as pa

            rows = range(len(self._ids)) if self._only is None else self._only
            return pa.table({name: [self._rows.value(row, name) for row in rows] for name in wanted})
        light = self._rows.select_columns(wanted)
        if self._only is not None:
            light = light.select(self._only)
        return light.with_format("arrow")[:]

    def open_image(self, row: int, target_side: int = NEEDED_SIDE) -> Image.Image | None:
        """A row's image as RGB, for showing; None when it cannot be read."""
        item = self[row]
        try:
            return None if item.data is None else load_image(item.data, item.where, target_side)
        except ImageError:
            return None

    def _image_ids(self) -> list[str]:
        name = self.columns.image_id
        if name is None:
            return [str(row) for row in range(len(self._rows))]
        ids = [id_text(value) or "" for value in self._rows[name]]
        repeated = [value for value, count in Counter(ids).items() if count > 1 and value]
        if repeated:
            remedy = "Use --product-id-column for ids that images share"
            if isinstance(self._rows, ArchiveRows):
                remedy = self._rows.repeated
            raise ColumnError(
                f"{self.name}: column {name!r} is no image id: {repeated[0][:60]!r} stands in "
                f"{sum(value == repeated[0] for value in ids)} rows. {remedy}."
            )
        return ids

    def _texts(self, values: dict[str, Any], row: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found: dict[str, str] = {}
        for column in () if self._long_text(values) else self.columns.texts:
            value = values[column]
            for text in value if isinstance(value, list | tuple) else [value]:
                clean = " ".join(str(text).split()) if text is not None else ""
                if clean:
                    found.setdefault(clean, column)
        if self._captions is not None:
            joined = self._captions.find(self._caption_name(values, row)) or ((), ())  # None: of other splits
            found |= {text: field for text, field in zip(*joined, strict=True) if text not in found}
        return tuple(found), tuple(found.values())

    def _caption_name(self, values: dict[str, Any], row: int) -> str:
        if self.columns.image_id is not None:
            return self._ids[row]
        return self._file_name(values.get(self.columns.image or ""), row) or self._ids[row]

    def _why_no_caption(self, values: dict[str, Any], row: int) -> str | None:
        if self._captions is None:
            return None
        return self._captions.match(self._caption_name(values, row)).problem

    def unjoined(self, kept: bool, limit: int | None = None) -> Iterator[PassedOver]:
        """Lines of the caption file that gave no caption and, where images without text are kept, the ambiguous."""
        if self._captions is None:
            return
        yield from self._captions.passed_over
        for row, name in enumerate(islice(self._caption_names(), limit) if kept else ()):
            problem = self._captions.match(name).problem
            if problem:
                reason = f"{self.name}, row {row}: has no caption: {problem}. It is kept without."
                yield PassedOver(row, self._ids[row], reason)

    def absent(self) -> tuple[int, str]:
        """How many images the caption file names that are not in the source, and one of them."""
        return (0, "") if self._captions is None else self._captions.absent(self._caption_names())

    def of_splits(self) -> ImageSource:
        """Without the images whose captions are of other splits than those asked for."""
        if self._captions is None or not self._captions.splits:
            return self
        known = (self._captions.find(name) is not None for name in self._caption_names())
        return self.select([row for row, wanted in enumerate(known) if wanted])

    def _caption_names(self) -> Iterator[str]:
        if self.columns.image_id is not None or self.columns.image is None:
            yield from self._ids
            return
        column = self._rows.select_columns([self.columns.image])
        for row, name in enumerate(self._ids):
            yield self._file_name(column[self._row(row)][self.columns.image], row) or name

    def _file_name(self, cell: Any, row: int) -> str | None:
        value = self._cell(cell, row)
        value = value.get("path") if isinstance(value, dict) else value
        return value if isinstance(value, str) else None


def open_source(
    source: str,
    mapping: ColumnMapping | None = None,
    split: str | None = None,
    need_texts: bool = True,
    captions: CaptionIndex | None = None,
    several_images: bool = True,
) -> ImageSource:
    """Open a source.

    Args:
        source: file, glob, folder or Hub id.
        mapping: columns; those not named are found.
        split: of a Hub data set or a saved one; None takes ``train``, or the only one.
        need_texts: whether images alone are an error.
        captions: texts that stand apart, joined by image id or file name.
        several_images: cells with several images are a row an image
            (:mod:`interbert.extraction.several_images`); else rows stay as they are, and such cells are refused.

    Raises:
        SourceError: it is missing, empty or unreadable.
        ColumnError: a column is missing.
    """
    found = read_rows(source, split)
    rows = found.rows
    sample = some_rows(rows)
    mapping = mapping or ColumnMapping()
    named = (mapping.image, mapping.image_id, mapping.product_id, mapping.boxes, *mapping.texts)
    found.require(named, source)
    if isinstance(rows, ArchiveRows) and mapping.image_id is None:
        mapping = replace(mapping, image_id=rows.image_id)
    columns = resolve_columns(mapping, list(sample), sample, source, need_texts and captions is None)
    if columns.product_id != mapping.product_id and not any(map(id_text, rows[columns.product_id])):
        columns = replace(columns, product_id=None)  # nobody named it, and it says nothing
    if captions is not None and columns.image_id is None and not _has_names(sample[columns.image or ""]):
        raise ColumnError(
            f"{source}: its images have no names that captions could be found by. Name the column of their ids with "
            "--image-id-column."
        )
    assert columns.image is not None
    members = list_members(rows, columns.image, found.folder, source) if several_images else None
    opened = ImageSource(
        source, rows, columns, found.folder, left_out=found.left_out, members=members, files=found.files
    )
    if captions is not None:
        opened._captions = captions.among(opened._caption_names)
    return opened.of_splits()


def some_rows(rows: Any) -> dict[str, list[Any]]:
    """Values of a few rows, by column: the first ones, and some of all over the source, which may be unlike them."""
    places = sorted({*range(min(_FIRST, len(rows))), *np.linspace(0, len(rows) - 1, _SPREAD, dtype=int).tolist()})
    listed = [{name: _beginning(value) for name, value in rows[place].items()} for place in places]
    return {name: [one[name] for one in listed] for name in rows.column_names}


def _beginning(value: Any) -> Any:
    """A cell without most of an image's file: dozens are held at a time."""
    if isinstance(value, dict):
        return {name: _beginning(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_beginning(one) for one in value]
    return value[:_BEGINNING] if isinstance(value, bytes) else value


def _has_names(images: Sequence[Any]) -> bool:
    return any(isinstance(one.get("path") if isinstance(one, dict) else one, str) for one in images)
