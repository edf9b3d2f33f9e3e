"""Where to look when no detector says so: overlapping windows at several scales, and RoIAlign of many small regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.errors import ConfigError

MAX_WINDOWS = 36
"""Regions of a pretraining image (SPEC part 2)."""


def window_fractions(scales: Sequence[int], overlap: float = 0.5) -> NDArray[np.float32]:
    """Windows as fractions of an image, f32 [N,4] (x1, y1, x2, y2), coarse to fine, row by row.

    Scale k lays a k x k grid of windows whose sides are (1 + overlap)/k of the image's (at most all of it), evenly
    spread so that the outer ones touch the edges.

    Raises:
        ConfigError: a scale is below 1, the overlap is outside [0, 1), or there are more than 36 windows.
    """
    if not scales or any(scale < 1 for scale in scales):
        raise ConfigError(f"scales must be whole numbers of at least 1, not {list(scales)}.")
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap must be at least 0 and below 1, not {overlap}.")
    count = sum(scale * scale for scale in scales)
    if count > MAX_WINDOWS:
        raise ConfigError(f"scales {list(scales)} give {count} windows; at most {MAX_WINDOWS} are allowed.")
    windows = []
    for scale in scales:
        side = min(1.0, (1.0 + overlap) / scale) if scale > 1 else 1.0
        starts = np.linspace(0.0, 1.0 - side, scale) if scale > 1 else np.zeros(1)
        windows += [(x, y, x + side, y + side) for y in starts for x in starts]
    return np.array(windows, dtype=np.float32)


def pool_regions(feature_map: Tensor, boxes: Tensor, real: Tensor | None, bins: int, samples: int) -> Tensor:
    """RoIAlign of boxes [B,n,4], those that are ``real`` [B,n]: [B,C,h,w] -> [M,C*bins*bins].

    RoIAlign is linear in the map: on a CPU a product with the matrix of its weights is an order of magnitude faster
    than the operator.

    Args:
        feature_map: of a batch.
        boxes: as fractions of each image; [1,n,4] when they are the same for all.
        real: None when all are.
        bins: of each side.
        samples: of each bin's side, averaged.
    """
    batch, channels, height, width = feature_map.shape
    weights = roi_align_weights(boxes, height, width, bins, samples)
    flat = feature_map.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    pooled = (weights.flatten(1, 2).to(flat.device) @ flat).view(batch, boxes.shape[1], bins * bins, channels)
    chosen = pooled.flatten(0, 1) if real is None else pooled[real.to(flat.device)]
    return chosen.transpose(1, 2).flatten(1)


def roi_align_weights(boxes: Tensor, height: int, width: int, bins: int, samples: int) -> Tensor:
    """RoIAlign (aligned) as matrices over the cells of a map, f32 [B,n,bins*bins,height*width].

    Its samples lie on a grid, and what a sample takes from a cell is a product over both sides: so is their mean.

    Args:
        boxes: [B,n,4] as x1, y1, x2, y2, fractions of an image.
        height: of the map.
        width: of the map.
        bins: of each side of a box.
        samples: of each side of a bin.
    """
    across = _side_weights(boxes[..., 0] * width, boxes[..., 2] * width, width, bins, samples)
    down = _side_weights(boxes[..., 1] * height, boxes[..., 3] * height, height, bins, samples)
    return torch.einsum("bniy,bnjx->bnijyx", down, across).flatten(4).flatten(2, 3)


def _side_weights(low: Tensor, high: Tensor, cells: int, bins: int, samples: int) -> Tensor:
    """What the samples of each bin take from each cell of one side: [B,n] in cells -> [B,n,bins,cells]."""
    places = (torch.arange(bins * samples) + 0.5) / (bins * samples)
    at = low[..., None] - 0.5 + (high - low)[..., None] * places
    near = 1 - (at.clamp(0, cells - 1)[..., None] - torch.arange(cells)).abs()
    inside = (at >= -1) & (at <= cells)
    taken = near.clamp(min=0) * inside[..., None]
    return taken.view(*low.shape, bins, samples, cells).mean(dim=-2)
