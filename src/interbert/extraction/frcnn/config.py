"""Sizes and conventions of a bottom-up-attention detector, as its weights were trained with.

Two families of weights exist, and they count differently. ``caffe`` is the paper's own network, whose coordinates name
whole pixels (a box from 0 to 15 is 16 wide), and whose background is class 0. ``detectron2`` is the same network
converted: coordinates are points (0 to 16 is 16 wide), and the background is the last class. Whichever the weights are,
what leaves the detector has the background first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from interbert.errors import ConfigError

Convention = Literal["detectron2", "caffe"]

_STAGES = {50: (3, 4, 6), 101: (3, 4, 23), 152: (3, 8, 36)}


@dataclass(frozen=True)
class FrcnnConfig:
    """What a set of weights needs in order to be run as it was trained; the defaults are bottom-up attention's."""

    convention: Convention = "detectron2"
    """How the weights count pixels and classes, see the module."""
    blocks: tuple[int, int, int] = (3, 4, 23)
    """Bottlenecks of res2, res3 and res4; res5 has 3."""
    stem_channels: int = 64
    res2_channels: int = 256
    """Channels after res2; each stage doubles them."""
    proposal_channels: int = 512
    """Hidden channels of the proposal network."""
    num_objects: int = 1600
    """Object classes, background not counted."""
    num_attributes: int = 400
    """Attributes, "none" not counted; 0 for weights without them."""
    pixel_mean: tuple[float, float, float] = (102.9801, 115.9465, 122.7717)
    """Blue, green, red."""
    pixel_std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    short_side: int = 600
    """Pixels of an image's shorter side as the network sees it..."""
    long_side: int = 1000
    """...unless the longer side would exceed this."""
    caffe_pooling: bool = True
    """The stem's pooling has no margin and rounds its size up, as Caffe does."""
    anchor_sizes: tuple[float, ...] = (64.0, 128.0, 256.0, 512.0)
    """Sides of square anchors in pixels of the scaled image."""
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height over width."""
    anchor_offset: float = 0.0
    """Where in its cell an anchor of ``detectron2`` is centred, in cells."""
    candidates: int = 6000
    """Best scored proposals that go into their non-maximum suppression."""
    proposals: int = 300
    """Proposals that come out of it."""
    proposal_nms: float = 0.7
    """Proposals whose IoU with a better one is above this are dropped."""
    min_proposal_side: float = 0.0
    """Proposals with a side not above this are dropped; pixels of the image before scaling."""
    box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    """The last layer's x, y, width and height deltas are divided by these."""
    pooled_side: int = 14
    """Cells of a pooled region, along each axis."""
    halve_res5: bool = False
    """True: res5 strides; bottom-up attention dilates instead and keeps 14 x 14."""

    def __post_init__(self) -> None:
        if self.convention not in ("detectron2", "caffe"):
            raise ConfigError(f"The detector's convention must be detectron2 or caffe, not {self.convention!r}.")

    @property
    def pixel(self) -> float:
        """What a width is more than the difference of its two coordinates, in pixels."""
        return 1.0 if self.convention == "caffe" else 0.0

    @property
    def background_first(self) -> bool:
        """Whether the weights have the background as class 0 (and "none" as attribute 0)."""
        return self.convention == "caffe"

    @property
    def feature_size(self) -> int:
        """Channels after res5, the size of a region's feature."""
        return self.res2_channels * 8

    @property
    def num_classes(self) -> int:
        """Classes of a region's distribution: the objects and the background."""
        return self.num_objects + 1


DETECTRON2 = FrcnnConfig()
"""The converted weights: ``unc-nlp/frcnn-vg-finetuned`` and the detectron2 port."""

CAFFE = FrcnnConfig(convention="caffe", box_weights=(1.0, 1.0, 1.0, 1.0), min_proposal_side=16.0)
"""The paper's own network, as `bottom-up-attention.pytorch` keeps it."""

