"""The key map, on every name and shape that the public ports' code defines at full size (no memory: meta tensors)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from interbert.errors import CheckpointError
from interbert.extraction.frcnn.config import CAFFE, DETECTRON2
from interbert.extraction.frcnn.loading import find_dialect, from_port, to_port, translate
from interbert.extraction.frcnn.model import empty_frcnn

NORM = ("weight", "bias", "running_mean", "running_var")


def port_shapes(dialect: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes as the ports' code builds them, written from its constructors and not from our map."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, channels: int, side: int) -> None:
        shapes[f"{name}.weight"] = (out, channels, side, side)
        shapes.update({f"{name}.norm.{one}": (out,) for one in NORM})

    def stage(name: str, count: int, channels: int, out: int) -> None:
        for block in range(count):
            prefix, before = f"{name}.{block}", channels if block == 0 else out
            if block == 0:
                conv(f"{prefix}.shortcut", out, before, 1)
            conv(f"{prefix}.conv1", out // 4, before, 1)
            conv(f"{prefix}.conv2", out // 4, out // 4, 3)
            conv(f"{prefix}.conv3", out, out // 4, 1)

    def linear(name: str, out: int, channels: int, *cells: int) -> None:
        shapes[f"{name}.weight"] = (out, channels, *cells)
        shapes[f"{name}.bias"] = (out,)

    caffe = dialect == "caffe"
    conv("backbone.stem.conv1", 64, 3, 7)
    stage("backbone.res2", 3, 64, 256)
    stage("backbone.res3", 4, 256, 512)
    stage("backbone.res4", 23, 512, 1024)
    linear("proposal_generator.rpn_head.conv", 512, 1024, 3, 3)
    linear("proposal_generator.rpn_head.objectness_logits", 24 if caffe else 12, 512, 1, 1)
    linear("proposal_generator.rpn_head.anchor_deltas", 48, 512, 1, 1)
    stage("roi_heads.res5", 3, 1024, 2048)
    predictor = "roi_heads.box_predictor"
    linear(f"{predictor}.cls_score", 1601, 2048)
    linear(f"{predictor}.bbox_pred", 6404 if caffe else 6400, 2048)
    shapes[f"{predictor}.{'cls_embed' if caffe else 'cls_embedding'}.weight"] = (1601, 256)
    linear(f"{predictor}.{'attr_linear1' if caffe else 'fc_attr'}", 512, 2304)
    linear(f"{predictor}.{'attr_linear2' if caffe else 'attr_score'}", 401, 512)
    return shapes


def stored(dialect: str) -> dict[str, torch.Tensor]:
    """A port's state dict without memory, with what ports store beside the weights."""
    state = {name: torch.empty(shape, device="meta") for name, shape in port_shapes(dialect).items()}
    state |= {
        name.replace("running_var", "num_batches_tracked"): torch.empty((), dtype=torch.long, device="meta")
        for name in list(state)
        if name.endswith("running_var")
    }
    state["proposal_generator.anchor_generator.cell_anchors.0"] = torch.empty((12, 4), device="meta")
    state["pixel_mean"] = torch.empty((3, 1, 1), device="meta")
    return state


def our_shapes(dialect: str) -> dict[str, tuple[int, ...]]:
    model = empty_frcnn(CAFFE if dialect == "caffe" else DETECTRON2)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("dialect", ["detectron2", "caffe"])
def test_every_weight_of_a_port_has_a_place_of_its_shape_and_every_place_a_weight(dialect: str) -> None:
    ours, theirs = our_shapes(dialect), port_shapes(dialect)
    assert len(theirs) == 5 * (1 + 4 * 3 + 3 * 30 + 1) + 6 + 9  # 104 convolutions with norms
    assert {to_port(name, dialect): shape for name, shape in ours.items()} == theirs
    assert {from_port(name, dialect): shape for name, shape in theirs.items()} == ours


@pytest.mark.parametrize("dialect", ["detectron2", "caffe"])
def test_the_map_is_reversible(dialect: str) -> None:
    for name in our_shapes(dialect):
        assert from_port(to_port(name, dialect), dialect) == name
    for name in port_shapes(dialect):
        assert to_port(from_port(name, dialect), dialect) == name


@pytest.mark.parametrize("dialect", ["detectron2", "caffe"])
def test_a_whole_state_dict_is_translated_and_its_port_is_known_by_its_names(dialect: str) -> None:
    state = stored(dialect)
    assert find_dialect(state) == dialect
    assert {name: tuple(value.shape) for name, value in translate(state, our_shapes(dialect), "w").items()} == (
        our_shapes(dialect)
    )


def test_without_attributes_the_weights_fit_too() -> None:
    state = {name: value for name, value in stored("detectron2").items() if "attr" not in name and "embed" not in name}
    model = empty_frcnn(replace(DETECTRON2, num_attributes=0))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert len(translate(state, shapes, "w")) == len(shapes) == len(our_shapes("detectron2")) - 5


def test_what_is_missing_left_over_or_of_another_shape_is_named() -> None:
    shapes = our_shapes("detectron2")
    state = stored("detectron2")
    lacking = {name: value for name, value in state.items() if name != "backbone.res3.2.conv2.norm.bias"}
    with pytest.raises(CheckpointError, match=r"w: holds no backbone\.res3\.2\.conv2\.norm\.bias \(1 of"):
        translate(lacking, shapes, "w")
    with pytest.raises(CheckpointError, match=r"w: holds roi_heads\.mask_head\.weight, which"):
        translate(state | {"roi_heads.mask_head.weight": torch.empty(1, device="meta")}, shapes, "w")
    other = state | {"roi_heads.box_predictor.cls_score.weight": torch.empty((81, 2048), device="meta")}
    with pytest.raises(CheckpointError, match=r"cls_score\.weight has the shape \[81, 2048\].*\[1601, 2048\]"):
        translate(other, shapes, "w")


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError, match="of a bottom-up-attention detector"):
        translate({"fc.weight": torch.empty(3)}, our_shapes("detectron2"), "w")
