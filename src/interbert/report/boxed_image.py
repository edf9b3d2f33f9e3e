"""An image with boxes drawn on it, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from interbert.report.svg import key
from interbert.search.page import escape

_MANY = 12
"""More boxes than this are drawn thin."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the image."""


def boxed_image(boxes: Sequence[tuple[str, Box]], width: int, height: int, description: str, image: str | None) -> str:
    """The element.

    Args:
        boxes: short name and place of each.
        width: of the image, pixels.
        height: of the image, pixels.
        description: for those who cannot see it.
        image: CSS class of the image; None draws an empty frame.
    """
    drawn = []
    thin = " thin" if len(boxes) > _MANY else ""
    for place, (name, (x1, y1, x2, y2)) in enumerate(boxes):
        left, top = 100 * x1 / width, 100 * y1 / height
        drawn.append(
            f'<i class="box {key(place)}{thin}" style="left:{left:.1f}%;top:{top:.1f}%;'
            f'width:{100 * (x2 - x1) / width:.1f}%;height:{100 * (y2 - y1) / height:.1f}%">'
            f'<b style="margin:{18 * (place // 4 % 4)}px 0 0 {18 * (place % 4)}px">{escape(name)}</b></i>'
        )
    shown = f"frame {image}" if image else "frame blank"
    size = "" if image else f"<span>{width} × {height}</span>"
    return (
        f'<div class="{shown}" role="img" aria-label="{escape(description)}" '
        f'style="aspect-ratio:{width}/{height}">{size}{"".join(drawn)}</div>'
    )