_FIELDS: dict[str, tuple[str, ...]] = {
    "pixel_mean": ("model", "pixel_mean"),
    "pixel_std": ("model", "pixel_std"),
    "caffe_pooling": ("model", "max_pool"),
    "stem_channels": ("resnets", "stem_out_channels"),
    "res2_channels": ("resnets", "res2_out_channels"),
    "proposal_channels": ("proposal_generator", "hidden_channels"),
    "min_proposal_side": ("proposal_generator", "min_size"),
    "num_objects": ("roi_heads", "num_classes"),
    "num_attributes": ("roi_box_head", "num_attrs"),
    "pooled_side": ("roi_box_head", "pooler_resolution"),
    "box_weights": ("roi_box_head", "bbox_reg_weights"),
    "halve_res5": ("roi_box_head", "res5halve"),
    "anchor_offset": ("anchor_generator", "offset"),
    "candidates": ("rpn", "pre_nms_topk_test"),
    "proposals": ("rpn", "post_nms_topk_test"),
    "proposal_nms": ("rpn", "nms_thresh"),
    "short_side": ("input", "min_size_test"),
    "long_side": ("input", "max_size_test"),
}
"""Our field -> where the port's ``config.yaml`` has it."""

_EXPECTED: dict[tuple[str, ...], Any] = {
    ("resnets", "num_groups"): 1,
    ("resnets", "stride_in_1x1"): True,
    ("resnets", "res5_dilation"): 1,
    ("roi_box_head", "cls_agnostic_bbox_reg"): False,
    ("rpn", "bbox_reg_weights"): [1.0, 1.0, 1.0, 1.0],
    ("input", "format"): "BGR",
}
"""Settings that other networks of that code base have and this one does not."""


def read_port_config(path: Path) -> FrcnnConfig:
    """The configuration that lies beside ``unc-nlp/frcnn-vg-finetuned``'s weights.

    Names may be in either case; what the file does not say is bottom-up attention's.

    Raises:
        ConfigError: it is no such file, or describes a network this is not; the setting is named.
    """
    import yaml

    from interbert.utils.bounded_files import require_bounded_yaml

    try:
        found = yaml.safe_load(require_bounded_yaml(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: is no readable YAML. Take config.yaml from beside the weights again.") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(found, Mapping):
        raise ConfigError(f"{path}: holds no settings. Take config.yaml from beside the weights again.")
    tree = _lowered(found)
    for place, expected in _EXPECTED.items():
        value = _at(tree, place)
        if value is not None and value != expected:
            raise ConfigError(f"{path}: {'.'.join(place)} is {value}; only networks with {expected} are run here.")
    values: dict[str, Any] = {}
    for name, place in _FIELDS.items():
        value = _at(tree, place)
        if value is not None:
            values[name] = _as_field(value, getattr(DETECTRON2, name), f"{path}: {'.'.join(place)}")
    if _at(tree, ("roi_box_head", "attr")) is False:
        values["num_attributes"] = 0
    values |= _anchors(tree, path)
    depth = _at(tree, ("resnets", "depth"))
    if depth is not None:
        if depth not in _STAGES:
            raise ConfigError(f"{path}: resnets.depth is {depth}; known are {', '.join(map(str, _STAGES))}.")
        values["blocks"] = _STAGES[depth]
    return replace(DETECTRON2, **values)


def _anchors(tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Sizes and ratios stand in lists of one list per feature map; C4 has one map."""
    values: dict[str, Any] = {}
    for name, key in (("anchor_sizes", "sizes"), ("anchor_ratios", "aspect_ratios")):
        found = _at(tree, ("anchor_generator", key))
        if found is None:
            continue
        if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], list):
            raise ConfigError(f"{path}: anchor_generator.{key} is {found}; it takes one list inside a list.")
        values[name] = tuple(float(one) for one in found[0])
    return values


def _as_field(value: Any, like: Any, where: str) -> Any:
    try:
        if isinstance(like, tuple):
            if len(value) != len(like):
                raise ValueError
            return tuple(float(one) for one in value)
        return type(like)(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} is {value!r}; it takes a value like {like}.") from error


def _lowered(tree: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).lower(): _lowered(one) if isinstance(one, Mapping) else one for key, one in tree.items()}


def _at(tree: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    found: Any = tree
    for key in place:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


BACKGROUND = "background"


@cache
def object_names() -> tuple[str, ...]:
    """Names of a region's classes in the order of its distribution, the background first: 1,601."""
    return (BACKGROUND, *_lines("objects.txt"))


@cache
def attribute_names() -> tuple[str, ...]:
    """Names of the attributes in the order of their probabilities: 400."""
    return _lines("attributes.txt")


def _lines(name: str) -> tuple[str, ...]:
    """The first of several spellings of each line."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tuple(line.split(",")[0].strip() for line in text.splitlines())
