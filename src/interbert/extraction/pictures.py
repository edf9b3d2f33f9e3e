"""Picture files of any kind and condition to RGB."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.errors import PictureError, first_line

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded (a 20,000 x 20,000 file may hold 100 kB and fill 1.2 GB)."""

_MOST_THREADS = 16

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def load_picture(data: bytes | Path, where: str, target_side: int | None = None) -> Image.Image:
    """Decode a picture to RGB: turned as its EXIF says, transparency laid on white, the first frame of several.

    Args:
        data: the file's bytes, or its path.
        where: what to call it in messages.
        target_side: when the picture is only needed at about this many pixels per side, a large JPEG is decoded at a
            reduced scale.

    Raises:
        PictureError: it is no picture, is cut off, or has more than 100 million pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureError(
                    f"{where}: {picture.width} x {picture.height} pixels, at most {MAX_PIXELS:,} are read; "
                    "make it smaller."
                )
            if target_side is not None and picture.format == "JPEG":
                picture.draft("RGB", (2 * target_side, 2 * target_side))
            picture.load()
            return _flatten(ImageOps.exif_transpose(picture))
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"{where}: the file is not there.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{where}: has too many pixels; make it smaller.") from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        TypeError,
        MemoryError,
        IndexError,
        KeyError,
    ) as error:
        # Pillow's decoders raise all of these on broken files
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "no known format" if unknown else first_line(error, 120)
        raise PictureError(f"{where}: not a readable picture ({reason}).") from error


def as_picture(picture: Image.Image | bytes | str | Path, where: str) -> Image.Image:
    """An opened picture, a file's bytes or a path as RGB; otherwise as :func:`load_picture`.

    Raises:
        PictureError: as :func:`load_picture`, or it is none of these.
    """
    from PIL import Image, ImageOps

    if isinstance(picture, Image.Image):
        if picture.width * picture.height > MAX_PIXELS:
            raise PictureError(f"{where}: {picture.width} x {picture.height} pixels, at most {MAX_PIXELS:,} are read.")
        try:
            return _flatten(ImageOps.exif_transpose(picture))
        except (OSError, ValueError, SyntaxError) as error:  # opened, and cut off where its pixels are
            raise PictureError(f"{where}: not a readable picture ({error}).") from error
    if isinstance(picture, str | Path):
        return load_picture(Path(picture), str(picture))
    if isinstance(picture, bytes):
        return load_picture(picture, where)
    raise PictureError(f"{where}: is a {type(picture).__name__}, not a picture, a path or a file's bytes.")


def _flatten(picture: Image.Image) -> Image.Image:
    from PIL import Image

    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        return _stretch(picture)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")


def _stretch(picture: Image.Image) -> Image.Image:
    """16-bit and float greys to 8 bit by their own range."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    grey = (values / top * 255).clip(0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def threads_beside_gpu() -> int:
    """Threads that decode or scale pictures for a GPU, which one would let starve; a CPU is busy with the network."""
    return min(os.cpu_count() or 1, _MOST_THREADS)
