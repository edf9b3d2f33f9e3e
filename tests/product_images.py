"""Images of products on white, drawn."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def product(seed: int = 0, size: tuple[int, int] = (120, 160), share: float = 0.6) -> Image.Image:
    """A thing with a pattern of its own, on white."""
    cells = np.random.default_rng(seed).integers(0, 200, (6, 5, 3), dtype=np.uint8)
    image = Image.new("RGB", size, "white")
    width, height = (round(side * share) for side in size)
    thing = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
    image.paste(thing, ((size[0] - width) // 2, (size[1] - height) // 2))
    return image


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
