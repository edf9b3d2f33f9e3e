"""A detector with its weights, from a Hub repository, a folder or a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from interbert.checkpoints.tensor_file import read_tensors
from interbert.errors import CheckpointError
from interbert.extraction.frcnn.config import CAFFE, DETECTRON2, FrcnnConfig, read_port_config
from interbert.extraction.frcnn.keys import translate
from interbert.extraction.frcnn.model import Frcnn, empty_frcnn
from interbert.extraction.weights import files_sha256, find_weights, weight_files
from interbert.regions.importers.pickles import UnsafePickleError, loads

OPTION = "--frcnn.weights"
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
