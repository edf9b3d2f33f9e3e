"""Images of requests: data URIs and uploaded files, never an address that the service would have to fetch."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import TYPE_CHECKING

from interbert.errors import ImageError
from interbert.extraction.images import NEEDED_SIDE, known_formats, load_image
from interbert.service.errors import ServiceError

if TYPE_CHECKING:
    from PIL.Image import Image

_DATA_URI = re.compile(r"data:image/[\w.+-]+(?:;[\w.+=-]+)*;base64,")
"""What a data URI of an image begins with."""
IMAGE_SLOTS = 8
"""Images that are decoded and not encoded yet: each may take 120 MB."""


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
