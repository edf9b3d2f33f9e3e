"""Text and QR codes in images, by optional libraries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL import Image

_LONGEST = 2
"""Longer side of a piece divided by the shorter: very tall images give nothing whole."""
_SIDE = 640
"""Pixels of a piece's longer side, at the most: text boxes need no more, and the time grows with the pixels."""


def text_share(image: Image.Image) -> float:
    """Share of an image's area that lies in boxes of text, as PaddleOCR's detector finds them.

    Args:
        image: any mode; CMYK, of which the library finds nothing, is converted like all others.

    Raises:
        MissingExtraError: rapidocr or onnxruntime is not installed.
    """
    detect = _text_detector()
    covered = 0.0
    for piece in _pieces(image.convert("RGB")):
        # what one call asks for stays for all later ones, so each says all of it
        found = detect(np.asarray(piece)[..., ::-1], use_det=True, use_cls=False, use_rec=False)
        if found.boxes is not None:
            covered += _area(found.boxes) / (piece.width * piece.height) * _share_of(piece, image)
    return min(1.0, covered)


def has_qr_code(image: Image.Image) -> bool:
    """Whether an image has a QR code that can be read.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError.of("opencv-python-headless", "curation") from error
    # found and not read is no code: woven and checked cloth is found too
    return bool(cv2.QRCodeDetector().detectAndDecode(np.asarray(image.convert("L")))[0])


@cache
def _text_detector() -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingExtraError.of("rapidocr", "curation") from error
    # by default each image is made larger, to 736 pixels of its shorter side
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Det.limit_type": "max",
            "Det.limit_side_len": _SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        }
    )


def _pieces(image: Image.Image) -> Iterator[Image.Image]:
    width, height = image.size
    step = _LONGEST * min(width, height)
    for left in range(0, width, step):
        for top in range(0, height, step):
            yield image.crop((left, top, min(left + step, width), min(top + step, height)))


def _share_of(piece: Image.Image, image: Image.Image) -> float:
    return piece.width * piece.height / (image.width * image.height)


def _area(boxes: Any) -> float:
    """Of quadrilaterals [n, 4, 2], by the shoelace formula; they hardly overlap."""
    corners = np.asarray(boxes, np.float64)
    x, y = corners[..., 0], corners[..., 1]
    return float(np.abs((x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(1)).sum() / 2)
