"""``interbert regions show``: images of a store with their regions drawn on them, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from interbert.errors import UsageError
from interbert.extraction.sources import ImageSource
from interbert.extraction.weights import class_names
from interbert.regions.schema import CaptionRow, Regions
from interbert.regions.store import RegionStore
from interbert.report.images import Thumbnails, thumbnails
from interbert.utils.bounded_files import read_small_text
from interbert.utils.files import PAGE, write_output
from interbert.utils.redaction import published
from interbert.utils.templating import render

_SIDE = 480
"""Pixels of an image's long side."""
_MAX_NAMES = 1 << 20
"""Bytes of a file with names of classes; 1,600 names take 20,000."""


def rows_to_show(store: RegionStore, rows: Sequence[int], count: int) -> list[int]:
    """The rows that were named, or ``count`` of them spread evenly over the store.

    Raises:
        UsageError: a row is not there, or the store is empty.
    """
    have = len(store)
    if not have:
        raise UsageError(f"{store.path}: holds no rows yet.")
    for row in rows:
        if not 0 <= row < have:
            raise UsageError(f"{store.path}: has no row {row}. Its rows are 0 to {have - 1}.")
    return list(rows) or np.unique(np.linspace(0, have - 1, min(count, have)).astype(int)).tolist()


def names_of(store: RegionStore, file: str | None) -> Sequence[str] | None:
    """What the store's classes are called: by a file with a name a line, or by its extractor; None: nobody knows.

    A file with one name less than there are classes leaves out the background, which is class 0 (SPEC part 2).

    Raises:
        UsageError: the file is missing or has another number of names.
    """
    if file is None:
        return class_names(store.info)
    try:
        names = read_small_text(file, _MAX_NAMES).splitlines()
    except (OSError, ValueError) as error:
        large = f" of at most {_MAX_NAMES:,} bytes"
        raise UsageError(f"{file}: cannot be read as names of classes, one a line in UTF-8,{large}.") from error
    if len(names) + 1 == store.info.num_classes:
        names = ["background", *names]
    if len(names) != store.info.num_classes:
        raise UsageError(f"{file}: has {len(names)} names, {store.path} has {store.info.num_classes} classes.")
    return names


def write_region_page(
    store: RegionStore,
    rows: Sequence[int],
    out: Path,
    source: ImageSource | None = None,
    names: Sequence[str] | None = None,
    top: int = 3,
    boxes: int = 36,
) -> list[str]:
    """Write the page.

    Returns:
        of each image that is not shown, why.

    Args:
        store: with the regions.
        rows: of the store.
        out: file to write.
        source: where the images come from; None draws empty frames.
        names: of the classes; None shows numbers.
        top: classes of each region.
        boxes: regions of each image, the surest first.

    Raises:
        UsageError: the source has none of the images, or ``out`` is a file that is no page.
        StoreError: a row is damaged.
        StorageError: the page cannot be written.
    """
    wanted = set(rows)
    captions = {one.row: one for one in store.captions() if one.row in wanted}
    shown = Thumbnails()
    if source is not None:
        shown = thumbnails(source, {str(row): captions[row] for row in rows}, _SIDE).require(source)
    cards = [
        _card(captions[row], regions, names, top, boxes) for row, regions in zip(rows, store.take(rows), strict=True)
    ]
    about = f"{len(rows)} of {len(store):,} rows; regions by {store.info.name}, fingerprint {store.info.fingerprint}"
    page = render("regions.html", shown.uris, name=published(str(store.path)), about=about, cards=cards)
    write_output(out, page, PAGE)
    return shown.problems


def surest(regions: Regions, most: int) -> list[int]:
    """Regions by the probability of their best class, or in their order when they have no classes."""
    if regions.class_probs is None:
        return list(range(min(most, len(regions.boxes))))
    best = regions.class_probs.max(axis=1).astype(np.float32)
    return [int(one) for one in np.argsort(-best, kind="stable")[:most]]


def top_classes(regions: Regions, region: int, count: int, names: Sequence[str] | None) -> list[tuple[str, float]]:
    """Name and probability of a region's most probable classes."""
    if regions.class_probs is None:
        return []
    probabilities = regions.class_probs[region].astype(np.float32)
    best = np.argsort(-probabilities, kind="stable")[:count].tolist()
    return [(f"class {one}" if names is None else names[one], float(probabilities[one])) for one in best]


def _card(
    caption: CaptionRow, regions: Regions, names: Sequence[str] | None, top: int, boxes: int
) -> dict[str, object]:
    """What ``regions.html`` shows of an image."""
    shown = surest(regions, boxes)
    mirrored = ", mirrored" if caption.view == 1 else ""
    of_all = f"{len(shown)} of " if len(shown) < len(regions.boxes) else ""
    return {
        "key": str(caption.row),
        "title": caption.texts[0] if caption.texts else caption.image_id,
        "facts": f"row {caption.row}, image {caption.image_id}, {regions.width} × {regions.height} pixels{mirrored}, "
        f"{of_all}{len(regions.boxes)} regions",
        "width": regions.width,
        "height": regions.height,
        "boxes": [(str(number), regions.boxes[region].tolist()) for number, region in enumerate(shown, start=1)],
        "classes": [top_classes(regions, region, top, names) for region in shown],
    }
