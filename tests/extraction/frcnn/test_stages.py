"""Every stage is right, and every check of a stage sees it when the stage is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.extraction.frcnn.checks import CHECKS
from torch import nn
from torchvision.ops import roi_align

from interbert.extraction.frcnn import extractor, model, proposals, resnet
from interbert.extraction.frcnn.config import FrcnnConfig


@pytest.mark.parametrize("stage", CHECKS)
def test_a_stage_computes_what_an_independent_computation_does(stage: str) -> None:
    CHECKS[stage]()


def _changed(function: Callable[..., Any], **places: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function that is given other arguments than its caller thinks."""
    import inspect

    names = list(inspect.signature(function).parameters)

    def mutated(*args: Any, **kwargs: Any) -> Any:
        values = dict(zip(names, args, strict=False)) | kwargs
        values |= {name: change(values[name]) for name, change in places.items()}
        return function(**values)

    return mutated


def _after(function: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: change(function(*args, **kwargs))


def _stride_in_the_second(self: nn.Module, channels: int, out: int, stride: int = 1, dilation: int = 1) -> None:
    nn.Module.__init__(self)
    self.first = resnet.ConvNorm(channels, out // 4, 1)
    self.second = resnet.ConvNorm(out // 4, out // 4, 3, stride, dilation)
    self.third = resnet.ConvNorm(out // 4, out, 1)
    self.shortcut = resnet.ConvNorm(channels, out, 1, stride) if channels != out else None


def _aligned(feature_map: torch.Tensor, rois: torch.Tensor, side: int) -> torch.Tensor:
    found: torch.Tensor = roi_align(feature_map, rois, side, spatial_scale=1 / 16, sampling_ratio=2, aligned=True)
    return found


def _longer_side(width: int, height: int, config: FrcnnConfig) -> tuple[int, int]:
    scale = config.short_side / max(width, height)
    return round(width * scale), round(height * scale)


def _everything(boxes: torch.Tensor, scores: torch.Tensor, iou: float) -> torch.Tensor:
    return scores.argsort(descending=True)


_meshgrid, _softmax, _grid_anchors = torch.meshgrid, torch.Tensor.softmax, proposals.grid_anchors

MUTATIONS: list[tuple[str, object, str, Any]] = [
    # pixels
    ("scaled_size", extractor, "scaled_size", _longer_side),
    ("scaled_size", extractor, "int", lambda value: int(value - 0.5)),
    ("caffe_pixels", extractor, "_blue_first", _after(extractor._blue_first, lambda x: x.flip(0))),
    ("caffe_pixels", extractor, "scaled_size", _after(extractor.scaled_size, lambda size: size[::-1])),
    ("detectron2_pixels", extractor, "_blue_first", _after(extractor._blue_first, lambda x: x.flip(0))),
    ("detectron2_pixels", extractor, "_blue_first", _after(extractor._blue_first, lambda x: x.flip(2))),
    # trunk and head
    ("trunk", resnet.Bottleneck, "__init__", _stride_in_the_second),
    ("trunk", resnet, "_EPSILON", 0.1),
    ("trunk", resnet.Trunk, "caffe_pooling", property(lambda self: False, lambda self, value: None)),
    ("fused_trunk", resnet, "_EPSILON", 0.1),
    (
        "fused_trunk",
        resnet,
        "fuse_conv_bn_weights",
        _after(resnet.fuse_conv_bn_weights, lambda both: (both[0], nn.Parameter(both[1] * 0))),
    ),
    ("res5", model, "stage", _changed(model.stage, dilation=lambda _: 1)),
    ("res5", model, "pool_regions", _aligned),
    ("res5", model, "STRIDE", 8),
    ("roi_pooling", model, "STRIDE", 17),
    ("roi_pooling", model, "pool_regions", _aligned),
    ("roi_pooling", model, "roi_pool", lambda x, rois, side, spatial_scale: x.new_zeros(len(rois), 3, side, side)),
    (
        "roi_pooling",
        model,
        "pooling_boxes",
        _after(model.pooling_boxes, lambda rois: rois * torch.tensor([0.0, 1, 1, 1, 1])),
    ),
    # anchors and boxes
    ("caffe_anchors", proposals, "STRIDE", 17),
    ("caffe_anchors", proposals, "round", lambda value: value),
    ("caffe_anchors", proposals, "_caffe_anchors", _changed(proposals._caffe_anchors, ratios=lambda r: r[::-1])),
    (
        "detectron2_anchors",
        proposals,
        "cell_anchors",
        _after(proposals.cell_anchors, lambda found: found.reshape(4, 3, 4).transpose(0, 1).reshape(12, 4)),
    ),
    ("detectron2_anchors", proposals, "STRIDE", 0),
    ("anchor_grid", proposals, "STRIDE", 15),
    ("anchor_grid", proposals.torch, "meshgrid", lambda y, x, indexing: _meshgrid(y, x, indexing=indexing)[::-1]),
    ("decoding", proposals, "_MAX_GROWTH", 1.0),
    ("decoding", proposals, "_MAX_GROWTH", 1000.0),
    ("decoding", proposals, "decode_boxes", _changed(proposals.decode_boxes, weights=lambda _: (1.0, 1.0, 1.0, 1.0))),
    ("decoding", proposals, "decode_boxes", _changed(proposals.decode_boxes, pixel=lambda _: 0.0)),
    ("decoding", proposals, "decode_boxes", _changed(proposals.decode_boxes, deltas=lambda d: d[..., [1, 0, 2, 3]])),
    ("decoding", proposals, "decode_boxes", _changed(proposals.decode_boxes, deltas=lambda d: d[..., [0, 1, 3, 2]])),
    ("clipping", proposals, "clip_boxes", _changed(proposals.clip_boxes, pixel=lambda _: 0.0)),
    ("clipping", proposals, "clip_boxes", _changed(proposals.clip_boxes, width=lambda _: 50)),
    ("clipping", proposals.torch, "minimum", lambda found, limits: found),
    ("sizes", proposals, "large_enough", _changed(proposals.large_enough, side=lambda side: side - 1)),
    ("sizes", proposals, "large_enough", _changed(proposals.large_enough, pixel=lambda _: 0.0)),
    # proposals
    ("proposal_layout", proposals, "decode_boxes", _changed(proposals.decode_boxes, pixel=lambda _: 0.5)),
    ("proposal_layout", proposals, "grid_anchors", lambda cell, h, w: _grid_anchors(cell, w, h)),
    (
        "proposal_layout",
        proposals,
        "grid_anchors",
        lambda cell, h, w: _grid_anchors(cell, h, w).reshape(h * w, -1, 4).transpose(0, 1).reshape(-1, 4),
    ),
    ("proposal_layout", torch.Tensor, "softmax", lambda x, dim: _softmax(-x, dim)),
    ("proposal_selection", proposals, "nms", _everything),
    ("proposal_selection", proposals, "for_nms", lambda found, pixel: found + torch.tensor([0.0, 0, 9, 9])),
    ("proposal_selection", proposals, "clip_boxes", lambda found, *size: found),
    ("proposal_selection", proposals, "large_enough", lambda found, *rest: torch.ones(len(found), dtype=torch.bool)),
    ("proposal_selection", proposals, "large_enough", _changed(proposals.large_enough, side=lambda side: side / 2.5)),
    # classes, attributes, selection
    ("predictor", torch.Tensor, "roll", lambda x, shift, dims: x),
    ("predictor", FrcnnConfig, "background_first", property(lambda self: self.convention != "caffe")),
    ("predictor", torch.Tensor, "argmax", lambda x, dim: torch.argmin(x, dim)),
    ("predictor", model.functional, "relu", lambda x: x),
    ("selection", model, "nms", _everything),
    ("selection", model, "nms", _changed(model.nms, iou_threshold=lambda iou: iou + 0.2)),
    ("selection", model, "_FLOORS", ()),
    ("selection", model, "confidences", lambda b, probs, floor, iou: probs[:, 1:].max(1).values),
    ("selection", model, "confidences", _changed(model.confidences, class_probs=lambda p: p.roll(1, 1))),
    ("best_boxes", torch.Tensor, "argmax", lambda x, dim: torch.argmin(x, dim)),
    ("best_boxes", model.torch, "where", lambda which, ours, theirs: ours),
    ("choice", model, "for_nms", lambda found, pixel: found + torch.tensor([0.0, 0, 30, 30])),
    ("choice", model, "clip_boxes", lambda found, *rest: found),
    ("choice", model, "decode_boxes", _changed(proposals.decode_boxes, weights=lambda _: (2.0, 2.0, 2.0, 2.0))),
    ("choice", model, "select_regions", _after(model.select_regions, lambda found: found.flip(0))),
]


@pytest.mark.parametrize(("stage", "owner", "name", "mutant"), MUTATIONS, ids=[f"{m[0]}-{m[2]}" for m in MUTATIONS])
def test_a_perturbed_stage_fails_its_check(
    stage: str, owner: object, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mutant, raising=False)
    with pytest.raises((AssertionError, RuntimeError, ValueError)) as caught:
        CHECKS[stage]()
    if not isinstance(caught.value, AssertionError):
        assert "shape" in str(caught.value) or "size" in str(caught.value)  # noticed by torch itself


def test_every_stage_has_a_mutation() -> None:
    assert {one[0] for one in MUTATIONS} == set(CHECKS)
