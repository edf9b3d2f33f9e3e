"""What is in a region: pooled from the map, described by res5, named by three linear layers.

Shapes: R regions of all images, C channels, K classes (background first), F feature size, T attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from interbert.extraction.frcnn.boxes import roi_pool
from interbert.extraction.frcnn.config import FrcnnConfig
from interbert.extraction.frcnn.resnet import STRIDE, stage

_CHUNK = 128  # regions at a time: 14 x 14 cells of 1024 channels are 100 MB


@dataclass(frozen=True)
class RegionAnswers:
    """What the head says about regions."""

    features: Tensor
    """[R,F], mean over the cells of res5."""
    class_probs: Tensor
    """[R,K], background first."""
    deltas: Tensor
    """[R,K-1,4], one box for each object class."""
    attribute_probs: Tensor | None
    """[R,T], of the class the region most likely is, "none" left out; None for weights without attributes."""


class RegionHead(nn.Module):
    """RoI pooling, res5 and the answers."""

    def __init__(self, channels: int, config: FrcnnConfig) -> None:
        super().__init__()
        self.config = config
        stride, dilation = (2, 1) if config.halve_res5 else (1, 2)
        self.res5 = stage(3, channels, config.feature_size, stride, dilation)
        self.predictor = Predictor(config)

    def forward(self, feature_map: Tensor, boxes: Sequence[Tensor]) -> RegionAnswers:
        """Answers about the boxes [n,4] of each image, one after the other."""
        return self.predictor(self.describe(feature_map, boxes))  # type: ignore[no-any-return]

    def describe(self, feature_map: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Features [R,F] of the boxes of each image, in pixels of the scaled image."""
        rois = pooling_boxes(boxes)
        dtype = next(self.res5.parameters()).dtype
        chunks = []
        for start in range(0, len(rois), _CHUNK):
            pooled = pool_regions(feature_map, rois[start : start + _CHUNK], self.config.pooled_side)
            cells = self.res5(pooled.to(dtype).contiguous(memory_format=torch.channels_last))
            chunks.append(cells.float().mean(dim=(2, 3)))
        return torch.cat(chunks)


def pooling_boxes(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes [n,4] of each image as [R,5], the image's number first."""
    numbered = [torch.cat((one.new_full((len(one), 1), index), one), dim=1) for index, one in enumerate(boxes)]
    return torch.cat(numbered)


def pool_regions(feature_map: Tensor, rois: Tensor, side: int) -> Tensor:
    """Maximum of the map in side x side parts of each region, [R,C,side,side] (Fast R-CNN, section 2.1).

    Coordinates are rounded to whole cells, a region covers at least one.
    """
    pooled: Tensor = roi_pool(feature_map, rois.to(feature_map.dtype), side, spatial_scale=1.0 / STRIDE)
    return pooled


class Predictor(nn.Module):
    """Classes, boxes and attributes of described regions."""

    def __init__(self, config: FrcnnConfig) -> None:
        super().__init__()
        size, classes = config.feature_size, config.num_classes
        # Caffe's network moves boxes of the background too; nobody asks for them
        self.config = config
        self.classes = nn.Linear(size, classes)
        self.boxes = nn.Linear(size, 4 * (classes if config.background_first else classes - 1))
        self.class_vectors: nn.Embedding | None = None
        if config.num_attributes:
            self.class_vectors = nn.Embedding(classes, size // 8)
            self.attribute_hidden = nn.Linear(size + size // 8, size // 4)
            self.attributes = nn.Linear(size // 4, config.num_attributes + 1)

    def forward(self, features: Tensor) -> RegionAnswers:
        """Answers about regions with these features [R,F]."""
        logits = self.classes(features)
        deltas = self.boxes(features).view(len(features), -1, 4)
        probabilities = logits.softmax(dim=-1)
        if self.config.background_first:
            deltas = deltas[:, 1:]
        else:
            probabilities = probabilities.roll(1, dims=-1)
        return RegionAnswers(features, probabilities, deltas, self._attributes(features, logits.argmax(dim=-1)))

    def _attributes(self, features: Tensor, classes: Tensor) -> Tensor | None:
        if self.class_vectors is None:
            return None
        both = torch.cat((features, self.class_vectors(classes)), dim=-1)
        logits: Tensor = self.attributes(functional.relu(self.attribute_hidden(both)))
        if self.config.background_first:  # Caffe's "none" takes its share of the probability, the converted one's not
            return logits.softmax(dim=-1)[:, 1:]
        return logits[:, :-1].softmax(dim=-1)
