"""What images of a data set have to be; None or an empty list turns a rule off."""

from __future__ import annotations

from dataclasses import dataclass

from interbert.errors import ConfigError, listed, require_range

RULES = (
    "image_unreadable",
    "image_too_large",
    "image_truncated",
    "image_format",
    "image_animated",
    "image_too_small",
    "image_aspect",
    "image_blank",
    "image_white_border",
    "image_text",
    "image_qr_code",
    "image_placeholder",
)
"""Names of all rules of images, in the order in which they are asked."""

_ALWAYS = frozenset({"image_unreadable", "image_too_large", "image_truncated"})


@dataclass(frozen=True)
class ImageOptions:
    """Limits of the rules of images."""

    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")
    """Formats that are kept, by the bytes of the file, whatever its name says."""
    animated: bool = True
    """Drop images of several frames (GIF, PNG, WebP, AVIF); without this, the first frame counts."""
    least_side: int | None = 32
    """Pixels of the shorter side, at the least."""
    most_aspect: float | None = 4.0
    """Longer side divided by the shorter, at the most."""
    blank: float | None = 0.998
    """Share of pixels that are of one grey level, give or take four, from which an image is blank."""
    white_border: float | None = 0.8
    """Share of an image outside the smallest rectangle that holds all that is not white, from which it is told."""
    text: float | None = None
    """Share of an image in boxes of text, from which it is told; needs rapidocr, and about a second for each image."""
    qr_codes: bool = False
    """Look for QR codes; needs OpenCV."""
    placeholder_titles: int | None = 5
    """Different titles from which the image that they share is looked at as a placeholder."""
    placeholder_likeness: float = 0.2
    """Mean share of pairs of letters that two of an image's titles have in common, below which it is a placeholder."""
    only_flagged: tuple[str, ...] = ("image_white_border",)
    """Rules that flag images and drop none."""

    def __post_init__(self) -> None:
        require_range("least_side", self.least_side, 1)
        require_range("most_aspect", self.most_aspect, 1.0)
        for name in ("blank", "white_border", "text"):
            require_range(name, getattr(self, name), 0.0, 1.000001)
        require_range("placeholder_titles", self.placeholder_titles, 2)
        require_range("placeholder_likeness", self.placeholder_likeness, 0.0, 1.000001)
        unknown = set(self.only_flagged) - (set(RULES) - _ALWAYS)
        if unknown:
            raise ConfigError(
                f"only_flagged: {listed(sorted(unknown))} cannot be; rules that can are "
                f"{listed(name for name in RULES if name not in _ALWAYS)}."
            )
