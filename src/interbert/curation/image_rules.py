"""Rules of images: what a data set does without, by the bytes of each file and one decoding of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interbert.curation.image_hashes import HASH_BYTES
from interbert.curation.image_measures import PixelMeasures, measured
from interbert.curation.image_options import RULES, ImageOptions
from interbert.curation.image_text import has_qr_code, text_share
from interbert.curation.placeholders import placeholder_images
from interbert.curation.reasons import Reason
from interbert.errors import ImageError
from interbert.extraction.images import MAX_FILE, MAX_PIXELS, known_formats, load_image_file

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ImageJudgement", "ImageOptions", "ImageRules", "placeholder_images", "rule_names"]

_SIDE = 64
"""Pixels per side that rules and hash need; large JPEGs are decoded at the scale that still has twice as many."""
_LONGEST = 256
"""Pixels of the longer side that rules and hash see, at the most."""
_SIDE_OF_TEXT = 512
"""The same where text or QR codes are looked for."""
_AT_ONCE = 64
_SIGNATURES = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n",
    "GIF": b"GIF8",
    "WEBP": b"WEBP",
    "AVIF": b"ftypavi",
    "TIFF": b"II*\0",
}
_FORMATS = {"MPO": "JPEG", "DIB": "BMP"}
"""Pillow's own names; an MPO is a JPEG with a second one behind it."""


class ImageJudgement(NamedTuple):
    """What the rules say of an image, and what is known of it."""

    dropped: Reason | None
    """The first rule that drops it."""
    flags: tuple[Reason, ...]
    """What else the rules saw, which drops nothing."""
    digest: bytes
    """SHA-256 of the file."""
    hash: bytes
    """Perceptual hash, of ``HASH_BYTES``; zeros where the image cannot be decoded."""
    width: int
    """Pixels, as the file has them; 0 where it has no image."""
    height: int
    format: str
    """By the bytes: JPEG, PNG, WEBP, ...; empty where it is none that is known."""


class _Seen(NamedTuple):
    """What is left of a file that was decoded."""

    digest: bytes
    format: str
    size: tuple[int, int]
    animated: bool
    grey: NDArray[np.uint8]
    """[H, W], small."""
    text: tuple[Reason, ...]


def rule_names() -> tuple[str, ...]:
    """All rules of images, for reports that show those without a case."""
    return RULES


