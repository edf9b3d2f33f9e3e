"""Extraction in this process, decoding beside the network."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol

from interbert.errors import PictureError, RegionError
from interbert.extraction.describing import DecodedPicture, Described, Views, describe
from interbert.extraction.extractor import RegionExtractor
from interbert.extraction.given import shrink
from interbert.extraction.given_boxes import read_boxes
from interbert.extraction.pictures import load_picture, threads_beside_gpu
from interbert.extraction.same_source import file_bytes
from interbert.extraction.sources import PictureSource, SourceItem

_CHUNK = 64
_GPU_CHUNK = 512
"""Pictures that are decoded ahead of a GPU, which describes dozens at once."""


class InThisProcess:
    """Describes pictures here, decoding the next ones meanwhile."""

    def __init__(self, extractor: RegionExtractor) -> None:
        self._extractor = extractor

    def describe(self, source: PictureSource, views: Views, need_texts: bool) -> Generator[Described]:
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
) -> Iterator[list[DecodedPicture]]:
    """Chunks of decoded pictures; the next chunk is decoded while the caller computes on this one.

    Args:
        source: is read by one thread at a time.
        rows: of it.
        threads: decode.
        chunk: pictures; None: what suits a CPU.
    """
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="read") as pool,
        ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode") as decode,
    ):
        ahead: Future[list[DecodedPicture]] | None = None
        for members in _chunks(rows, chunk or _CHUNK):
            following = pool.submit(_decode_all, source, members, decode if threads > 1 else None)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


def _chunks(rows: Iterable[int], size: int) -> Iterator[list[int]]:
    rest = iter(rows)
    return iter(lambda: list(islice(rest, size)), [])


def _decode_all(source: Rows, members: Sequence[int], pool: Executor | None) -> list[DecodedPicture]:
    items = (source[row] for row in members)
    return list(map(_decode, items) if pool is None else pool.map(_decode, items))


def _decode(item: SourceItem) -> DecodedPicture:
    if item.data is None:
        return DecodedPicture(item, "", None, f"{item.where}: {item.problem}")
    boxes = size = None
    try:
        data = file_bytes(item.data)
        # given boxes are pixels of the whole picture, which then cannot be decoded at a smaller scale
        picture = load_picture(data, item.where, target_side=512 if item.box_format is None else None)
        if item.box_format is not None:
            size = picture.size
            picture, boxes = shrink(picture, read_boxes(item.boxes, item.box_format, size, item.where))
    except (PictureError, RegionError, OSError) as error:
        return DecodedPicture(item, "", None, str(error))
    return DecodedPicture(item, hashlib.sha256(data).hexdigest(), picture, None, boxes, size)
