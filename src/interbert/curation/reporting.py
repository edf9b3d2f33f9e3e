"""Stage 7: what was dropped and why, row by row, and counts of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.curation import agreement, image_rules, title_rules
from interbert.curation.cells import Chunk
from interbert.curation.duplicates import (
    DUPLICATE_IMAGE,
    DUPLICATE_PAIR,
    DUPLICATE_TITLE,
    NEAR_DUPLICATE,
    NEAR_IMAGE,
    NEAR_TITLE,
    PLACEHOLDER,
    SAME_IMAGE,
    SAME_PRODUCT,
    SAME_TITLE,
)
from interbert.curation.judged_rows import read_judged
from interbert.curation.judging import SOURCE_RULES
from interbert.curation.leaks import LEAK_IMAGE, LEAK_TITLE
from interbert.curation.listing import SourceListing
from interbert.curation.reasons import Reason
from interbert.curation.shards import SPLITS
from interbert.utils.files import replacing

LATE_RULES = (
    *(PLACEHOLDER, DUPLICATE_PAIR, DUPLICATE_TITLE, DUPLICATE_IMAGE),
    *(LEAK_IMAGE, LEAK_TITLE, *agreement.RULES.values(), NEAR_DUPLICATE),
)
"""Rules that compare rows, and drop them after those that look at one alone."""
COUNTED = (SAME_TITLE, SAME_IMAGE, SAME_PRODUCT, NEAR_TITLE, NEAR_IMAGE)
"""What joins rows to groups, and drops none."""


@dataclass
class LateDrops:
    """Rows that were dropped by comparing them. Shapes: N rows."""

    rule: NDArray[np.int8]
    """[N] place in :data:`LATE_RULES`, negative for rows that none dropped"""
    other: NDArray[np.int64]
    """[N] the row that it repeats, negative where there is none"""
    details: dict[int, str] = field(default_factory=dict)
    """What was seen, by row, where it is no other row."""

    @classmethod
    def none(cls, rows: int) -> LateDrops:
        """No row is dropped."""
        return cls(np.full(rows, -1, dtype=np.int8), np.full(rows, -1, dtype=np.int64))

    def drop(self, rule: str, rows: NDArray[np.int64], other: NDArray[np.int64] | None = None) -> None:
        """Drop rows that are still there."""
        self.rule[rows] = LATE_RULES.index(rule)
        if other is not None:
            self.other[rows] = other

    def drop_for(self, reasons: Mapping[int, Reason]) -> None:
        """Drop rows for reasons of their own."""
        for row, reason in reasons.items():
            self.rule[row] = LATE_RULES.index(reason.rule)
            self.details[row] = reason.detail

    def reason(self, row: int) -> tuple[str, str]:
        """Rule and detail of a row that was dropped."""
        other = int(self.other[row])
        return LATE_RULES[self.rule[row]], self.details.get(row, f"as row {other}" if other >= 0 else "")


def all_rules() -> tuple[str, ...]:
    """Every rule by its name, in the order in which rows meet them."""
    return (*SOURCE_RULES, *title_rules.rule_names(), *image_rules.rule_names(), *LATE_RULES, *COUNTED)


@dataclass
class Counts:
    """Counts over all rows."""

    dropped: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    stripped: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    """Characters of the clean titles of rows that are kept."""
    categories: Counter[str] = field(default_factory=Counter)
    """Of rows that are kept; those without one are not counted."""

    def rules(self) -> dict[str, dict[str, int]]:
        """By rule, also those that no row met."""
        return {
            rule: {"dropped": self.dropped[rule], "flagged": self.flagged[rule], "stripped": self.stripped[rule]}
            for rule in dict.fromkeys((*all_rules(), *self.dropped, *self.flagged, *self.stripped))
        }


def write_dropped(path: Path, folder: Path, chunks: Sequence[Chunk], listing: SourceListing, late: LateDrops) -> Counts:
    """Write the list of dropped rows, in the source's order, and count.

    Args:
        path: of the list.
        folder: of the chunks' tables.
        chunks: all of them.
        listing: the source.
        late: rows that were dropped by comparing them.

    Raises:
        StorageError: the disk is full or not writable.
        DataError: a chunk's table is damaged.
    """
    import pyarrow.parquet as pq

    counts = Counts()
    with replacing(path) as part, pq.ParquetWriter(part, _dropped_schema()) as writer:
        for chunk in chunks:
            judged = read_judged(folder / chunk.name)
            rows = list(_dropped(judged, chunk, listing.shards[chunk.shard].name, late))
            counts.dropped.update(row[3] for row in rows)
            _count_flags(judged, counts)
            if rows:
                columns = dict(zip(_dropped_schema().names, map(list, zip(*rows, strict=True)), strict=True))
                writer.write_table(_table(columns))
            _count_kept(judged, late.rule[chunk.first : chunk.first + chunk.rows] < 0, counts)
    return counts


def _dropped_schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [("row", pa.int64()), *((name, pa.string()) for name in ("id", "where", "rule", "detail", "title"))]
    )


def _table(columns: dict[str, list[Any]]) -> Any:
    import pyarrow as pa

    return pa.table(columns, schema=_dropped_schema())


def _dropped(judged: Any, chunk: Chunk, shard: str, late: LateDrops) -> Iterator[tuple[int, str, str, str, str, str]]:
    names = ("row", "id", "dropped", "detail", "title_raw")
    for row, own, rule, detail, title in zip(*(judged[name].to_pylist() for name in names), strict=True):
        if rule is None:
            if late.rule[row] < 0:
                continue
            rule, detail = late.reason(row)
        yield row, own, f"{shard}, row {row - chunk.first + chunk.start}", rule, detail, title


def _count_flags(judged: Any, counts: Counts) -> None:
    import pyarrow.compute as pc

    for name, counter in (("flags", counts.flagged), ("stripped", counts.stripped)):
        for one in pc.value_counts(pc.list_flatten(judged[name])).to_pylist():
            counter[one["values"]] += one["counts"]


def _count_kept(judged: Any, kept: NDArray[np.bool_], counts: Counts) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    there = pc.and_(pc.is_null(judged["dropped"]), pa.array(kept))
    for one in pc.value_counts(pc.utf8_length(judged["title"].filter(there))).to_pylist():
        counts.lengths[one["values"]] += one["counts"]
    for one in pc.value_counts(judged["category"].filter(there)).to_pylist():
        if one["values"]:
            counts.categories[one["values"]] += one["counts"]


def report_of(
    listing: SourceListing, counts: Counts, groups: NDArray[np.int64], splits: NDArray[np.int8]
) -> dict[str, Any]:
    """What ``report.json`` holds.

    Args:
        listing: the source.
        counts: of its rows.
        groups: [n] of the rows that are kept.
        splits: [n] of them, index into :data:`SPLITS`.
    """
    _, sizes = np.unique(groups, return_counts=True)
    return {
        "rows": listing.rows,
        "kept": len(groups),
        "dropped": sum(counts.dropped.values()),
        "rules": counts.rules(),
        "groups": len(sizes),
        "largest_group": int(sizes.max()) if len(sizes) else 0,
        "splits": {name: int((splits == number).sum()) for number, name in enumerate(SPLITS)},
        "lengths": {"title": {str(length): counts.lengths[length] for length in sorted(counts.lengths)}},
        "categories": {name: counts.categories[name] for name in sorted(counts.categories)},
        "shards_unreadable": [shard.name for shard in listing.shards if shard.problem is not None],
        "columns": asdict(listing.columns),
        "columns_left_out": listing.left_out,
    }
