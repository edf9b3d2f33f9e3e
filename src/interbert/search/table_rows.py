"""Which rows a version of an index's table has, and which of them are others than those of an earlier version.

A row's number is Lance's: its fragment, then its place in it. A fragment's rows never change their places; one that is
deleted stands in a list of the fragment, and one whose columns change gets another fragment, or the column another
file. So two versions can be compared when the earlier one can be read no more.

Shapes: n rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import VectorIndexError
from interbert.search.index import ProductIndex
from interbert.search.memory_contents import OFFSET_BITS, column_files, offsets_of

Numbers = NDArray[np.int64]

_JUDGED_BY = ("vector", "regions", "product_id")
"""Columns that say what an image is; the others are shown and filtered by."""


@dataclass(frozen=True)
class Fragment:
    """Rows of one fragment."""

    number: int
    rows: int
    """That are there."""
    files: tuple[str, ...]
    """Of the vectors, regions and product ids."""
    others: tuple[str, ...]
    """Of the other columns."""
    deletions: str
    """Names the list of the rows that are deleted; "" for none."""


@dataclass(frozen=True)
class TableRows:
    """Rows of a version."""

    table: str
    fragments: tuple[Fragment, ...]
    deleted: Mapping[int, Numbers]
    """Numbers of the deleted rows of each fragment that has such, ascending."""

    def __len__(self) -> int:
        return sum(one.rows for one in self.fragments)


@dataclass(frozen=True)
class RowChanges:
    """How the rows of a version differ from those of an earlier one."""

    new: tuple[int, ...]
    """Fragments all of whose rows are to be read: new ones, and such as have rows again that were deleted."""
    rows: int
    """Of these fragments."""
    other_columns: bool
    """Whether columns that are shown or filtered by may have other values in rows that stayed."""
    kept: Numbers
    """The other fragments, ascending."""
    deleted: Numbers
    """Numbers of their deleted rows, ascending."""

    def stayed(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Which rows [n] of the earlier version are still there as they were."""
        return np.isin(numbers >> OFFSET_BITS, self.kept) & ~np.isin(numbers, self.deleted)


def rows_of(index: ProductIndex, known: TableRows | None = None) -> TableRows:
    """Rows of the version that is searched.

    Args:
        index: at a version, for good.
        known: of another version of the table; what both have is not read again.

    Raises:
        VectorIndexError: the index cannot be read.
    """
    before = {(one.number, one.deletions): known.deleted.get(one.number) for one in known.fragments} if known else {}
    fragments, deleted = [], {}
    with index.reading():
        of_columns = column_files(index)
        for one in index.table.to_lance().get_fragments():
            files = of_columns[one.fragment_id]
            listed = one.metadata.deletion_file
            name = "" if listed is None else str(listed.path(one.fragment_id))
            judged = tuple(files[field] for field in _JUDGED_BY)
            others = tuple(path for field, path in sorted(files.items()) if field not in _JUDGED_BY)
            fragments.append(Fragment(one.fragment_id, int(one.count_rows()), judged, others, name))
            if name:
                already = before.get((one.fragment_id, name))
                deleted[one.fragment_id] = _deleted(one) if already is None else already
    return TableRows(index.manifest.table, tuple(fragments), deleted)


def changes_between(old: TableRows, new: TableRows) -> RowChanges | None:
    """What changed since; None where the versions are of two tables, which have no row in common."""
    if old.table != new.table:
        return None
    before = {one.number: one for one in old.fragments}
    added: list[Fragment] = []
    kept: list[int] = []
    columns = False
    for one in new.fragments:
        known = before.get(one.number)
        if known is None or known.files != one.files or _came_back(one.number, old, new):
            added.append(one)
            continue
        kept.append(one.number)
        columns |= known.others != one.others
    deleted = [new.deleted[number] for number in kept if number in new.deleted]
    return RowChanges(
        tuple(one.number for one in added),
        sum(one.rows for one in added),
        columns,
        np.array(sorted(kept), np.int64),
        np.sort(np.concatenate(deleted)) if deleted else np.empty(0, np.int64),
    )


def read_fragments(index: ProductIndex, numbers: Sequence[int], fields: Sequence[str], where: str | None = None) -> Any:
    """Columns of the database, and ``_rowid``, of all rows of fragments, as an Arrow table.

    Args:
        index: at a version, for good.
        numbers: of the fragments.
        fields: columns.
        where: only rows that a filter lets through.

    Raises:
        FilterError: the filter is wrong.
        VectorIndexError: the index cannot be read.
    """
    import pyarrow as pa

    condition = index.condition(where)
    if not numbers:
        schema = pa.schema([*(index.table.schema.field(name) for name in fields), pa.field("_rowid", pa.uint64())])
        return schema.empty_table()
    with index.reading():
        data = index.table.to_lance()
        chosen = [one for one in data.get_fragments() if one.fragment_id in set(numbers)]
        scanner = data.scanner(columns=list(fields), filter=condition, fragments=chosen, with_row_id=True)
        return scanner.to_table().combine_chunks()


def read_rows(index: ProductIndex, numbers: Numbers, fields: Sequence[str]) -> Any:
    """Columns of the database of rows, as an Arrow table in the order of ``numbers`` [n], none of them twice.

    Raises:
        VectorIndexError: a row is not there, or the index cannot be read.
    """
    import pyarrow as pa

    if not len(numbers):
        return index.table.schema.empty_table().select(list(fields))
    with index.reading():  # LanceDB leaves out what is deleted, and gives the rest in the order of the table
        taken = index.table.take_row_ids(numbers.tolist()).with_row_id().select(list(fields)).to_arrow()
    there = taken["_rowid"].to_numpy().astype(np.int64)
    order = np.argsort(numbers)
    if not np.array_equal(np.sort(there), numbers[order]):
        raise VectorIndexError(
            f"{index.path}: rows that were found are not there any more. Run the same command again."
        )
    places = np.empty(len(numbers), np.int64)
    places[order] = np.argsort(there)
    return taken.drop_columns(["_rowid"]).take(pa.array(places)).combine_chunks()


def _deleted(fragment: Any) -> Numbers:
    """Numbers of a fragment's deleted rows, ascending."""
    there = offsets_of(fragment.scanner(columns=[], with_row_id=True).to_table()["_rowid"].to_numpy())
    gone = np.ones(fragment.physical_rows, dtype=bool)
    gone[there] = False
    numbers: Numbers = np.flatnonzero(gone) + (fragment.fragment_id << OFFSET_BITS)
    return numbers


def _came_back(number: int, old: TableRows, new: TableRows) -> bool:
    """Whether a fragment has rows that were deleted, as after a rollback."""
    before, now = (rows.deleted.get(number, np.empty(0, np.int64)) for rows in (old, new))
    return not np.isin(before, now).all()
