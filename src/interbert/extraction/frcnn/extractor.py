"""The paper's detector as a region extractor: pixels as it sees them, detection, and boxes that are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.errors import ConfigError
from interbert.extraction.frcnn.config import DETECTRON2, FrcnnConfig
from interbert.extraction.frcnn.loading import LoadedFrcnn, load_frcnn
from interbert.extraction.frcnn.model import Detection
from interbert.extraction.settings import FrcnnSettings
from interbert.extraction.weights import pick_device
from interbert.regions.schema import ExtractorInfo, Regions

if TYPE_CHECKING:
    from PIL import Image


_LEAST = 16


def scaled_size(width: int, height: int, config: FrcnnConfig) -> tuple[int, int]:
    """Width and height of the scaled image in pixels.

    The shorter side becomes ``short_side``, unless the longer one would then exceed ``long_side``, which it becomes.
    A side is at least one cell of the network's map, which only strips 60 times as long as wide need.
    """
    scale = config.short_side / min(width, height)
    if round(scale * max(width, height)) > config.long_side:
        scale = config.long_side / max(width, height)
    return max(_LEAST, int(width * scale + 0.5)), max(_LEAST, int(height * scale + 0.5))


def detector_pixels(image: Image.Image, config: FrcnnConfig, device: str = "cpu") -> Tensor:
    """An RGB image, f32 [3,height,width] in BGR, scaled as the weights were trained.

    ``caffe`` interpolates between the four nearest pixels, as OpenCV does; ``detectron2`` averages what a new pixel
    covers, as Pillow does. They differ for images that are made smaller.
    """
    from PIL import Image

    width, height = scaled_size(*image.size, config)
    mean = torch.tensor(config.pixel_mean, device=device).view(3, 1, 1)
    std = torch.tensor(config.pixel_std, device=device).view(3, 1, 1)
    if config.convention == "caffe":
        pixels = (_blue_first(image, device) - mean) / std
        scaled: Tensor = torch.nn.functional.interpolate(
            pixels[None], (height, width), mode="bilinear", align_corners=False, antialias=False
        )[0]
        return scaled
    return (_blue_first(image.resize((width, height), Image.Resampling.BILINEAR), device) - mean) / std


def _blue_first(image: Image.Image, device: str) -> Tensor:
    values = np.ascontiguousarray(np.asarray(image)[:, :, ::-1].transpose(2, 0, 1))
    return torch.from_numpy(values).to(device).float()


_BATCH = {"cpu": 1, "cuda": 8}  # the head alone keeps a CPU busy


@dataclass(frozen=True)
class FrcnnRegions:
    """The regions of an image, and their attributes."""

    regions: Regions
    attribute_probs: NDArray[np.float16] | None
    """[N,T] in the order of :func:`attribute_names`; None for weights without attributes."""


class FrcnnExtractor:
    """Finds and describes regions of images, or describes boxes that are given."""

    weights_file: Path | None = None
    """Its weights come from elsewhere and stay there."""

    def __init__(self, loaded: LoadedFrcnn, settings: FrcnnSettings, device: str | None = None) -> None:
        self.settings = settings
        self.device = pick_device(device)
        self.config = loaded.model.config
        self.model = loaded.model.to(self.device).fuse()
        if settings.precision == "bfloat16":
            self.model.lower_precision()
        own = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name != "weights"}
        self.info = ExtractorInfo(
            name="frcnn",
            settings=own
            | {"weights_from": loaded.weights_from, "weights_sha256": loaded.weights_sha256}
            | {"network": network_settings(self.config)},
            feature_size=self.config.feature_size,
            num_classes=self.config.num_classes,
        )

    def detect(self, images: Sequence[Image.Image]) -> list[Regions]:
        """Regions of RGB images, most confident first, features and class distributions float16."""
        return [one.regions for one in self.detect_attributes(images)]

    @torch.inference_mode()
    def detect_attributes(self, images: Sequence[Image.Image]) -> list[FrcnnRegions]:
        """Regions of RGB images with their attributes."""
        found: dict[int, FrcnnRegions] = {}
        for members, pixels in self._batches(images):
            size = (pixels.shape[3], pixels.shape[2])
            scales = [size[0] / images[index].width for index in members]
            detections = self.model.detect(pixels, self.settings, [size] * len(members), scales)
            found |= {i: self._result(images[i], size, one) for i, one in zip(members, detections, strict=True)}
        return [found[index] for index in range(len(images))]

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]]) -> list[Regions]:
        """Regions of RGB images at given boxes [n,4] in pixels of each image; their order stays."""
        found: dict[int, Regions] = {}
        for members, pixels in self._batches(images):
            size = (pixels.shape[3], pixels.shape[2])
            scaled = [
                torch.from_numpy(boxes[index]).to(self.device) * self._scale(images[index], size) for index in members
            ]
            for index, one in zip(members, self.model.encode(pixels, scaled), strict=True):
                regions = self._result(images[index], size, one).regions
                found[index] = Regions(
                    boxes[index], regions.features, regions.class_probs, regions.width, regions.height
                )
        return [found[index] for index in range(len(images))]

    def _batches(self, images: Sequence[Image.Image]) -> Iterator[tuple[list[int], Tensor]]:
        """Images that scale to one size, together: a margin would change what is seen near it."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.size, []).append(index)
        batch = _BATCH.get(self.device.partition(":")[0], 1)
        for members in by_size.values():
            for start in range(0, len(members), batch):
                part = members[start : start + batch]
                yield part, torch.stack([detector_pixels(images[i], self.config, self.device) for i in part])

    def _scale(self, image: Image.Image, size: tuple[int, int]) -> Tensor:
        x, y = size[0] / image.width, size[1] / image.height
        return torch.tensor([x, y, x, y], device=self.device)

    def _result(self, image: Image.Image, size: tuple[int, int], one: Detection) -> FrcnnRegions:
        width, height = image.size
        limits = np.array([width, height, width, height], dtype=np.float32)
        boxes = (one.boxes / self._scale(image, size)).cpu().numpy().clip(0, limits)
        regions = Regions(
            boxes=boxes.astype(np.float32),
            features=one.features.half().cpu().numpy(),
            class_probs=one.class_probs.half().cpu().numpy(),
            width=width,
            height=height,
        )
        attributes = None if one.attribute_probs is None else one.attribute_probs.half().cpu().numpy()
        return FrcnnRegions(regions, attributes)


