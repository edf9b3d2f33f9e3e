"""Anchors: boxes of every size and shape at every cell of the map.

Shapes: A anchors of a cell, N = h*w*A anchors of an image, row by row, cell by cell.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interbert.extraction.frcnn.config import FrcnnConfig
from interbert.extraction.frcnn.resnet import STRIDE


def cell_anchors(config: FrcnnConfig) -> Tensor:
    """Anchors of the cell at the origin, f32 [A,4], in the order of the proposal network's channels."""
    if config.convention == "caffe":
        return _caffe_anchors(config.anchor_sizes, config.anchor_ratios)
    anchors = []
    for side in config.anchor_sizes:
        for ratio in config.anchor_ratios:
            width = (side * side / ratio) ** 0.5
            height = width * ratio
            anchors.append((-width / 2, -height / 2, width / 2, height / 2))
    return torch.tensor(anchors) + config.anchor_offset * STRIDE


def _caffe_anchors(sizes: tuple[float, ...], ratios: tuple[float, ...]) -> Tensor:
    """A box of 16 pixels is given each ratio, in whole pixels, and then each size; shapes vary slowest."""
    anchors = []
    centre = (STRIDE - 1) / 2
    for ratio in ratios:
        width = round((STRIDE * STRIDE / ratio) ** 0.5)
        height = round(width * ratio)
        for side in sizes:
            half_width, half_height = (width * side / STRIDE - 1) / 2, (height * side / STRIDE - 1) / 2
            anchors.append((centre - half_width, centre - half_height, centre + half_width, centre + half_height))
    return torch.tensor(anchors)


def grid_anchors(cell: Tensor, height: int, width: int) -> Tensor:
    """Anchors of a map of height x width cells, f32 [N,4], in pixels of the scaled image."""
    ys = torch.arange(height, device=cell.device, dtype=torch.float32) * STRIDE
    xs = torch.arange(width, device=cell.device, dtype=torch.float32) * STRIDE
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)
    return (shifts + cell).reshape(-1, 4)
