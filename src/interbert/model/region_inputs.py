"""Regions to model inputs: how they are made, scaled and padded.

Shapes: B batch, N regions, R = N + 1 image tokens (global token first), F region feature size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchFeature, FeatureExtractionMixin
from transformers.utils import cached_file

from interbert.errors import ConfigError, RegionError
from interbert.utils.extractor_weights import WEIGHTS_FILE, copy_weights

Float32 = NDArray[np.float32]

GLOBAL_LOCATION = (0.0, 0.0, 1.0, 1.0, 1.0)
"""Location vector of the global token (SPEC part 2)."""


class RegionsLike(Protocol):
    """What a region extractor gives for one image."""

    @property
    def boxes(self) -> NDArray[Any]:
        """[N,4] as x1, y1, x2, y2 in pixels."""

    @property
    def features(self) -> NDArray[Any]:
        """[N,F]."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""


RegionMaker = Callable[[Sequence[Any]], Sequence[RegionsLike]]
"""Images (PIL, path or bytes) to their regions."""

RegionMakerBuilder = Callable[[Mapping[str, Any], str | Path | None], RegionMaker]
"""A region extractor's description, and the folder where weights of its own lie, to what makes regions."""

_HUB_WORDS = ("cache_dir", "force_download", "local_files_only", "revision", "token")

_wired: list[RegionMakerBuilder] = []


def wire_regions(builder: RegionMakerBuilder) -> None:
    """Set how a region extractor is built from its description; ``interbert.auto_classes`` calls it."""
    _wired[:] = [builder]


def location_vectors(boxes: NDArray[Any], width: int, height: int) -> Float32:
    """[N,4] boxes in pixels to [N,5]: x1/w, y1/h, x2/w, y2/h, area/(w*h) (SPEC part 2)."""
    scaled = np.asarray(boxes, dtype=np.float32) / np.array([width, height, width, height], dtype=np.float32)
    area = (scaled[:, 2] - scaled[:, 0]) * (scaled[:, 3] - scaled[:, 1])
    return np.concatenate([scaled, area[:, None]], axis=1).astype(np.float32)


