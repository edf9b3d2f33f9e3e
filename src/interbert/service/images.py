"""Images of requests: data URIs and uploaded files, never an address that the service would have to fetch."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from interbert.errors import ImageError
from interbert.extraction.images import NEEDED_SIDE, known_formats, load_image
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics

if TYPE_CHECKING:
    from PIL.Image import Image

_DATA_URI = re.compile(r"data:image/[\w.+-]+(?:;[\w.+=-]+)*;base64,")
"""What a data URI of an image begins with."""
_SLOTS = 8


def is_data_uri(text: str) -> bool:
    """Whether a text is meant as an image."""
    return text.startswith("data:image/")


def decoded(image: str | bytes, where: str, megapixels: float) -> Image:
    """An image of a request as RGB.

    Args:
        image: a data URI, or a file's bytes.
        where: the field, for messages.
        megapixels: larger ones are refused before they are decoded.

    Raises:
        ServiceError: ``bad_image``, or ``too_large``.
    """
    data = image if isinstance(image, bytes) else _bytes_of(image, where)
    try:
        if has_more_pixels(data, megapixels):
            raise ServiceError("too_large", f"The image has more than {megapixels:g} million pixels.", where)
        return load_image(data, "the image", large_side=NEEDED_SIDE)
    except ImageError as error:
        raise ServiceError("bad_image", str(error), where) from error


def _bytes_of(uri: str, where: str) -> bytes:
    found = _DATA_URI.match(uri[:200])
    if found is None:
        address = re.match(r"(?i)\s*(?:https?|ftp|file|s3):", uri)
        problem = "The service fetches no addresses" if address else "It is no data URI of an image"
        raise ServiceError("bad_image", f"{problem}. Send the image itself: data:image/jpeg;base64,...", where)
    try:
        return base64.b64decode(uri[found.end() :].encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ServiceError("bad_image", "What follows base64, in the data URI is no base64.", where) from error


def has_more_pixels(data: bytes, megapixels: float) -> bool:
    """Whether an image's header tells of more pixels; what is no image is left to the decoder, which says why."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=known_formats()) as image:
            return image.width * image.height > megapixels * 1e6
    except Image.DecompressionBombError:
        return True
    except Exception:  # whatever a damaged header makes of a decoder
        return False


class ImageSlots:
    """So many images that are decoded and not encoded yet: each may take 120 MB.

    Args:
        metrics: counts refusals.
        waiting: requests that may wait for a slot; more are refused.
    """

    def __init__(self, metrics: Metrics, waiting: int) -> None:
        self._free = asyncio.Semaphore(_SLOTS)
        self._metrics, self._most, self._waiting = metrics, waiting, 0

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            ServiceError: ``overloaded``.
        """
        if self._free.locked() and self._waiting >= self._most:
            self._metrics.rejections.labels("queue_full").inc()
            raise ServiceError("overloaded", "Too many images wait to be read. Try again later.", retry_after=1.0)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
