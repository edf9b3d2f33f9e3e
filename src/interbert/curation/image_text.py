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
_SURE = 0.8
"""Score of a text from which it counts as read."""
_SIDE = 640
"""Pixels of a piece's longer side, at the most: text boxes need no more, and the time grows with the pixels."""


def text_share(image: Image.Image) -> float:
    """Share of an image's area that lies in boxes of text, as PaddleOCR finds and reads them.

    Boxes that are found and not read count for nothing: half of what is found on small photos of clothes is a pattern.

    Args:
        image: any mode; CMYK, of which the library finds nothing, is converted like all others.

    Raises:
        MissingExtraError: rapidocr or onnxruntime is not installed.
    """
    read = _text_reader()
    covered = 0.0
    for piece in _pieces(image.convert("RGB")):
        # what one call asks for stays for all later ones, so each says all of it
        found = read(np.asarray(piece)[..., ::-1], use_det=True, use_cls=False, use_rec=True, text_score=_SURE)
        if found.boxes is not None:
            covered += _area(found.boxes[[len(text) > 1 for text in found.txts]])
    return min(1.0, covered / (image.width * image.height))


def has_qr_code(image: Image.Image) -> bool:
    """Whether an image has a QR code that can be read.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError.of("opencv-python-headless", "curation") from error
    try:
        text = cv2.QRCodeDetector().detectAndDecode(np.asarray(image.convert("L")))[0]
    except cv2.error:  # it raises where it takes a line for a code and tries to read it
        return False
    return bool(text)  # found and not read is no code: woven and checked cloth is found too


@cache
def _text_reader() -> Any:
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


def _area(boxes: Any) -> float:
    """Of quadrilaterals [n, 4, 2], by the shoelace formula; they hardly overlap."""
    corners = np.asarray(boxes, np.float64)
    x, y = corners[..., 0], corners[..., 1]
    return float(np.abs((x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(1)).sum() / 2)
