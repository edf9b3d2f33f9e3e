"""Rules of images: what a data set does without, by the bytes of each file and one decoding of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interbert.curation.image_hashes import HASH_BYTES, SIDE, hash_of, low_frequencies
from interbert.curation.image_options import RULES, ImageOptions
from interbert.curation.image_text import has_qr_code, text_share
from interbert.curation.reasons import Reason
from interbert.errors import ImageError
from interbert.extraction.images import MAX_FILE, MAX_PIXELS, ImageFile, known_formats, load_image_file

if TYPE_CHECKING:
    from PIL import Image

_SIDE = 64
"""Pixels per side that rules and hash need; large JPEGs are decoded at the scale that still has twice as many."""
_LONGEST = 256
"""Pixels of the longer side that rules and hash see, at the most."""
_SIDE_OF_TEXT = 512
"""The same where text or QR codes are looked for."""
_WHITE = 242
"""Grey levels from this on are white: JPEG makes waves on white around what is not."""
_NEAR = 4
"""Grey levels that count as one."""
_FILL = 128
"""The grey that a JPEG decoder puts where data is missing."""
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


def rule_names() -> tuple[str, ...]:
    """All rules of images, for reports that show those without a case."""
    return RULES


class ImageRules:
    """Judges images, each on its own; it can be pickled and shared by threads."""

    def __init__(self, options: ImageOptions | None = None) -> None:
        self.options = options or ImageOptions()

    def judge(self, data: bytes) -> ImageJudgement:
        """Judge an image's file, which is decoded once (a damaged one's header is read once more).

        Raises:
            MissingExtraError: text or QR codes are looked for, and the package that finds them is not installed.
        """
        digest = hashlib.sha256(data).digest()
        closer = self.options.text is not None or self.options.qr_codes
        try:
            file = load_image_file(data, "", target_side=_SIDE_OF_TEXT if closer else _SIDE, grey=True)
        except ImageError as error:
            return _undecoded(data, digest, error)
        grey = _small(file.image)
        amplitudes = low_frequencies(grey)
        reasons = list(self._reasons(file, grey, amplitudes))
        dropped = next((reason for reason in reasons if reason.rule not in self.options.only_flagged), None)
        return ImageJudgement(
            dropped,
            tuple(reason for reason in reasons if reason is not dropped),
            digest,
            hash_of(amplitudes),
            *file.size,
            _FORMATS.get(file.format, file.format),
        )

    def _reasons(self, file: ImageFile, grey: NDArray[np.uint8], amplitudes: NDArray[np.float32]) -> Iterator[Reason]:
        name = _FORMATS.get(file.format, file.format)
        if name == "JPEG" and (missing := _missing_rows(grey)):
            yield Reason("image_truncated", f"{missing:.0%} of its rows are missing")
        yield from self._of_file(file, name)
        yield from self._of_pixels(grey, amplitudes)
        if self.options.text is not None and (share := text_share(file.image)) >= self.options.text:
            yield Reason("image_text", f"{share:.0%} of it is text")
        if self.options.qr_codes and has_qr_code(file.image):
            yield Reason("image_qr_code", "")

    def _of_file(self, file: ImageFile, name: str) -> Iterator[Reason]:
        options, (width, height) = self.options, file.size
        if name not in options.formats:
            yield Reason("image_format", name)
        if file.animated and options.animated:
            yield Reason("image_animated", name)
        if options.least_side is not None and min(width, height) < options.least_side:
            yield Reason("image_too_small", f"{width} x {height} pixels")
        if options.most_aspect is not None and max(width, height) > options.most_aspect * min(width, height):
            yield Reason("image_aspect", f"{width} x {height} pixels")

    def _of_pixels(self, grey: NDArray[np.uint8], amplitudes: NDArray[np.float32]) -> Iterator[Reason]:
        options = self.options
        share = 0.0 if options.blank is None else _share_of_one_grey(grey, amplitudes, options.blank)
        if options.blank is not None and share >= options.blank:
            yield Reason("image_blank", f"{share:.2%} of it is one grey")
        elif options.white_border is not None and (share := _white_border(grey)) >= options.white_border:
            yield Reason("image_white_border", f"{share:.0%} of it is white border")


def _small(grey: Image.Image) -> NDArray[np.uint8]:
    """[H, W] of an image of mode L, at most ``_LONGEST`` each."""
    factor = -(-max(grey.size) // _LONGEST)
    if factor > 1:
        grey = grey.reduce((min(factor, grey.width), min(factor, grey.height)))
    return np.frombuffer(grey.tobytes(), np.uint8).reshape(grey.height, grey.width)


def _share_of_one_grey(grey: NDArray[np.uint8], amplitudes: NDArray[np.float32], least: float) -> float:
    """Share of pixels near the most frequent grey level; 0 where the amplitudes say that it is below ``least``."""
    # the sum of squares of what differs from one grey, which no amplitude can exceed: saves counting most images
    most = SIDE**2 * ((1 - least) * 255**2 + _NEAR**2)
    if np.abs(amplitudes.ravel()[1:]).max() ** 2 > most:
        return 0.0
    counts = np.bincount(grey.ravel(), minlength=256)
    level = int(counts.argmax())
    return float(counts[max(0, level - _NEAR) : level + _NEAR + 1].sum() / grey.size)


def _white_border(grey: NDArray[np.uint8]) -> float:
    """Share of pixels outside the rectangle that holds all that is not white."""
    rows, columns = (grey.min(axis=axis) < _WHITE for axis in (1, 0))
    return 1.0 - _extent(rows) * _extent(columns) / grey.size


def _extent(marked: NDArray[np.bool_]) -> int:
    """From the first marked place to the last; both count."""
    return int(marked.size - marked.argmax() - marked[::-1].argmax()) if marked.any() else 0


def _missing_rows(grey: NDArray[np.uint8]) -> float:
    """Share of rows at the bottom that are the grey which decoders put where a JPEG's data ends too early.

    Such files end as they should, so that no decoder complains: a server closed them, or a copy lost its middle.
    """
    if grey[-1, -1] != _FILL or grey[-1, 0] != _FILL:
        return 0.0
    return float((grey == _FILL).all(axis=1)[::-1].argmin()) / len(grey)


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
    """Format, width and height of a file, by its first bytes; None where they are of no image."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=known_formats()) as image:
            return _FORMATS.get(image.format or "", image.format or ""), image.width, image.height
    except Image.DecompressionBombError:
        return "", MAX_PIXELS + 1, 1
    except Exception:  # its decoders raise almost anything on what is no image
        return None
