"""The region proposal network: where something may be.

Shapes: B images, A anchors of a cell, h, w cells, N = h*w*A anchors, P proposals of an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from interbert.extraction.frcnn.anchors import cell_anchors, grid_anchors
from interbert.extraction.frcnn.boxes import clip_boxes, decode_boxes, for_nms, large_enough, nms
from interbert.extraction.frcnn.config import FrcnnConfig


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
