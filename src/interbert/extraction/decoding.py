"""Rows of a source decoded ahead of the network, in chunks whose files and pixels fit in memory."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from interbert.errors import ImageError, RegionError
from interbert.extraction.given import read_boxes
from interbert.extraction.images import MAX_FILE, NEEDED_SIDE, file_bytes, in_chunks, load_image
from interbert.extraction.sources import ImageSource, SourceItem
from interbert.extraction.views import shrink

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


_SAMPLE = 16
"""Rows, at the least, whose files say how large those of a source are."""


def with_bytes(item: SourceItem) -> SourceItem:
    """A row that needs no disk; without an image, and with why, where its file cannot be read or is too large."""
    if item.data is None:
        return item
    try:
        return replace(item, data=file_bytes(item.data, item.where))
    except OSError as error:
        return replace(item, data=None, problem=f"cannot be read ({error.strerror or error})")
    except ImageError as error:
        return replace(item, data=None, problem=str(error).removeprefix(f"{item.where}: "))


def rows_within(limit: int, source: ImageSource, rows: Sequence[int]) -> int:
    """How many images have files of so many bytes together, by the mean of a sample; at least one."""
    sizes = [file_size(source[row]) for row in rows[:: max(1, len(rows) // _SAMPLE)]]
    return max(1, limit * len(sizes) // max(1, sum(sizes)))


def file_size(item: SourceItem) -> int:
    """Bytes of a row's file; 0 where there is none, or one that is too large to be read."""
    size = 0
    if isinstance(item.data, bytes):
        size = len(item.data)
    elif isinstance(item.data, Path) and item.data.is_file():
        size = item.data.stat().st_size
    return size if size <= MAX_FILE else 0


_CHUNK = 64


@dataclass(frozen=True)
class DecodedImage:
    """A row of a source with its image, or with why there is none."""

    item: SourceItem
    digest: str
    """SHA-256 of the image's file."""
    image: Image.Image | None
    problem: str | None
    boxes: NDArray[np.float32] | None = None
    """[n,4] in pixels of the image, when the source brings boxes along."""
    size: tuple[int, int] | None = None
    """Width and height that the image had before it was made smaller, when the source brings boxes along."""


class Rows(Protocol):
    """A source, or some rows of one."""

    def __getitem__(self, row: int, /) -> SourceItem:
        """One row."""


def decode_ahead(
    source: Rows, rows: Iterable[int], threads: int = 1, chunk: int | None = None
) -> Iterator[list[DecodedImage]]:
    """Chunks of decoded images; the next chunk is decoded while the caller computes on this one.

    A chunk ends early where its images are large, at a megapixel for each that it may have (64: 256 MiB).

    Args:
        source: is read by one thread at a time.
        rows: of it.
        threads: decode.
        chunk: images; None: what suits a CPU.
    """
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="read") as pool,
        ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode") as decode,
    ):
        items = (source[row] for row in rows)
        decoded = map(_decode, items) if threads == 1 else _in_order(decode, items, threads)
        chunks = in_chunks(decoded, chunk or _CHUNK, lambda one: one.image)
        ahead = pool.submit(next, chunks, None)
        while (done := ahead.result()) is not None:
            ahead = pool.submit(next, chunks, None)
            yield done


def _in_order(pool: Executor, items: Iterable[SourceItem], threads: int) -> Iterator[DecodedImage]:
    """Decoded by several threads, which are no more than an image each ahead of whoever takes them."""
    waiting: deque[Future[DecodedImage]] = deque()
    for item in items:
        waiting.append(pool.submit(_decode, item))
        if len(waiting) > threads:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _decode(item: SourceItem) -> DecodedImage:
    """An image, with its file no longer in memory."""
    bare = replace(item, data=None)
    if item.data is None:
        return DecodedImage(bare, "", None, f"{item.where}: {item.problem}")
    boxes = size = None
    try:
        data = file_bytes(item.data, item.where)
        # given boxes are pixels of the whole image, which then cannot be decoded at a smaller scale
        image = load_image(data, item.where, target_side=NEEDED_SIDE if item.box_format is None else None)
        if item.box_format is not None:
            size = image.size
            image, boxes = shrink(image, read_boxes(item.boxes, item.box_format, size, item.where))
    except (ImageError, RegionError, OSError) as error:
        return DecodedImage(bare, "", None, str(error))
    return DecodedImage(bare, hashlib.sha256(data).hexdigest(), image, None, boxes, size)
