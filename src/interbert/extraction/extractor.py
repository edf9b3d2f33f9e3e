"""What every region extractor is, and the one that a store or a model names.

A new extractor is a module with a class that has ``info``, ``detect`` and ``encode``, a function that builds it from
its info, and a line in ``_BUILDERS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from interbert.errors import ConfigError
from interbert.regions.schema import ExtractorInfo, Regions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_BUILDERS = {
    "grid": "grid:build_grid_extractor",
    "frcnn": "frcnn.extractor:build_frcnn_extractor",
    "detector": "detectors:build_detector_extractor",
    "given": "given:build_given_extractor",
}
"""Name of an extractor -> module in this folder and function of its :class:`ExtractorInfo`."""


class RegionExtractor(Protocol):
    """Anything that detects regions and encodes them."""

    info: ExtractorInfo
    weights_file: Path | None
    """Weights that were trained here; stores and model directories take the file along."""
    device: str
    """Where it computes, as torch names it."""

    def detect(self, images: Sequence[Image.Image]) -> list[Regions]:
        """Regions of each RGB image, at boxes that the extractor chooses."""

    def encode(self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]]) -> list[Regions]:
        """Regions of each RGB image at given boxes [n,4] in pixels; in their order, none moved or dropped.

        Raises:
            ConfigError: this extractor has regions at its own boxes alone.
        """


@runtime_checkable
class ExpectsImages(Protocol):
    """An extractor that many images are worth a preparation to."""

    def expect(self, images: int) -> None:
        """Prepare for so many images."""


def build_extractor(
    info: Mapping[str, Any] | ExtractorInfo, folder: str | Path | None = None, device: str | None = None
) -> RegionExtractor:
    """The extractor that made a store or belongs to a model: the inverse of ``extractor.info``.

    Args:
        info: what the store or the model says.
        folder: of the store or model directory, where weights that were trained here lie.
        device: to compute on; None takes CUDA where there is one.

    Raises:
        ConfigError: regions of this name cannot be made here (they were imported), a setting is unknown, or weights
            are missing.
    """
    known = info if isinstance(info, ExtractorInfo) else ExtractorInfo.from_dict(info)
    if known.name not in _BUILDERS:
        raise ConfigError(
            f"Regions by {known.name!r} cannot be extracted here. Give a store of such regions instead of images."
        )
    module, _, function = _BUILDERS[known.name].partition(":")
    build = getattr(import_module(f"interbert.extraction.{module}"), function)
    extractor: RegionExtractor = build(known, folder, device)
    return extractor
