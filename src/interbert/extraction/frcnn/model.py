"""The whole detector: scaled images in, described and chosen regions out.

Shapes: B images of one size, R proposals of an image, N regions of an image, F feature size, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interbert.extraction.frcnn.boxes import clip_boxes, decode_boxes, for_nms
from interbert.extraction.frcnn.config import FrcnnConfig
from interbert.extraction.frcnn.head import RegionAnswers, RegionHead
from interbert.extraction.frcnn.proposals import ProposalNetwork
from interbert.extraction.frcnn.resnet import Trunk, fuse_norms
from interbert.extraction.frcnn.selection import best_boxes, select_regions
from interbert.extraction.frcnn.settings import FrcnnSettings


@dataclass(frozen=True)
class Detection:
    """The regions of one image."""

    boxes: Tensor
    """[N,4] in pixels of the scaled image."""
    features: Tensor
    """[N,F]."""
    class_probs: Tensor
    """[N,K], background first."""
    attribute_probs: Tensor | None
    """[N,T]; None for weights without attributes."""


class Frcnn(nn.Module):
    """Trunk, proposals and head; on any device, in evaluation mode."""

    def __init__(self, config: FrcnnConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config)
        self.proposals = ProposalNetwork(self.trunk.out_channels, config)
        self.head = RegionHead(self.trunk.out_channels, config)
        self.eval()

    def fuse(self) -> Frcnn:
        """Fold batch norms; for inference only."""
        fuse_norms(self)
        return self

    def lower_precision(self) -> None:
        """Convolve in bfloat16; what decides (scores, boxes, classes) stays in float32."""
        self.trunk.bfloat16()
        self.head.res5.bfloat16()

    def detect(
        self,
        pixels: Tensor,
        settings: FrcnnSettings,
        sizes: Sequence[tuple[int, int]],
        scales: Sequence[float],
    ) -> list[Detection]:
        """Find and describe regions.

        Args:
            pixels: of :func:`detector_pixels`.
            settings: how many regions, and which boxes they have.
            sizes: width and height of each scaled image.
            scales: how much larger than the original each is.
        """
        feature_map = self.feature_map(pixels)
        proposals = self.proposals(feature_map, sizes, scales)
        answers = self.head(feature_map, proposals)
        found = split_answers(answers, [len(one) for one in proposals])
        return [
            choose(boxes, one, size, settings, self.config)
            for boxes, one, size in zip(proposals, found, sizes, strict=True)
        ]

    def feature_map(self, pixels: Tensor) -> Tensor:
        """Map of the trunk, f32 [B,C,h,w]."""
        weight = self.trunk.stem.conv.weight
        pixels = pixels.to(weight.dtype).contiguous(memory_format=torch.channels_last)
        found: Tensor = self.trunk(pixels).float()
        return found

    def encode(self, pixels: Tensor, boxes: Sequence[Tensor]) -> list[Detection]:
        """Describe given boxes [n,4] of each image, in pixels of the scaled image; none is moved or dropped."""
        answers = self.head(self.feature_map(pixels), boxes)
        found = split_answers(answers, [len(one) for one in boxes])
        return [
            Detection(given, one.features, one.class_probs, one.attribute_probs)
            for given, one in zip(boxes, found, strict=True)
        ]


def split_answers(answers: RegionAnswers, counts: Sequence[int]) -> list[RegionAnswers]:
    """Answers about the regions of each image."""
    names = ("features", "class_probs", "deltas", "attribute_probs")
    parts = [getattr(answers, name) for name in names]
    split = [[None] * len(counts) if one is None else one.split(list(counts)) for one in parts]
    return [RegionAnswers(*one) for one in zip(*split, strict=True)]


def choose(
    proposals: Tensor, answers: RegionAnswers, size: tuple[int, int], settings: FrcnnSettings, config: FrcnnConfig
) -> Detection:
    """The regions of one image.

    Their boxes are the proposals that the features were pooled from, as in the paper's features, or (``refined``) where
    the last layer moves them to.
    """
    boxes = proposals
    if settings.boxes == "refined":
        moved = decode_boxes(proposals, answers.deltas, config.box_weights, config.pixel)
        moved = clip_boxes(moved, *size, config.pixel)
        boxes = best_boxes(proposals, moved, answers.class_probs)
    chosen = select_regions(  # hundreds of small steps: slow on a GPU
        for_nms(boxes, config.pixel).cpu(),
        answers.class_probs.cpu(),
        settings.threshold,
        settings.min_boxes,
        settings.max_boxes,
        settings.nms,
    ).to(boxes.device)
    attributes = None if answers.attribute_probs is None else answers.attribute_probs[chosen]
    return Detection(boxes[chosen], answers.features[chosen], answers.class_probs[chosen], attributes)


def empty_frcnn(config: FrcnnConfig) -> Frcnn:
    """A detector of this shape without memory: its names and shapes, and where weights go (``assign=True``)."""
    with torch.device("meta"):
        return Frcnn(config)
