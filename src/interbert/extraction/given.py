"""The boxes that a row of a source brings along, in any usual form, as pixels of its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import ConfigError, RegionError
from interbert.extraction.extractor import ExpectsImages, RegionExtractor
from interbert.extraction.settings import BoxFormat
from interbert.regions.schema import ExtractorInfo, Regions
from interbert.utils.bounded_files import json_value

if TYPE_CHECKING:
    from PIL import Image


MAX_BOXES = 1000
"""Rows with more are refused: nothing that a model could read."""

_FORMATS = ("xyxy", "xywh", "xyxy_relative", "xywh_relative")
_TEXT_LIMIT = 1_000_000


def read_boxes(value: Any, form: BoxFormat, size: tuple[int, int], where: str) -> NDArray[np.float32]:
    """Boxes [n,4] as x1, y1, x2, y2 in pixels, in their order, cut at the image's edges.

    Args:
        value: what the cell holds: a list of lists of at least 4 numbers, an array, or JSON text.
        form: what the numbers are.
        size: width and height of the image in pixels.
        where: the row, for messages.

    Raises:
        RegionError: there are none or too many, one is no box, or one has no area inside the image; it is named.
    """
    rows = _rows(value, where)
    if not rows:
        raise RegionError(f"{where}: has no boxes. Give each image at least one, or leave the row out.")
    if len(rows) > MAX_BOXES:
        raise RegionError(f"{where}: has {len(rows)} boxes; at most {MAX_BOXES} are read.")
    boxes = np.array([_numbers(row, place, where) for place, row in enumerate(rows)], dtype=np.float64)
    if form.startswith("xywh"):
        boxes[:, 2:] += boxes[:, :2]
    limits = np.array([*size, *size], dtype=np.float64)
    if form.endswith("_relative"):
        boxes *= limits
    cut = boxes.clip(0.0, limits).astype(np.float32)
    empty = ~(cut[:, 2:] > cut[:, :2]).all(axis=1)
    if empty.any():
        place = int(empty.argmax())
        raise RegionError(
            f"{where}: box {place} {_short(rows[place])} has no area inside the image of {size[0]}x{size[1]} pixels. "
            f"Are its numbers {form}?"
        )
    return cut


def require_format(form: str) -> None:
    """Raise ConfigError for a format that there is not."""
    if form not in _FORMATS:
        raise ConfigError(f"There is no box format {form!r}. Known: {', '.join(_FORMATS)}.")


def _rows(value: Any, where: str) -> Sequence[Any]:
    if isinstance(value, str | bytes):
        if len(value) > _TEXT_LIMIT:
            raise RegionError(f"{where}: its boxes are {len(value)} characters long; at most {_TEXT_LIMIT} are read.")
        try:
            value = json_value(value if isinstance(value, str) else value.decode()) if value.strip() else []
        except ValueError as error:
            raise RegionError(f"{where}: its boxes are no JSON list: {_short(value)}.") from error
    if value is None:
        return []
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise RegionError(f"{where}: its boxes are {_short(value)}, not a list of boxes.")
    if len(value) in (4, 5) and all(isinstance(one, int | float) for one in value):
        return [value]  # one box, not in a list
    return value


def _numbers(row: Any, place: int, where: str) -> list[float]:
    if isinstance(row, np.ndarray):
        row = row.tolist()
    try:
        numbers = [float(one) for one in row[:4]]
        if len(numbers) == 4 and not isinstance(row, str) and np.isfinite(numbers).all():
            return numbers
    except (TypeError, ValueError, OverflowError, KeyError):
        pass
    raise RegionError(f"{where}: box {place} is {_short(row)}, not 4 numbers.")


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


ENCODERS = ("grid", "frcnn")


class GivenExtractor:
    """Encodes the regions at given boxes by another extractor, alone or after the regions that this one detects."""

    def __init__(self, encoder: RegionExtractor, keep_found: bool = False) -> None:
        self.encoder = encoder
        self.keep_found = keep_found
        self.weights_file = encoder.weights_file
        self.device = encoder.device
        self.info = replace(
            encoder.info,
            name="given",
            settings={**encoder.info.settings, "described_by": encoder.info.name, "keep_found": keep_found},
        )

    def expect(self, images: int) -> None:
        """Let the other extractor prepare for so many images."""
        if isinstance(self.encoder, ExpectsImages):
            self.encoder.expect(images)

    def detect(self, images: Sequence[Image.Image]) -> list[Regions]:
        """Nothing can be extracted without boxes.

        Raises:
            ConfigError: always, unless there are no images.
        """
        if not images:
            return []
        raise ConfigError(
            "These regions are described at given boxes, which an image alone does not have. Extract them with "
            "--extractor given --given.column COLUMN, and give the store."
        )

    def encode(self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]]) -> list[Regions]:
        """Regions of RGB images at boxes [n,4] in pixels of each image."""
        given = self.encoder.encode(images, boxes)
        if not self.keep_found:
            return given
        return [join(own, one) for own, one in zip(self.encoder.detect(images), given, strict=True)]


def join(first: Regions, second: Regions) -> Regions:
    """The regions of one image from two sources, one after the other."""
    classes = None
    if first.class_probs is not None and second.class_probs is not None:
        classes = np.concatenate((first.class_probs, second.class_probs))
    return Regions(
        boxes=np.concatenate((first.boxes, second.boxes)),
        features=np.concatenate((first.features, second.features)),
        class_probs=classes,
        width=first.width,
        height=first.height,
    )


def describer(info: ExtractorInfo) -> ExtractorInfo:
    """Of regions at given boxes, the extractor that described them; any other extractor itself."""
    if info.name != "given":
        return info
    own = {key: value for key, value in info.settings.items() if key not in ("described_by", "keep_found")}
    return replace(info, name=str(info.settings.get("described_by")), settings=own)


def build_given_extractor(
    info: ExtractorInfo, folder: str | Path | None = None, device: str | None = None
) -> GivenExtractor:
    """The inverse of ``GivenExtractor.info``.

    Raises:
        ConfigError: the extractor that encodes is unknown, or cannot be built.
    """
    from interbert.extraction.frcnn.extractor import build_frcnn_extractor
    from interbert.extraction.grid import build_grid_extractor

    name = info.settings.get("described_by")
    if name not in ENCODERS:
        raise ConfigError(f"Given boxes are not described by {name!r}. Known: {', '.join(ENCODERS)}.")
    encoder = describer(info)
    build = build_grid_extractor if name == "grid" else build_frcnn_extractor
    return GivenExtractor(build(encoder, folder, device), bool(info.settings.get("keep_found")))
