"""Image files of any kind and condition to RGB."""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from interbert.errors import ImageError, first_line
from interbert.utils.shared_room import SharedRoom

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded (a 20,000 x 20,000 file may hold 100 kB and fill 1.2 GB)."""
MAX_FILE = 1 << 26
"""Bytes of an image's file, wherever it lies: larger ones are not read."""
LARGE_PIXELS = 1 << 25
"""Images of more pixels than this are made smaller while they are decoded, unless they are needed whole."""
NEEDED_SIDE = 512
"""Pixels per side that regions are found in, at the least; images made smaller while decoding keep twice as many."""

_DECODING_PIXELS = 1 << 28
"""Pixels that the threads of a process decode at a time, together: 4 bytes each."""
_COSTS = {"JPEG2000": 6, "WEBP": 4, "AVIF": 4, "HEIF": 4}
"""How many times the memory of a pixel decoders take; JPEG 2000's holds each channel in 4 bytes, and again."""
_STRIP_PIXELS = 1 << 22
"""Pixels that are converted at a time: a conversion needs up to 40 bytes for each."""
_MEAN_PIXELS = 1 << 20
"""Pixels of a decoded image of a chunk, in the mean: what waits in memory has 4 bytes for each."""
_MOST_THREADS = 16
_ORIENTATION = 0x0112

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".j2k", ".heic", ".heif"}
)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000", "TGA", "PCX", "HEIF")
"""What Pillow may decode, HEIF where pillow-heif is installed. Not EPS, which Pillow hands to Ghostscript; nor files
whose size is not that of their pixels."""
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF"})
"""Formats whose further frames are an animation: those of a TIFF are pages, of an MPO a phone's second exposure."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_NEEDS_HEIC = (
    "is a photo in HEIC, as phones take them. Install what reads it: pip install 'interbert[heic]'; or save it as JPEG."
)

_One = TypeVar("_One")


_decoding = SharedRoom(_DECODING_PIXELS)


def file_bytes(data: bytes | Path, where: str) -> bytes:
    """An image's file as a source gives it.

    Raises:
        ImageError: it has more than 64 MiB; ``where`` is what to call it.
        OSError: it cannot be read.
    """
    if isinstance(data, Path):
        with data.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ImageError(f"{where}: its file has more than {MAX_FILE:,} bytes, which are not read; make it smaller.")
    return data


@dataclass(frozen=True)
class ImageFile:
    """A decoded image, and what its file says of itself."""

    image: Image.Image
    format: str
    """Pillow's name of the format that the bytes have."""
    size: tuple[int, int]
    """Width and height in the file, before the image was turned or made smaller."""
    animated: bool
    tables: Mapping[int, Sequence[int]]
    """A JPEG's quantisation tables, 64 steps each; empty for other formats."""


def load_image(
    data: bytes | Path, where: str, target_side: int | None = None, large_side: int | None = None
) -> Image.Image:
    """Decode an image to RGB: turned as its EXIF says, transparency laid on white, the first frame of several.

    Args:
        data: the file's bytes, or its path.
        where: what to call it in messages.
        target_side: when the image is only needed at about this many pixels per side, a large JPEG is decoded at a
            reduced scale, and any image of more than :data:`LARGE_PIXELS` is reduced.
        large_side: the same for images of more than :data:`LARGE_PIXELS` alone; others are decoded whole.

    Raises:
        ImageError: it is no image, is cut off, has more than 64 MiB or more than 100 million pixels.
    """
    return load_image_file(data, where, target_side, large_side).image


def load_image_file(
    data: bytes | Path,
    where: str,
    target_side: int | None = None,
    large_side: int | None = None,
    grey: bool = False,
) -> ImageFile:
    """As :func:`load_image`, with what the file says of itself.

    Args:
        data: the file's bytes, or its path.
        where: what to call it in messages.
        target_side: as for :func:`load_image`.
        large_side: as for :func:`load_image`.
        grey: the image is wanted in grey (mode L): most JPEGs' colours are then never decoded.

    Raises:
        ImageError: as :func:`load_image`.
    """
    from PIL import Image, UnidentifiedImageError

    contents = b""
    try:
        contents = file_bytes(data, where)
        with Image.open(io.BytesIO(contents), formats=known_formats()) as image:
            pixels, size = _counted(image, where), image.size
            animated = image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
            side = target_side or (large_side if pixels > LARGE_PIXELS else None)
            if image.format == "JPEG" and (grey or side is not None):
                image.draft("L" if grey else "RGB", image.size if side is None else (2 * side, 2 * side))
            with _decoding.taking(pixels * _COSTS.get(image.format or "", 1)):
                image.load()
                _counted(image, where)  # a .ico file's header has another size than the image in it
                decoded = _to_grey(image, side) if grey else _to_rgb(image, side)
            return ImageFile(decoded, image.format or "", size, animated, getattr(image, "quantization", {}))
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{where}: the file is not there.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{where}: has too many pixels; make it smaller.") from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        TypeError,
        MemoryError,
        IndexError,
        KeyError,
        RuntimeError,
    ) as error:
        # Pillow's decoders raise all of these on broken files, that of AVIF the last
        unknown = isinstance(error, UnidentifiedImageError)
        if unknown and is_heic(contents) and "HEIF" not in known_formats():
            raise ImageError(f"{where}: {_NEEDS_HEIC}") from error
        reason = "no known format" if unknown else first_line(error, 120)
        raise ImageError(f"{where}: not a readable image ({reason}).") from error