class InterBertRegionFeatureExtractor(FeatureExtractionMixin):  # type: ignore[misc]
    """How a model's regions are made and scaled.

    Args:
        extractor: name, settings and sizes of the region extractor (``ExtractorInfo`` as a dictionary).
        feature_mean: [F], subtracted from every region feature; None for none.
        feature_std: [F], divides them; None for ones.
        folder: where weights of the extractor that were trained here lie; saved models take them along.
    """

    model_input_names = ["region_features", "region_locations", "region_mask"]  # noqa: RUF012

    def __init__(
        self,
        extractor: Mapping[str, Any] | None = None,
        feature_mean: Sequence[float] | None = None,
        feature_std: Sequence[float] | None = None,
        folder: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.extractor = dict(extractor or {})
        self.feature_mean = None if feature_mean is None else [float(value) for value in feature_mean]
        self.feature_std = None if feature_std is None else [float(value) for value in feature_std]
        self._scale: tuple[Float32, Float32] | None = None
        self._maker: RegionMaker | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the saved fields."""
        return {name: value for name, value in super().to_dict().items() if name not in ("_scale", "_maker", "folder")}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Any:
        """Load as every feature extractor does, running no code; remember where the extractor's own weights are."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, **({"trust_remote_code": False} | kwargs))
        loaded.folder = _folder_of_weights(pretrained_model_name_or_path, kwargs)
        return loaded

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> Any:
        """Save as every feature extractor does, with the extractor's own weights where it has such."""
        self.carry_weights(save_directory)
        return super().save_pretrained(save_directory, **kwargs)

    def carry_weights(self, folder: str | Path) -> None:
        """Copy the extractor's own weights into a model directory, where it has such."""
        if self.folder is not None and (file := Path(self.folder) / WEIGHTS_FILE).is_file():
            copy_weights(file, folder)

    def regions(self, images: Sequence[Any]) -> Sequence[RegionsLike]:
        """Regions of images (PIL, path or bytes), by the extractor the model was trained with; built on first use.

        Raises:
            ConfigError: nothing here can make regions of this kind.
            ImageError: one of them is no image; it is named.
        """
        if self._maker is None:
            if not _wired:
                raise ConfigError("Images need a region extractor. Import interbert, or give regions instead.")
            self._maker = _wired[0](self.extractor, self.folder)
        return self._maker(images)

    def standardise(self, features: NDArray[Any], where: str = "regions", out: Float32 | None = None) -> Float32:
        """Scale features [N,F] to about zero mean and unit variance per dimension over the training images.

        Args:
            features: of the regions.
            where: they are from, for messages.
            out: [N,F], is filled and returned; None for a new array.

        Raises:
            RegionError: the size is not the model's, or a value is not finite.
        """
        wanted = self.extractor.get("feature_size")
        if wanted is not None and features.shape[1] != wanted:
            raise RegionError(
                f"{where}: regions have {features.shape[1]} features, the model wants {wanted}. "
                "Extract them with the model's own extractor."
            )
        found = np.empty(features.shape, dtype=np.float32) if out is None else out
        # torch widens 16 bits thirty times as fast as NumPy; it wants memory that may be written
        torch.from_numpy(found).copy_(torch.from_numpy(np.require(features, requirements=["C", "W"])))
        with np.errstate(over="ignore", invalid="ignore"):
            sums = found.sum(axis=0)
        if not np.isfinite(sums).all() and not np.isfinite(found).all():  # finite ones may add up to what is not
            raise RegionError(f"{where}: a region feature is NaN or infinite. Extract this image again.")
        if self.feature_mean is None or self.feature_std is None:
            return found
        if self._scale is None:
            self._scale = (
                np.array(self.feature_mean, dtype=np.float32),
                1.0 / np.array(self.feature_std, dtype=np.float32),
            )
        mean, inverse = self._scale
        found -= mean
        found *= inverse
        return found

    def image(self, regions: RegionsLike, where: str = "regions") -> tuple[Float32, Float32]:
        """One image's inputs: the global token, whose feature is the regions' mean, before the regions.

        Returns:
            region_features [N+1,F], region_locations [N+1,5].
        """
        count, size = np.shape(regions.features)
        features = np.empty((count + 1, size), dtype=np.float32)
        self.standardise(np.asarray(regions.features), where, features[1:])
        features[1:].mean(axis=0, out=features[0])
        locations = location_vectors(regions.boxes, regions.width, regions.height)
        return features, np.concatenate([np.array([GLOBAL_LOCATION], dtype=np.float32), locations])

    def __call__(self, regions: Sequence[RegionsLike]) -> BatchFeature:
        """Padded inputs of a batch: region_features [B,R,F], region_locations [B,R,5], region_mask [B,R]."""
        return BatchFeature(pad_images([self.image(one) for one in regions]))


def _folder_of_weights(source: str | Path, kwargs: Mapping[str, Any]) -> Path | None:
    """Where the region extractor's own weights of a directory or Hub id are; None when it has none."""
    file: Any = Path(source) / WEIGHTS_FILE
    if not Path(source).is_dir():
        words = {name: kwargs[name] for name in _HUB_WORDS if name in kwargs}
        file = cached_file(str(source), WEIGHTS_FILE, _raise_exceptions_for_missing_entries=False, **words)
    return None if file is None or not Path(file).is_file() else Path(file).parent


def pad_images(images: Sequence[tuple[Float32, Float32]]) -> dict[str, Tensor]:
    """Pad images to [B,R,F], [B,R,5] and a mask int64 [B,R]."""
    tokens = max(len(features) for features, _ in images)
    size = images[0][0].shape[1]
    features = np.zeros((len(images), tokens, size), dtype=np.float32)
    locations = np.zeros((len(images), tokens, 5), dtype=np.float32)
    mask = np.zeros((len(images), tokens), dtype=np.int64)
    for row, (feature, location) in enumerate(images):
        features[row, : len(feature)] = feature
        locations[row, : len(location)] = location
        mask[row, : len(feature)] = 1
    arrays = {"region_features": features, "region_locations": locations, "region_mask": mask}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
