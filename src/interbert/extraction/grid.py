"""The grid extractor: windows at several scales, described by an ImageNet classifier.

It gives the same four things a detector gives: boxes, features (RoIAlign on the backbone's maps), a class
distribution (the backbone's own classifier on each region), and the picture's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interbert.carried import CARRIED, digest_of, find_carried
from interbert.errors import ConfigError
from interbert.extraction.backbones import build_backbone
from interbert.extraction.efficientnet import EFFICIENTNET_LITE0
from interbert.extraction.proposals import grid_windows, window_fractions
from interbert.regions.schema import ExtractorInfo, Regions

if TYPE_CHECKING:
    from PIL import Image

_COLOUR_BINS = 3
_COLOUR_STRIDE = 8
_BATCH = 8  # larger batches leave the cache and run at half the speed on a CPU


@dataclass(frozen=True)
class GridSettings:
    """What makes one grid extractor different from another."""

    backbone: str = EFFICIENTNET_LITE0
    """efficientnet_lite0 (offline), a folder that ``interbert finetune backbone`` wrote, or timm:NAME,
    torchvision:NAME, transformers:NAME. The folder's weights become ``efficientnet_lite0@digest``."""
    input_size: int = 256
    """Long side in pixels of what the backbone sees, a multiple of 32."""
    scales: tuple[int, ...] = (1, 2, 3)
    """Grids of windows: k means k x k; at most 36 windows in all."""
    overlap: float = 0.5
    """How much larger than a grid cell a window is."""
    features: tuple[str, ...] = ("colour", "stride8", "stride16", "head")
    """Parts of a region's feature: colour (3x3 RGB), and maps of the backbone."""

    def __post_init__(self) -> None:
        window_fractions(self.scales, self.overlap)
        if not 64 <= self.input_size <= 2048 or self.input_size % 32:
            raise ConfigError(f"input_size must be a multiple of 32 from 64 to 2048, not {self.input_size}.")
        if not self.features:
            raise ConfigError("features must name at least one part, such as 'head'.")
        for name in ("scales", "features"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ConfigError(f"{name} name one thing twice: {list(getattr(self, name))}.")


class GridExtractor:
    """Windows of a picture, each with its pooled features and class distribution.

    A picture is scaled to the one of three canvases (portrait 3:4, square, landscape 4:3) that is nearest to its
    shape, so pictures batch densely and a picture gets the same regions alone and in a batch.
    """

    def __init__(self, settings: GridSettings | None = None, folder: str | Path | None = None) -> None:
        """Build the backbone.

        Args:
            settings: what to extract.
            folder: where the backbone's trained weights lie (``carried.CARRIED``), when the settings name them by
                digest; not needed when they name the folder itself.

        Raises:
            ConfigError: there is no such backbone or feature, or its weights are not there.
        """
        self.settings, self.carried = _with_weights(settings or GridSettings(), folder)
        self.backbone = build_backbone(self.settings.backbone, self.carried)
        known = {"colour": 3 * _COLOUR_BINS**2, **self.backbone.taps}
        for name in self.settings.features:
            if name not in known:
                raise ConfigError(f"{self.backbone.name} has no feature {name!r}. Known: {', '.join(known)}.")
        self.info = ExtractorInfo(
            name="grid",
            settings={name: _plain(value) for name, value in asdict(self.settings).items()},
            feature_size=sum(known[name] for name in self.settings.features),
            num_classes=self.backbone.num_classes,
        )
        self._windows = torch.from_numpy(window_fractions(self.settings.scales, self.settings.overlap))

    @torch.inference_mode()
    def extract(self, pictures: Sequence[Image.Image]) -> list[Regions]:
        """Regions of RGB pictures, N the same for all, features and class distributions float16."""
        canvases: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(pictures):
            canvases.setdefault(self.canvas(*picture.size), []).append(index)
        found: list[Regions | None] = [None] * len(pictures)
        for canvas, members in canvases.items():
            for start in range(0, len(members), _BATCH):
                batch = members[start : start + _BATCH]
                described = self._describe(torch.stack([canvas_pixels(pictures[index], canvas) for index in batch]))
                for index, (features, probabilities) in zip(batch, described, strict=True):
                    found[index] = self._regions(pictures[index], features, probabilities)
        return [regions for regions in found if regions is not None]

    def canvas(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in pixels of what the backbone sees of a picture of this size."""
        long = self.settings.input_size
        short = max(64, round(long * 0.75 / 32) * 32)
        shapes = ((short, long), (long, long), (long, short))
        return min(shapes, key=lambda shape: abs(np.log(shape[0] / shape[1]) - np.log(width / height)))

    def _describe(self, pixels: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        maps = self.backbone.maps(pixels)
        parts = []
        for name in self.settings.features:
            if name == "colour":
                small = torch.nn.functional.avg_pool2d(pixels, _COLOUR_STRIDE) / 255.0
                parts.append(self._pool(small, _COLOUR_BINS).flatten(2))
            else:
                parts.append(self._pool(maps[name], 2).mean(dim=3))
        head = parts[self.settings.features.index("head")] if "head" in self.settings.features else None
        if head is None:
            head = self._pool(maps["head"], 2).mean(dim=3)
        logits = self.backbone.classify(head.flatten(0, 1))
        features = torch.cat(parts, dim=2)
        if logits is None:
            return [(one, None) for one in features]
        return list(zip(features, logits.softmax(dim=-1).view(*head.shape[:2], -1), strict=True))

    def _pool(self, feature_map: Tensor, bins: int) -> Tensor:
        """RoIAlign of every window: [B,C,h,w] -> [B,N,C,bins*bins]."""
        height, width = feature_map.shape[2:]
        weights = _roi_align_weights(self._windows, height, width, bins)
        flat = feature_map.permute(0, 2, 3, 1).reshape(len(feature_map), height * width, -1)
        pooled = (weights @ flat).view(len(flat), len(self._windows), bins * bins, -1)
        return pooled.transpose(2, 3)

    def _regions(self, picture: Image.Image, features: Tensor, probabilities: Tensor | None) -> Regions:
        width, height = picture.size
        return Regions(
            boxes=grid_windows(width, height, self.settings.scales, self.settings.overlap),
            features=features.half().numpy(),
            class_probs=None if probabilities is None else probabilities.half().numpy(),
            width=width,
            height=height,
        )


def _with_weights(settings: GridSettings, folder: str | Path | None) -> tuple[GridSettings, Path | None]:
    """Settings that name trained weights by digest, and their file."""
    name, _, digest = settings.backbone.partition("@")
    if digest:
        return settings, find_carried(folder, digest)
    file = Path(name) / CARRIED
    if not file.is_file():
        return settings, None
    return replace(settings, backbone=f"{EFFICIENTNET_LITE0}@{digest_of(file)}"), file


@lru_cache(maxsize=32)
def _cached_weights(windows: tuple[tuple[float, ...], ...], height: int, width: int, bins: int) -> Tensor:
    from torchvision.ops import roi_align

    cells = height * width
    boxes = torch.tensor(windows) * torch.tensor([width, height, width, height])
    one_hot = torch.eye(cells).view(1, cells, height, width)
    aligned = roi_align(one_hot, [boxes], bins, spatial_scale=1.0, sampling_ratio=4, aligned=True)
    weights: Tensor = aligned.permute(0, 2, 3, 1).reshape(-1, cells)
    return weights


def _roi_align_weights(windows: Tensor, height: int, width: int, bins: int) -> Tensor:
    """RoIAlign as a matrix [N*bins*bins, height*width].

    RoIAlign is linear in the map, and the windows are the same for every picture of a canvas: its answers on one-hot
    maps are its weights, and a matrix product is an order of magnitude faster than the operator on a CPU.
    """
    return _cached_weights(tuple(map(tuple, windows.tolist())), height, width, bins)


def canvas_pixels(picture: Image.Image, canvas: tuple[int, int]) -> Tensor:
    """A picture scaled to a canvas (width, height): f32 [3,height,width] in 0..255."""
    from PIL import Image

    resized = picture.resize(canvas, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def build_grid_extractor(info: ExtractorInfo, folder: str | Path | None = None) -> GridExtractor:
    """The inverse of ``GridExtractor(settings).info``.

    Raises:
        ConfigError: there is no such setting, or no such value of one, or trained weights are not in ``folder``.
    """
    known = {field.name for field in fields(GridSettings)}
    if unknown := set(info.settings) - known:
        raise ConfigError(f"The grid extractor has no setting {sorted(unknown)[0]!r}.")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in info.settings.items()}
    return GridExtractor(GridSettings(**values), folder)
