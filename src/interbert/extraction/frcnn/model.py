"""What is in a region: pooled from the map, described by res5, named by three linear layers.

Shapes: R regions of all images, C channels, K classes (background first), F feature size, T attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from interbert.extraction.frcnn.config import FrcnnConfig
from interbert.extraction.frcnn.proposals import ProposalNetwork, clip_boxes, decode_boxes, for_nms, nms, roi_pool
from interbert.extraction.frcnn.resnet import STRIDE, Trunk, fuse_norms, stage
from interbert.extraction.settings import FrcnnSettings

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


_FLOORS = (0.02, 0.001, 0.0)
"""Below the threshold, confidences are looked at in steps: most images have enough boxes before the last."""


def select_regions(boxes: Tensor, class_probs: Tensor, threshold: float, least: int, most: int, iou: float) -> Tensor:
    """Indices [N] of the chosen proposals, most confident first.

    A proposal's confidence is its highest class probability among the classes in which no better proposal overlaps it
    (non-maximum suppression for each object class by itself). All with a confidence of at least ``threshold`` are
    chosen, but ``least`` to ``most`` of them. ``least`` equal to ``most`` is the variant with a fixed number. There are
    fewer only when there are fewer proposals.

    Args:
        boxes: in which plain IoU holds.
        class_probs: background first.
        threshold: confidence.
        least: chosen even below the threshold.
        most: not more.
        iou: overlap above which the less probable proposal is dropped from a class.
    """
    confidence = confidences(boxes, class_probs, threshold, iou)
    for floor in _FLOORS:
        if int((confidence >= 0).sum()) >= min(least, len(boxes)):
            break
        if floor < threshold:
            confidence = confidences(boxes, class_probs, floor, iou)
    ranked = confidence.argsort(descending=True, stable=True)
    count = min(max(int((confidence >= threshold).sum()), least), most)
    return ranked[:count]


def confidences(boxes: Tensor, class_probs: Tensor, floor: float, iou: float) -> Tensor:
    """The confidence of each proposal [R]; -1 where it is below ``floor``.

    Only probabilities of at least ``floor`` are looked at. That changes no confidence above it: what drops a proposal
    from a class is more probable than the proposal.
    """
    result = class_probs.new_full((len(boxes),), -1.0)
    rows, classes = (class_probs[:, 1:] >= floor).nonzero(as_tuple=True)
    order = classes.argsort(stable=True)
    rows, classes = rows[order], classes[order] + 1
    counts = torch.unique_consecutive(classes, return_counts=True)
    start = 0
    for name, count in zip(*(one.tolist() for one in counts), strict=True):
        members = rows[start : start + count]
        start += count
        probabilities = class_probs[members, name]
        kept = nms(boxes[members], probabilities, iou)
        result[members[kept]] = torch.maximum(result[members[kept]], probabilities[kept])
    return result


def best_boxes(proposals: Tensor, refined: Tensor, class_probs: Tensor) -> Tensor:
    """The box [R,4] that each proposal's most probable object moved it to; the proposal where that has no area."""
    best = class_probs[:, 1:].argmax(dim=1)
    boxes = refined[torch.arange(len(best), device=best.device), best]
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1, keepdim=True)
    return torch.where(has_area, boxes, proposals)


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
