"""Reading a whole store to find what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from interbert.errors import InterBertError
from interbert.regions.conversion import captions_of, regions_of
from interbert.regions.schema import Regions
from interbert.regions.store import RegionStore

_AT_ONCE = 64
"""Rows in memory: of 100 regions with 2,048 features and 1,601 classes each they take 50 MB."""
_SUM_TOLERANCE = 0.02
"""How far from 1 a distribution of up to some thousand float16 values may be by rounding."""
_OUTSIDE_PIXELS = 1.0


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a row."""

    row: int
    reason: str
    kind: Literal["damaged", "twice", "unusual"]
    """``damaged`` rows are not what was written and are refused when read; ``twice`` rows repeat an earlier one;
    ``unusual`` ones are read as they are."""


@dataclass
class Verification:
    """What reading a whole store gave."""

    rows: int
    has_checksums: bool
    findings: list[Finding] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Finding]:
        """Findings of some kinds, by row."""
        return sorted((one for one in self.findings if one.kind in kinds), key=lambda one: one.row)


def verify(store: RegionStore, advance: Callable[[int], None] = lambda more: None) -> Verification:
    """Read every column of every row: can it be read, is it what was written, is it possible, is it there twice.

    Args:
        store: not changed.
        advance: is told how many more rows were read.

    Raises:
        StoreError: the store cannot be opened.
    """
    result = Verification(len(store), store.layout.checksums)
    keys = np.zeros(result.rows, dtype=np.uint64)
    start = 0
    for fragment in store.dataset().get_fragments():
        count = fragment.count_rows()
        for first in range(0, count, _AT_ONCE):
            places = list(range(first, min(first + _AT_ONCE, count)))
            result.findings += _check(store, fragment, places, start, keys)
            advance(len(places))
        start += count
    result.findings += _repeated(keys)
    return result


def _check(store: RegionStore, fragment: Any, places: list[int], start: int, keys: Any) -> Iterator[Finding]:
    """Findings of some rows of a fragment; rows that cannot be read together are read one by one."""
    try:
        found = _read(store, fragment, places, start, keys)
    except InterBertError as error:
        if len(places) == 1:
            yield Finding(start + places[0], str(error), "damaged")
            return
        for place in places:
            yield from _check(store, fragment, [place], start, keys)
        return
    for place, regions in zip(places, found, strict=True):
        yield from (Finding(start + place, reason, "unusual") for reason in unusual(regions))


def _read(store: RegionStore, fragment: Any, places: list[int], start: int, keys: Any) -> list[Regions]:
    from xxhash import xxh3_64_intdigest

    rows = [start + place for place in places]
    with store.reading():
        table = fragment.take(places, columns=store.layout.columns)
        for batch in table.combine_chunks().to_batches():
            for one in captions_of(batch, rows[0], store.layout, store.path):
                keys[one.row] = xxh3_64_intdigest(f"{one.view} {one.image_id}".encode())
        return regions_of(table, rows, store.layout, store.path)


def unusual(regions: Regions) -> Iterator[str]:
    """What is possible, and most often a mistake of whoever made the regions."""
    outside = max(
        float(-regions.boxes.min(initial=0)),
        float(regions.boxes[:, [0, 2]].max(initial=0)) - regions.width,
        float(regions.boxes[:, [1, 3]].max(initial=0)) - regions.height,
    )
    if outside > _OUTSIDE_PIXELS:
        yield f"a box leaves the image by {outside:.0f} pixels"
    sides = regions.boxes[:, 2:] - regions.boxes[:, :2]
    if (sides <= 0).any():
        yield f"{int((sides <= 0).any(axis=1).sum())} boxes have no area"
    if regions.class_probs is not None:
        sums = regions.class_probs.sum(axis=1, dtype=np.float64)
        worst = float(sums[np.abs(sums - 1).argmax()])
        if abs(worst - 1) > _SUM_TOLERANCE:
            yield f"a class distribution sums to {worst:.3f}, not to 1"


def _repeated(keys: Any) -> Iterator[Finding]:
    """Rows whose image and view stand in an earlier row."""
    order = np.argsort(keys, kind="stable")
    same = (keys[order][1:] == keys[order][:-1]) & (keys[order][1:] != 0)  # 0: could not be read
    for row in order[1:][same].tolist():
        yield Finding(row, "its image and view stand in an earlier row too", "twice")