def as_image(image: Image.Image | bytes | str | Path, where: str) -> Image.Image:
    """An opened image, a file's bytes or a path as RGB; otherwise as :func:`load_image`.

    Decoded whole, unless it has more than :data:`LARGE_PIXELS`.

    Raises:
        ImageError: as :func:`load_image`, or it is none of these.
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        _counted(image, where)
        try:
            return _to_rgb(image, NEEDED_SIDE)
        except (OSError, ValueError, SyntaxError, RuntimeError) as error:  # opened, and cut off where its pixels are
            raise ImageError(f"{where}: not a readable image ({error}).") from error
    if isinstance(image, str | Path):
        return load_image(Path(image), str(image), large_side=NEEDED_SIDE)
    if isinstance(image, bytes):
        return load_image(image, where, large_side=NEEDED_SIDE)
    raise ImageError(f"{where}: is a {type(image).__name__}, not an image, a path or a file's bytes.")


def in_chunks(
    members: Iterable[_One], most: int, image_of: Callable[[_One], Image.Image | None]
) -> Iterator[list[_One]]:
    """Decoded images in lists that end at ``most`` of them, or at as many pixels as make ``most`` of a mega-pixel.

    Args:
        members: taken one by one, as they are needed.
        most: images of a chunk.
        image_of: the decoded image of a member, None without one.
    """
    chunk: list[_One] = []
    pixels = 0
    for one in members:
        chunk.append(one)
        image = image_of(one)
        pixels += 0 if image is None else image.width * image.height
        if len(chunk) == most or pixels >= most * _MEAN_PIXELS:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


@cache
def known_formats() -> list[str]:
    """Those of the known formats that this Pillow reads; it has to be told to look for all of them."""
    from PIL import Image

    Image.init()
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]


def is_heic(data: bytes) -> bool:
    """Whether a file is a photo in HEIC, by the brands that ISO/IEC 23008-12 gives its first box."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS


def _counted(image: Image.Image, where: str) -> int:
    """Pixels of an image that is not decoded yet."""
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ImageError(
            f"{where}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} are read; make it smaller."
        )
    return pixels


def _to_rgb(image: Image.Image, side: int | None) -> Image.Image:
    """A decoded image as RGB and upright; a large one reduced to at least twice ``side`` pixels, where it has them.

    Reduced first and turned then: each step of a large image is a copy of it.
    """
    from PIL import ImageOps

    factor = 1 if side is None else _factor(image.size, side)
    if factor == 1:
        return _flatten(ImageOps.exif_transpose(image))
    small = _flatten(image, factor)
    small.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return ImageOps.exif_transpose(small)


def _to_grey(image: Image.Image, side: int | None) -> Image.Image:
    """As :func:`_to_rgb`, in grey; at once where the image is no other."""
    from PIL import ImageOps

    plain = image.mode == "L" and "transparency" not in image.info and image.width * image.height <= LARGE_PIXELS
    return ImageOps.exif_transpose(image) if plain else _to_rgb(image, side).convert("L")


def _factor(size: tuple[int, int], side: int) -> int:
    """By how much to reduce a large image; 1 for one that is not. A strip keeps no side of twice ``side`` pixels."""
    pixels = size[0] * size[1]
    return max(min(size) // (2 * side), math.ceil(math.sqrt(pixels / LARGE_PIXELS))) if pixels > LARGE_PIXELS else 1


def _flatten(image: Image.Image, factor: int = 1) -> Image.Image:
    """RGB on white, strip by strip, each reduced by ``factor``: the whole is never converted at once."""
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info and factor == 1:
        return image
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // max(width, 1) // factor) * factor
    top = _brightest(image, rows) if image.mode in _DEEP_GREYS else None
    flat = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for start in range(0, height, rows):
        strip = _flat_strip(image.crop((0, start, width, min(start + rows, height))), top)
        flat.paste(strip.reduce(factor) if factor > 1 else strip, (0, start // factor))
    return flat


_DEEP_GREYS = ("I", "I;16", "I;16B", "I;16L", "F")


def _flat_strip(strip: Image.Image, top: float | None) -> Image.Image:
    import numpy as np
    from PIL import Image

    if top is not None:
        return Image.fromarray((_grey_values(strip) / top * 255).clip(0, 255).astype(np.uint8)).convert("RGB")
    if strip.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in strip.info:
        layer = strip.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return strip.convert("RGB")


def _brightest(image: Image.Image, rows: int) -> float:
    """What becomes white of 16-bit and float greys, by their own range."""
    width, height = image.size
    strips = (image.crop((0, start, width, min(start + rows, height))) for start in range(0, height, rows))
    return 65535.0 if any(_grey_values(strip).max(initial=0) > 255 for strip in strips) else 255.0


def _grey_values(strip: Image.Image) -> NDArray[np.float64]:
    import numpy as np

    return np.nan_to_num(np.asarray(strip, dtype=np.float64))


def threads_beside_gpu() -> int:
    """Threads that decode or scale images for a GPU, which one would let starve; a CPU is busy with the network."""
    return min(os.cpu_count() or 1, _MOST_THREADS)
