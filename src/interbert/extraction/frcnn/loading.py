"""Names of weights: ours, and those of the public ports, both ways by one map.

Read to make it: ``modeling_frcnn.py`` of transformers' LXMERT research project (whose weights are
``unc-nlp/frcnn-vg-finetuned``), airsplay's ``py-bottom-up-attention`` (a detectron2; the same names), and MILVLG's
``bottom-up-attention.pytorch`` (the paper's Caffe network; other names for the attributes).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from interbert.checkpoints.foreign_files import read_tensors
from interbert.errors import CheckpointError
from interbert.extraction.frcnn.config import CAFFE, DETECTRON2, FrcnnConfig, read_port_config
from interbert.extraction.frcnn.model import Frcnn, empty_frcnn
from interbert.extraction.weights import files_sha256, find_weights, weight_files
from interbert.regions.importers.pickles import UnsafePickleError, loads

Dialect = Literal["detectron2", "caffe"]

_SHARED = (
    ("trunk.stem", "backbone.stem.conv1"),
    ("trunk", "backbone"),
    ("proposals.hidden", "proposal_generator.rpn_head.conv"),
    ("proposals.objectness", "proposal_generator.rpn_head.objectness_logits"),
    ("proposals.deltas", "proposal_generator.rpn_head.anchor_deltas"),
    ("head.res5", "roi_heads.res5"),
    ("head.predictor.classes", "roi_heads.box_predictor.cls_score"),
    ("head.predictor.boxes", "roi_heads.box_predictor.bbox_pred"),
)
_ATTRIBUTES: dict[Dialect, tuple[tuple[str, str], ...]] = {
    "detectron2": (
        ("head.predictor.class_vectors", "roi_heads.box_predictor.cls_embedding"),
        ("head.predictor.attribute_hidden", "roi_heads.box_predictor.fc_attr"),
        ("head.predictor.attributes", "roi_heads.box_predictor.attr_score"),
    ),
    "caffe": (
        ("head.predictor.class_vectors", "roi_heads.box_predictor.cls_embed"),
        ("head.predictor.attribute_hidden", "roi_heads.box_predictor.attr_linear1"),
        ("head.predictor.attributes", "roi_heads.box_predictor.attr_linear2"),
    ),
}
_LAYERS = (("first", "conv1"), ("second", "conv2"), ("third", "conv3"))
_COMPUTED = re.compile(r"num_batches_tracked$|anchor_generator\.cell_anchors\.\d+$|^pixel_(mean|std)$")
"""What ports store though it is counted or computed, not learned."""


def to_port(name: str, dialect: Dialect) -> str:
    """A name of ours in a port's words."""
    for ours, theirs in (*_SHARED, *_ATTRIBUTES[dialect]):
        if name == ours or name.startswith(f"{ours}."):
            name = theirs + name.removeprefix(ours)
            break
    for ours, theirs in _LAYERS:
        name = re.sub(rf"(\.res\d\.\d+)\.{ours}\.", rf"\1.{theirs}.", name)
    return re.sub(r"((?:\.res\d\.\d+\.\w+|\.stem\.conv1))\.conv\.", r"\1.", name)


def from_port(name: str, dialect: Dialect) -> str:
    """A port's name in our words: the inverse of :func:`to_port`."""
    for ours, theirs in (*_SHARED, *_ATTRIBUTES[dialect]):
        if name == theirs or name.startswith(f"{theirs}."):
            name = ours + name.removeprefix(theirs)
            break
    for ours, theirs in _LAYERS:
        name = re.sub(rf"(\.res\d\.\d+)\.{theirs}\.", rf"\1.{ours}.", name)
    name = re.sub(r"^trunk\.stem\.weight$", "trunk.stem.conv.weight", name)
    return re.sub(r"(\.res\d\.\d+\.\w+)\.weight$", r"\1.conv.weight", name)


def find_dialect(names: Iterable[str]) -> Dialect:
    """Which port's names these are; without attributes they are the same, and ``detectron2`` is said."""
    return "caffe" if any(".box_predictor.cls_embed." in f".{name}." for name in names) else "detectron2"


