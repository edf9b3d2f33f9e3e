"""An image as the model reads it, and where its regions are.

Shapes: N regions, R = N + 1 image tokens (global token first), H hidden size, F region feature size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.errors import RegionError
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import RegionsLike
from interbert.model.scoring import embed_images, inference
from interbert.utils.stored_names import RegionArrays

if TYPE_CHECKING:
    from PIL import Image

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class ImageTokens:
    """An image's embedded tokens, such as an index keeps them."""

    embedded: Float32
    """[R,H]."""
    boxes: Float32
    """[N,4] as x1, y1, x2, y2, shares of the image's width and height."""


ImageLike: TypeAlias = "Image.Image | str | Path | bytes | RegionsLike | RegionArrays | ImageTokens"
"""A PIL image, a file or its bytes; regions; region features [R,F] and locations [R,5]; or embedded tokens."""


def image_tokens(model: InterBertForImageTextRetrieval, processor: InterBertProcessor, image: ImageLike) -> ImageTokens:
    """What the model reads of an image.

    Raises:
        ImageError: it is missing or unreadable.
        RegionError: regions are not this model's, or there are none.
        ConfigError: the model's regions cannot be made here.
    """
    if isinstance(image, ImageTokens):
        return image
    arrays = image if isinstance(image, tuple) else _arrays(processor, image)
    features, locations = arrays
    if len(features) < 2 or len(features) != len(locations):
        raise RegionError(
            f"the image has {len(features)} region features and {len(locations)} locations: need as many."
        )
    with inference(model, bf16=False):
        embedded = embed_images(model, [(np.asarray(features, np.float32), np.asarray(locations, np.float32))])
    return ImageTokens(embedded[0].float().cpu().numpy(), np.asarray(locations[1:, :4], np.float32))


def _arrays(processor: InterBertProcessor, image: object) -> RegionArrays:
    regions = image
    if not hasattr(image, "boxes"):
        made: Sequence[RegionsLike] = processor.feature_extractor.regions([image])
        regions = made[0]
    return processor.image_inputs(cast(RegionsLike, regions), where="the image")


def on_model(model: InterBertForImageTextRetrieval, image: ImageTokens) -> torch.Tensor:
    """Embedded tokens [1,R,H] on the model's device."""
    return torch.from_numpy(np.ascontiguousarray(image.embedded, np.float32))[None].to(model.device)
