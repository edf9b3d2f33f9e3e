"""What every region extractor is, and the one that a store or a model names.

A new extractor is a module with a class that has ``info`` and ``extract``, a function that builds it from its info,
and a line in ``_BUILDERS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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
    """Anything that finds and describes regions."""

    info: ExtractorInfo
    carried: Path | None
    """File of weights that were trained here; stores and model directories take it along."""
    device: str
    """Where it computes, as torch names it."""

    def extract(self, images: Sequence[Image.Image]) -> list[Regions]:
        """Regions of each RGB image."""


class BoxDescriber(RegionExtractor, Protocol):
    """An extractor that also describes boxes which others found."""

    def describe(self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]]) -> list[Regions]:
        """Regions of each RGB image at its boxes [n,4] in pixels; in their order, none moved or dropped."""


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
    described = info if isinstance(info, ExtractorInfo) else ExtractorInfo.from_dict(info)
    if described.name not in _BUILDERS:
        raise ConfigError(
            f"Regions by {described.name!r} cannot be extracted here. Give a store of such regions instead of images."
        )
    module, _, function = _BUILDERS[described.name].partition(":")
    build = getattr(import_module(f"interbert.extraction.{module}"), function)
    extractor: RegionExtractor = build(described, folder, device)
    return extractor
