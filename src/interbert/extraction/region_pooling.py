"""RoIAlign of many small regions, as one matrix product per map.

Shapes: B images, n boxes of each, M boxes of all, C channels of a map [B,C,h,w].
"""

from __future__ import annotations

import torch
from torch import Tensor


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
