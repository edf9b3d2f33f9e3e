"""Reading a whole store: what is wrong with it, and what it holds."""

from __future__ import annotations

from collections import Counter
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


_SAMPLE = 256


@dataclass(frozen=True)
class StoreSummary:
    """Counts and sizes of a store."""

    rows: int
    images: int
    mirrored: int
    """Rows that are mirror images."""
    products: int
    without_text: int
    """Images without a text."""
    texts: dict[str, int]
    """Source column -> texts of images as they are."""
    regions: tuple[int, float, int] | None
    """Least, mean and most regions of an image, over up to 256 rows spread over the store; None when it is empty."""
    bytes: int
    """Of the data files that the present version uses."""
    commits: int
    files: int
    removed: int
    """Rows taken out, whose bytes are still there."""


def summarise(store: RegionStore) -> StoreSummary:
    """Read a store's texts and a sample of its regions.

    Raises:
        StoreError: it is damaged.
    """
    images: set[int] = set()
    products: set[int] = set()
    texts: Counter[str] = Counter()
    mirrored = without = 0
    for one in store.captions():
        images.add(hash(one.image_id))
        products.add(hash(one.product_id or one.image_id))
        mirrored += one.view == 1
        if one.view == 0:
            texts.update(one.text_fields)
            without += not one.texts
    rows = len(store)
    sample = np.unique(np.linspace(0, rows - 1, min(rows, _SAMPLE)).astype(int)).tolist() if rows else []
    counts = [len(regions.boxes) for regions in store.take(sample)]
    fragments = store.dataset().get_fragments()
    files = [file for fragment in fragments for file in fragment.data_files()]
    return StoreSummary(
        rows=rows,
        images=len(images),
        mirrored=mirrored,
        products=len(products),
        without_text=without,
        texts=dict(texts),
        regions=(min(counts), float(np.mean(counts)), max(counts)) if counts else None,
        bytes=sum(file.file_size_bytes or 0 for file in files),
        commits=store.dataset().version,
        files=len(files),
        removed=sum(fragment.num_deletions for fragment in fragments),
    )


def facts(store: RegionStore) -> list[tuple[str, str]]:
    """Names and values, as people read them."""
    found, layout, info = summarise(store), store.layout, store.info
    kept = "whole" if layout.top_k_classes is None else f"the {layout.top_k_classes} most probable and the remainder"
    sums = "every row" if layout.checksums else "none (older layout)"
    per_row = f", {found.bytes / found.rows / 1000:,.1f} kB a row" if found.rows else ""
    removed = f"; {found.removed:,} removed rows still take up room" if found.removed else ""
    lines = [
        ("rows", f"{found.rows:,}: {found.images:,} images, {found.mirrored:,} mirrored views"),
        ("products", f"{found.products:,}"),
        ("texts", ", ".join(f"{name} {count:,}" for name, count in found.texts.items()) or "none"),
        ("images without a text", f"{found.without_text:,}"),
        ("size", f"{found.bytes / 1e6:,.1f} MB in {found.files:,} files{per_row}{removed}"),
        ("commits", f"{found.commits:,}"),
        ("layout", f"{layout.version}, checksums: {sums}"),
        ("extractor", info.name if info.version == 1 else f"{info.name}, version {info.version}"),
        ("fingerprint", info.fingerprint),
        ("features", f"{info.feature_size:,} float16 a region"),
        ("classes", f"{info.num_classes:,}, stored {kept}" if info.num_classes else "none"),
        *((f"  {name}", str(value)) for name, value in sorted(info.settings.items())),
    ]
    if found.regions:
        least, mean, most = found.regions
        lines.insert(1, ("regions of an image", f"{least} to {most}, {mean:.1f} on average (a sample)"))
    if layout.made_by:
        lines.append(("made with", ", ".join(f"{name} {version}" for name, version in layout.made_by.items())))
    return lines