class ImageRules:
    """Judges images, each on its own; it can be pickled and shared by threads."""

    def __init__(self, options: ImageOptions | None = None) -> None:
        self.options = options or ImageOptions()

    def judge(self, data: bytes) -> ImageJudgement:
        """Judge one image's file; :meth:`judge_all` is faster for many.

        Raises:
            MissingExtraError: as :meth:`judge_all`.
        """
        return next(self.judge_all([data]))

    def judge_all(self, files: Iterable[bytes]) -> Iterator[ImageJudgement]:
        """Judge images' files, each decoded once (a damaged one's header is read once more), in their order.

        64 are decoded and then looked at: taking turns costs half as much again, as neither finds its code cached.

        Raises:
            MissingExtraError: text or QR codes are looked for, and the package that finds them is not installed.
        """
        left = iter(files)
        while seen := [self._see(data) for data in islice(left, _AT_ONCE)]:
            greys = [one.grey for one in seen if isinstance(one, _Seen)]
            pixels = iter(measured(greys, 1.1 if self.options.blank is None else self.options.blank))
            for one in seen:
                yield self._judged(one, next(pixels)) if isinstance(one, _Seen) else one

    def _see(self, data: bytes) -> _Seen | ImageJudgement:
        digest = hashlib.sha256(data).digest()
        closer = self.options.text is not None or self.options.qr_codes
        try:
            file = load_image_file(data, "", target_side=_SIDE_OF_TEXT if closer else _SIDE, grey=True)
        except ImageError as error:
            return _undecoded(data, digest, error)
        name = _FORMATS.get(file.format, file.format)
        return _Seen(digest, name, file.size, file.animated, _small(file.image), tuple(self._of_text(file.image)))

    def _judged(self, seen: _Seen, pixels: PixelMeasures) -> ImageJudgement:
        reasons = (*self._of_file(seen, pixels.missing), *self._of_pixels(pixels), *seen.text)
        dropped = next((reason for reason in reasons if reason.rule not in self.options.only_flagged), None)
        flags = tuple(reason for reason in reasons if reason is not dropped)
        return ImageJudgement(dropped, flags, seen.digest, pixels.hash, *seen.size, seen.format)

    def _of_text(self, grey: Image.Image) -> Iterator[Reason]:
        if self.options.text is not None and (share := text_share(grey)) >= self.options.text:
            yield Reason("image_text", f"{share:.0%} of it is text")
        if self.options.qr_codes and has_qr_code(grey):
            yield Reason("image_qr_code", "")

    def _of_file(self, seen: _Seen, missing: float) -> Iterator[Reason]:
        options, (width, height) = self.options, seen.size
        if missing and seen.format == "JPEG":
            yield Reason("image_truncated", f"{missing:.0%} of its rows are missing")
        if seen.format not in options.formats:
            yield Reason("image_format", seen.format)
        if seen.animated and options.animated:
            yield Reason("image_animated", seen.format)
        if options.least_side is not None and min(width, height) < options.least_side:
            yield Reason("image_too_small", f"{width} x {height} pixels")
        if options.most_aspect is not None and max(width, height) > options.most_aspect * min(width, height):
            yield Reason("image_aspect", f"{width} x {height} pixels")

    def _of_pixels(self, pixels: PixelMeasures) -> Iterator[Reason]:
        options = self.options
        if options.blank is not None and pixels.one_grey >= options.blank:
            yield Reason("image_blank", f"{pixels.one_grey:.2%} of it is one grey")
        elif options.white_border is not None and pixels.white_border >= options.white_border:
            yield Reason("image_white_border", f"{pixels.white_border:.0%} of it is white border")


def _small(grey: Image.Image) -> NDArray[np.uint8]:
    """[H, W] of an image of mode L, at most ``_LONGEST`` each."""
    factor = -(-max(grey.size) // _LONGEST)
    if factor > 1:
        grey = grey.reduce((min(factor, grey.width), min(factor, grey.height)))
    return np.frombuffer(grey.tobytes(), np.uint8).reshape(grey.height, grey.width)


def _undecoded(data: bytes, digest: bytes, error: ImageError) -> ImageJudgement:
    """Of a file that cannot be decoded: no image at all, too large a one, or one that is cut off or damaged."""
    found = _header(data) if data and len(data) <= MAX_FILE else None
    said = str(error).removeprefix(": ")
    if not data:
        reason = Reason("image_unreadable", "the file is empty")
    elif len(data) > MAX_FILE or (found is not None and found[1] * found[2] > MAX_PIXELS):
        reason = Reason("image_too_large", said)
    elif found is None:
        reason = Reason("image_unreadable", f"begins with {data[:24]!r}")
    else:
        reason = Reason("image_truncated", said)
    name, width, height = found or ("", 0, 0)
    return ImageJudgement(reason, (), digest, bytes(HASH_BYTES), width, height, name)


def _header(data: bytes) -> tuple[str, int, int] | None:
    """Format, width and height of a file, by its first bytes; None where they are of no image.

    Some decoders open no file that is cut off: then no more is known than what its first bytes say.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=known_formats()) as image:
            return _FORMATS.get(image.format or "", image.format or ""), image.width, image.height
    except Image.DecompressionBombError:
        return "", MAX_PIXELS + 1, 1
    except Exception:  # its decoders raise almost anything on what is no image
        signature = next((name for name, bytes_ in _SIGNATURES.items() if bytes_ in data[:12]), None)
        return None if signature is None else (signature, 0, 0)
