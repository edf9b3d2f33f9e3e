"""Extraction in this process, decoding beside the network."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from interbert.errors import ImageError, RegionError
from interbert.extraction.describing import DecodedImage, Described, Views, describe
from interbert.extraction.extractor import RegionExtractor
from interbert.extraction.given import shrink
from interbert.extraction.given_boxes import read_boxes
from interbert.extraction.images import NEEDED_SIDE, file_bytes, in_chunks, load_image, threads_beside_gpu
from interbert.extraction.sources import ImageSource, SourceItem

_CHUNK = 64
_GPU_CHUNK = 512
"""Images that are decoded ahead of a GPU, which describes dozens at once."""


class InThisProcess:
    """Describes images here, decoding the next ones meanwhile."""

    def __init__(self, extractor: RegionExtractor) -> None:
        self._extractor = extractor

    def describe(self, source: ImageSource, views: Views, need_texts: bool) -> Generator[Described]:
        """Every row of ``views``, in its order, some at a time."""
        on_cpu = self._extractor.device == "cpu"
        chunks = (
            decode_ahead(source, views) if on_cpu else decode_ahead(source, views, threads_beside_gpu(), _GPU_CHUNK)
        )
        for chunk in chunks:
            yield describe(self._extractor, chunk, views, need_texts)


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
