"""An image as the detector sees it: blue, green, red, means subtracted, scaled by its shorter side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from interbert.extraction.frcnn.config import FrcnnConfig

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