def network_settings(config: FrcnnConfig) -> dict[str, Any]:
    """What differs from the default network, as plain values."""
    mine, default = asdict(config), asdict(DETECTRON2)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in mine.items()
        if value != default[name]
    }


def open_frcnn(settings: FrcnnSettings, device: str | None = None) -> FrcnnExtractor:
    """The detector that ``settings`` name.

    Raises:
        ConfigError: there are no weights there, or no such device.
        CheckpointError: they are of another network, or damaged.
    """
    return FrcnnExtractor(load_frcnn(settings.weights), settings, device)


def build_frcnn_extractor(
    info: ExtractorInfo, folder: str | Path | None = None, device: str | None = None
) -> FrcnnExtractor:
    """The inverse of ``FrcnnExtractor.info``.

    Raises:
        ConfigError: a setting is unknown, the weights are not found, or are others.
    """
    known = {field.name for field in fields(FrcnnSettings)}
    values = {name: value for name, value in info.settings.items() if name in known}
    if unknown := set(info.settings) - known - {"weights_from", "weights_sha256", "network"}:
        raise ConfigError(f"The detector has no setting {sorted(unknown)[0]!r}.")
    where = str(info.settings.get("weights_from", ""))
    extractor = open_frcnn(FrcnnSettings(**values | {"weights": where}), device)
    if extractor.info.fingerprint != info.fingerprint:
        raise ConfigError(
            f"{where}: is another detector ({info.differences(extractor.info)}). Put the right one there."
        )
    return extractor
