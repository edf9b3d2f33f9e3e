"""What a store holds, for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from interbert.regions.store import RegionStore

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
