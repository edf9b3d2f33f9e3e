"""A detector with its weights, from a Hub repository, a folder or a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from interbert.checkpoints.tensor_file import read_tensors
from interbert.extraction.frcnn.config import CAFFE, DETECTRON2, FrcnnConfig, read_port_config
from interbert.extraction.frcnn.keys import find_dialect, translate
from interbert.extraction.frcnn.model import Frcnn, empty_frcnn
from interbert.extraction.weights import files_sha256, find_weights, weight_files

OPTION = "--frcnn.weights"
_CONFIG = "config.yaml"


@dataclass(frozen=True)
class LoadedFrcnn:
    """A detector and what its weights are."""

    model: Frcnn
    weights_from: str
    """Where they were found, in words that find them again."""
    weights_sha256: str


def load_frcnn(where: str) -> LoadedFrcnn:
    """The detector with its weights.

    A ``config.yaml`` beside the weights is followed. Without one the sizes are bottom-up attention's, and the weights'
    own names say which of the two conventions they were trained with.

    Raises:
        ConfigError: there are no weights there.
        CheckpointError: they are of another network, or damaged.
    """
    path, found_at = find_weights(where, OPTION)
    files = weight_files(path)
    state: dict[str, Tensor] = {}
    for file in files:
        state |= read_tensors(file)
    beside = (path if path.is_dir() else path.parent) / _CONFIG
    config = _config_of(state, beside)
    model = empty_frcnn(config)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    translated = translate(state, shapes, str(files[0] if len(files) == 1 else path))
    model.load_state_dict({name: value.float() for name, value in translated.items()}, assign=True)
    return LoadedFrcnn(model.requires_grad_(False), found_at, files_sha256(files))


def _config_of(state: dict[str, Tensor], beside: Path) -> FrcnnConfig:
    dialect = find_dialect(state)
    if dialect == "caffe":
        config = CAFFE
    else:
        config = read_port_config(beside) if beside.is_file() else DETECTRON2
    if not any(".class_vectors." in name or "cls_embed" in name for name in state):
        config = replace(config, num_attributes=0)
    return config
