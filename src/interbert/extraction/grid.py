"""The grid extractor: windows at several scales, described by an ImageNet classifier.

It gives the same four things a detector gives: boxes, features (RoIAlign on the backbone's maps), a class
distribution (the backbone's own classifier on each region), and the image's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.errors import ConfigError
from interbert.extraction.backbones import build_backbone
from interbert.extraction.efficientnet import EFFICIENTNET_LITE0
from interbert.extraction.images import threads_beside_gpu
from interbert.extraction.openvino_maps import maps_for_many
from interbert.extraction.weights import pick_device
from interbert.extraction.windows import pool_regions, window_fractions
from interbert.regions.schema import ExtractorInfo, Regions
from interbert.utils.extractor_weights import WEIGHTS_FILE, digest_of, find_weights

if TYPE_CHECKING:
    from PIL import Image

_COLOUR_BINS = 3
_COLOUR_SAMPLES, _MAP_SAMPLES = 4, 8
_COLOUR_STRIDE = 8
_BATCH = 16  # fewer, and torch has no fast 1x1 convolution for one thread; more leave the cache
_GPU_BATCH = 256


@dataclass(frozen=True)
class GridSettings:
    """What makes one grid extractor different from another."""

    backbone: str = EFFICIENTNET_LITE0
    """efficientnet_lite0 (offline), a folder that ``interbert finetune backbone`` wrote, or timm:NAME,
    torchvision:NAME, transformers:NAME. The folder's weights become ``efficientnet_lite0@digest``."""
    input_size: int = 256
    """Long side in pixels of what the backbone sees, a multiple of 32. One that takes no size but its own sees the
    whole image in that, and this becomes its next multiple of 32."""
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
    """Windows of an image, each with its pooled features and class distribution.

    An image is scaled to the one of three canvases (portrait 3:4, square, landscape 4:3) that is nearest to its
    shape, so images batch densely and an image gets the same regions alone and in a batch. There is one canvas alone
    for a backbone that is bound to one size.
    """

    def __init__(
        self, settings: GridSettings | None = None, folder: str | Path | None = None, device: str | None = None
    ) -> None:
        """Build the backbone.

        Args:
            settings: what to extract.
            folder: where the trained weights lie (``extractor_weights.WEIGHTS_FILE``), when the settings name them by
                digest; not needed when they name the folder itself.
            device: to compute on; None takes CUDA where there is one.

        Raises:
            ConfigError: there is no such backbone or feature, its weights are not there, or there is no such device.
        """
        self.device = pick_device(device)
        self.settings, self.weights_file = _with_weights(settings or GridSettings(), folder)
        self.backbone = build_backbone(self.settings.backbone, self.weights_file)
        if self.device != "cpu":
            self.backbone.to(self.device)
        self._fixed: tuple[int, int] | None = None
        if self.backbone.input_size is not None:
            height, width = (max(64, math.ceil(side / 32) * 32) for side in self.backbone.input_size)
            self._fixed = width, height
            self.settings = replace(self.settings, input_size=max(self._fixed))
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
        self._scaling = None if self.device == "cpu" else ThreadPoolExecutor(threads_beside_gpu(), "scale")
        self._windows = torch.from_numpy(window_fractions(self.settings.scales, self.settings.overlap))
        self._maps: Callable[[Tensor], dict[str, Tensor]] = self.backbone.maps

    @torch.inference_mode()
    def expect(self, images: int) -> None:
        """Prepare for so many images, where that pays; features stay the same to float16's rounding."""
        if self.device == "cpu" and self._maps == self.backbone.maps:  # once for all: it takes a second
            self._maps = maps_for_many(self.backbone, images) or self._maps

    @torch.inference_mode()
    def detect(self, images: Sequence[Image.Image]) -> list[Regions]:
        """Regions of RGB images, N the same for all, features and class distributions float16."""
        found: dict[int, Regions] = {}
        for members, pixels in self._batches(images):
            features, probabilities = self._describe(pixels, self._windows[None])
            counts = [len(self._windows)] * len(members)
            for index, own, classes in zip(members, *_split(features, probabilities, counts), strict=True):
                boxes = self._windows.numpy() * _corners(images[index])
                found[index] = _regions(images[index], boxes, own, classes)
        return [found[index] for index in range(len(images))]

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]]) -> list[Regions]:
        """Regions of RGB images at given boxes [n,4] in pixels of each image, instead of windows; in their order.

        A box that is a window of the grid gets what the window gets.
        """
        found: dict[int, Regions] = {}
        for members, pixels in self._batches(images):
            fractions = [torch.from_numpy(boxes[index] / _corners(images[index])) for index in members]
            counts = [len(one) for one in fractions]
            padded = torch.nn.utils.rnn.pad_sequence(fractions, batch_first=True)
            features, probabilities = self._describe(pixels, padded, counts)
            for index, own, classes in zip(members, *_split(features, probabilities, counts), strict=True):
                found[index] = _regions(images[index], boxes[index], own, classes)
        return [found[index] for index in range(len(images))]

    def _batches(self, images: Sequence[Image.Image]) -> Iterator[tuple[list[int], Tensor]]:
        """Places of images that share a canvas, and their pixels [B,3,height,width]."""
        canvases: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            canvases.setdefault(self.canvas(*image.size), []).append(index)
        size = _BATCH if self.device == "cpu" else _GPU_BATCH
        for canvas, members in canvases.items():
            for start in range(0, len(members), size):
                batch = members[start : start + size]
                pixels = canvas_pixels([images[index] for index in batch], canvas, self._scaling)
                yield batch, pixels.to(self.device)

    def canvas(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in pixels of what the backbone sees of an image of this size."""
        if self._fixed is not None:
            return self._fixed
        long = self.settings.input_size
        short = max(64, round(long * 0.75 / 32) * 32)
        shapes = ((short, long), (long, long), (long, short))
        return min(shapes, key=lambda shape: abs(np.log(shape[0] / shape[1]) - np.log(width / height)))

    def _describe(
        self, pixels: Tensor, boxes: Tensor, counts: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Features [M,F] and class probabilities [M,K] of all regions of a batch, one image after the other.

        float16, on the CPU.

        Args:
            pixels: of a batch.
            boxes: [B,n,4], as fractions of each image; [1,n,4] when they are the same for all.
            counts: how many of each image's boxes are real; all when not given.
        """
        real = None if counts is None else torch.arange(boxes.shape[1]) < torch.tensor(counts)[:, None]
        pool = partial(pool_regions, boxes=boxes, real=real, bins=1, samples=_MAP_SAMPLES)
        maps = self._maps(pixels)
        parts = []
        for name in self.settings.features:
            if name == "colour":
                parts.append(pool(_colour_map(pixels), bins=_COLOUR_BINS, samples=_COLOUR_SAMPLES))
            else:
                parts.append(pool(maps[name]))
        head = parts[self.settings.features.index("head")] if "head" in self.settings.features else None
        if head is None:
            head = pool(maps["head"])
        logits = self.backbone.classify(head)
        features = torch.cat(parts, dim=1).half().cpu()  # once for all: a GPU is waited for here
        return features, None if logits is None else logits.softmax(dim=-1).half().cpu()


def _colour_map(pixels: Tensor) -> Tensor:
    """Mean colours of squares of 8 x 8 pixels: [B,3,height,width] in 0..255 -> [B,3,h,w] in 0..1."""
    batch, channels, height, width = pixels.shape
    by_rows = pixels.permute(0, 2, 3, 1)  # as they lie in memory
    rows = by_rows.reshape(batch, height // _COLOUR_STRIDE, _COLOUR_STRIDE, width * channels).sum(dim=2)
    squares = rows.view(batch, -1, width // _COLOUR_STRIDE, _COLOUR_STRIDE, channels).sum(dim=3)
    return squares.permute(0, 3, 1, 2) / (255.0 * _COLOUR_STRIDE**2)


def _split(
    features: Tensor, probabilities: Tensor | None, counts: list[int]
) -> tuple[Sequence[Tensor], Sequence[Tensor | None]]:
    """What was described of all images, for each."""
    classes: Sequence[Tensor | None] = [None] * len(counts)
    if probabilities is not None:
        classes = probabilities.split(counts)  # type: ignore[no-untyped-call]
    return features.split(counts), classes  # type: ignore[no-untyped-call]


def _regions(image: Image.Image, boxes: NDArray[np.float32], features: Tensor, probabilities: Tensor | None) -> Regions:
    width, height = image.size
    return Regions(
        boxes=boxes,
        features=features.numpy(),
        class_probs=None if probabilities is None else probabilities.numpy(),
        width=width,
        height=height,
    )


def _corners(image: Image.Image) -> NDArray[np.float32]:
    return np.array([*image.size, *image.size], dtype=np.float32)


def _with_weights(settings: GridSettings, folder: str | Path | None) -> tuple[GridSettings, Path | None]:
    """Settings that name trained weights by digest, and their file."""
    name, _, digest = settings.backbone.partition("@")
    if digest:
        return settings, find_weights(folder, digest)
    file = Path(name) / WEIGHTS_FILE
    if not file.is_file():
        return settings, None
    return replace(settings, backbone=f"{EFFICIENTNET_LITE0}@{digest_of(file)}"), file


def canvas_pixels(images: Sequence[Image.Image], canvas: tuple[int, int], pool: Executor | None = None) -> Tensor:
    """Images scaled to a canvas (width, height): f32 [B,3,height,width] in 0..255, channels last in memory.

    Bicubic over whole numbers as Pillow does it (one number of 300 differs, by 1), in a quarter of the time.

    Args:
        images: RGB.
        canvas: width and height in pixels.
        pool: scales several at once; for a GPU, as a CPU is busy with the network.
    """
    width, height = canvas

    def scale(image: Image.Image) -> Tensor:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        return torch.nn.functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)

    scaled = list(map(scale, images) if pool is None else pool.map(scale, images))
    return torch.cat(scaled).float().contiguous(memory_format=torch.channels_last)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def build_grid_extractor(
    info: ExtractorInfo, folder: str | Path | None = None, device: str | None = None
) -> GridExtractor:
    """The inverse of ``GridExtractor(settings).info``.

    Raises:
        ConfigError: there is no such setting, or no such value of one, or trained weights are not in ``folder``.
    """
    known = {field.name for field in fields(GridSettings)}
    if unknown := set(info.settings) - known:
        raise ConfigError(f"The grid extractor has no setting {sorted(unknown)[0]!r}.")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in info.settings.items()}
    return GridExtractor(GridSettings(**values), folder, device)
