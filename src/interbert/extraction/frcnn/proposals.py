"""Anchors, boxes from deltas, the region proposal network, and the choice of proposals.

``pixel`` is what a width is more than the difference of its coordinates (:class:`FrcnnConfig`): 1 or 0.
Boxes are x1, y1, x2, y2. Shapes: N boxes, K deltas for each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from interbert.errors import MissingExtraError
from interbert.extraction.frcnn.config import FrcnnConfig
from interbert.extraction.frcnn.resnet import STRIDE

try:
    from torchvision.ops import nms, roi_pool
except ImportError as missing:
    raise MissingExtraError.of("torchvision", "extraction") from missing

__all__ = ["nms", "roi_pool"]

_MAX_GROWTH = math.log(1000.0 / 16)
"""A box never grows by more than from 16 to 1000 pixels."""


def decode_boxes(boxes: Tensor, deltas: Tensor, weights: tuple[float, float, float, float], pixel: float) -> Tensor:
    """Boxes moved and scaled by what the network says, [N,K,4].

    The centre moves by dx widths and dy heights; width and height are multiplied by exp(dw) and exp(dh)
    (R-CNN, appendix C).
    """
    widths = (boxes[:, 2] - boxes[:, 0] + pixel)[:, None]
    heights = (boxes[:, 3] - boxes[:, 1] + pixel)[:, None]
    centre_x = boxes[:, 0, None] + widths / 2
    centre_y = boxes[:, 1, None] + heights / 2
    dx, dy, dw, dh = (deltas / deltas.new_tensor(weights)).unbind(dim=-1)
    centre_x = centre_x + dx * widths
    centre_y = centre_y + dy * heights
    half_widths = widths * dw.clamp(max=_MAX_GROWTH).exp() / 2
    half_heights = heights * dh.clamp(max=_MAX_GROWTH).exp() / 2
    corners = (centre_x - half_widths, centre_y - half_heights, centre_x + half_widths, centre_y + half_heights)
    return torch.stack(corners, dim=-1)


def clip_boxes(boxes: Tensor, width: float, height: float, pixel: float) -> Tensor:
    """Boxes [...,4] with every coordinate inside an image of this size."""
    limits = boxes.new_tensor((width - pixel, height - pixel, width - pixel, height - pixel))
    return torch.minimum(boxes.clamp(min=0), limits)


def large_enough(boxes: Tensor, side: float, pixel: float) -> Tensor:
    """Which boxes have an area, and both sides above ``side``: bool [N]."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return ((sides > 0) & (sides + pixel > side)).all(dim=1)


def for_nms(boxes: Tensor, pixel: float) -> Tensor:
    """Boxes whose plain IoU is the IoU of ``boxes`` by their own count of pixels."""
    return boxes + boxes.new_tensor((0.0, 0.0, pixel, pixel))


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


class ProposalNetwork(nn.Module):
    """A map of the trunk -> scored boxes that may hold an object."""

    def __init__(self, channels: int, config: FrcnnConfig) -> None:
        super().__init__()
        anchors = len(config.anchor_sizes) * len(config.anchor_ratios)
        # Caffe's network has two numbers for each anchor: nothing, and something
        answers = 2 if config.convention == "caffe" else 1
        self.config = config
        self.hidden = nn.Conv2d(channels, config.proposal_channels, 3, padding=1)
        self.objectness = nn.Conv2d(config.proposal_channels, answers * anchors, 1)
        self.deltas = nn.Conv2d(config.proposal_channels, 4 * anchors, 1)

    def forward(self, feature_map: Tensor, sizes: Sequence[tuple[int, int]], scales: Sequence[float]) -> list[Tensor]:
        """Proposals [P,4] of each image, best first, in pixels of the scaled image.

        Args:
            feature_map: of the trunk.
            sizes: width and height of each scaled image.
            scales: how much larger than the original each is.
        """
        scores, boxes = self.scored_boxes(feature_map)
        return [
            select_proposals(boxes[index], scores[index], size, scale, self.config)
            for index, (size, scale) in enumerate(zip(sizes, scales, strict=True))
        ]

    def scored_boxes(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [B,N] that order the anchors, and the boxes [B,N,4] they were moved to."""
        hidden = functional.relu(self.hidden(feature_map))
        count, height, width = len(hidden), *hidden.shape[2:]
        answers = self.objectness(hidden).float()
        if self.config.convention == "caffe":
            answers = answers.view(count, 2, -1, height, width).softmax(dim=1)[:, 1]
        scores = answers.permute(0, 2, 3, 1).reshape(count, -1)
        deltas = self.deltas(hidden).float().view(count, -1, 4, height, width).permute(0, 3, 4, 1, 2)
        anchors = grid_anchors(cell_anchors(self.config).to(hidden.device), height, width)
        weights = (1.0, 1.0, 1.0, 1.0)
        found = [decode_boxes(anchors, one.reshape(-1, 1, 4), weights, self.config.pixel)[:, 0] for one in deltas]
        return scores, torch.stack(found)


def select_proposals(boxes: Tensor, scores: Tensor, size: tuple[int, int], scale: float, config: FrcnnConfig) -> Tensor:
    """The proposals of one image, [P,4], best first.

    Boxes are cut at the image's edges, small ones dropped, the best of the rest freed of those that overlap a better
    one. An image in which nothing is left is one proposal itself.
    """
    width, height = size
    best = scores.argsort(descending=True, stable=True)
    if config.convention == "detectron2":  # which counts small boxes among its candidates
        best = best[: config.candidates]
    boxes, scores = clip_boxes(boxes[best], width, height, config.pixel), scores[best]
    fine = large_enough(boxes, config.min_proposal_side * scale, config.pixel) & scores.isfinite()
    boxes, scores = boxes[fine][: config.candidates], scores[fine][: config.candidates]
    kept = boxes[nms(for_nms(boxes, config.pixel), scores, config.proposal_nms)[: config.proposals]]
    if not len(kept):
        return boxes.new_tensor([[0.0, 0.0, width - config.pixel, height - config.pixel]])
    return kept