def translate(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, Tensor]:
    """A port's weights under our names.

    Args:
        state: as the file has them.
        shapes: name -> shape of everything that is needed.
        where: the file, for messages.

    Raises:
        CheckpointError: something is missing, left over, or of another shape; the first is named.
    """
    dialect = find_dialect(state)
    found = {from_port(name, dialect): value for name, value in state.items() if not _COMPUTED.search(name)}
    lacking = [name for name in shapes if name not in found]
    if lacking:
        raise CheckpointError(
            f"{where}: holds no {to_port(lacking[0], dialect)} ({len(lacking)} of {len(shapes)} weights are missing). "
            "Are these the weights of a bottom-up-attention detector?"
        )
    extra = [name for name in found if name not in shapes]
    if extra:
        raise CheckpointError(
            f"{where}: holds {to_port(extra[0], dialect)}, which this detector does not have. Does its config.yaml "
            "belong to it?"
        )
    for name, value in found.items():
        if tuple(value.shape) != tuple(shapes[name]):
            raise CheckpointError(
                f"{where}: {to_port(name, dialect)} has the shape {list(value.shape)}, this detector needs "
                f"{list(shapes[name])}. Does its config.yaml belong to it?"
            )
    return found


OPTION = "--weights"
_CONFIG = "config.yaml"
_RPN = "proposal_generator.rpn_head"


@dataclass(frozen=True)
class LoadedFrcnn:
    """A detector and what its weights are."""

    model: Frcnn
    weights_from: str
    """Where they were found, in words that find them again."""
    weights_sha256: str


def load_frcnn(where: str) -> LoadedFrcnn:
    """The detector with its weights.

    A ``config.yaml`` beside converted weights is followed; without one the sizes are bottom-up attention's. Which of
    the two conventions weights were trained with is seen from their shapes.

    Raises:
        ConfigError: there are no weights there.
        CheckpointError: they are of another network, or damaged.
    """
    path, found_at = find_weights(where, OPTION)
    files = weight_files(path)
    state: dict[str, Tensor] = {}
    for file in files:
        state |= _read_pickle(file) if file.suffix == ".pkl" else read_tensors(file)
    beside = (path if path.is_dir() else path.parent) / _CONFIG
    config = _config_of(state, beside)
    model = empty_frcnn(config)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    translated = translate(state, shapes, str(files[0] if len(files) == 1 else path))
    model.load_state_dict({name: value.float() for name, value in translated.items()}, assign=True)
    return LoadedFrcnn(model.requires_grad_(False), found_at, files_sha256(files))


def _read_pickle(file: Path) -> dict[str, Tensor]:
    """The detectron2 port's file: a pickle of arrays under ``model``, read without running anything in it."""
    try:
        content = loads(file.read_bytes())
    except UnsafePickleError as error:
        raise CheckpointError(
            f"{file}: was refused, {error}. Copy or download it again from where you trust it."
        ) from error
    if isinstance(content, Mapping):
        content = content.get("model", content)
    if not isinstance(content, Mapping) or not all(isinstance(one, np.ndarray) for one in content.values()):
        raise CheckpointError(f"{file}: holds no named arrays.")
    return {str(name): torch.from_numpy(np.array(value)) for name, value in content.items()}


def _config_of(state: Mapping[str, Tensor], beside: Path) -> FrcnnConfig:
    config = CAFFE if _answers_twice(state) else DETECTRON2
    if config is DETECTRON2 and beside.is_file():
        config = read_port_config(beside)
    has_attributes = any(".box_predictor.cls_embed" in name for name in state)
    return config if has_attributes else replace(config, num_attributes=0)


def _answers_twice(state: Mapping[str, Tensor]) -> bool:
    """Whether the proposal network says two numbers for each anchor, which only the paper's own does."""
    answers, deltas = (state.get(f"{_RPN}.{name}.weight") for name in ("objectness_logits", "anchor_deltas"))
    return answers is not None and deltas is not None and 2 * len(answers) == len(deltas)
