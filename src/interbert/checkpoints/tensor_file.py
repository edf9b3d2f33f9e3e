"""Read and write files of named tensors that others made, without ever running what is in them.

A ``.bin`` file is a pickle. It is read by torch's restricted reader (``weights_only=True``), which rebuilds tensors and
plain containers and refuses every other object, in the zip format and in the older ones.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from interbert.atomic_write import replacing
from interbert.errors import CheckpointError, UsageError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep the weights beside an optimizer's state."""


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Named tensors of a torch-saved state dict (``.bin``, ``.pt``, ``.pth``) or a ``.safetensors`` file.

    A state dict inside a training checkpoint (key ``state_dict``, ``model_state_dict`` or ``model``) is found.

    Raises:
        CheckpointError: the file is missing, truncated, no state dict, or holds objects that could run code.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{file}: there is no such file.")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, which are refused below
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file}: was refused. It is damaged, or holds objects other than tensors, which may run code when read."
        ) from error
    except Exception as error:  # the restricted reader fails on what is no pickle in every way there is
        if "weights_only" in str(error):
            raise CheckpointError(
                f"{file}: was refused. Its old tar format cannot be read without running code; save it again with a "
                "newer torch, on a machine that trusts it."
            ) from error
        raise CheckpointError(f"{file}: is truncated or is no checkpoint. Copy or download it again.") from error
    return _state_dict(content, file)


def _state_dict(content: object, file: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
                break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{file}: holds no named tensors, but {type(content).__name__}.")
    others = [str(name) for name, value in content.items() if not _is_plain(value)]
    if others:
        raise CheckpointError(f"{file}: {listed(others)} {'is' if len(others) == 1 else 'are'} no plain tensor.")
    return {str(name): tensor for name, tensor in content.items()}


def _is_plain(value: object) -> bool:
    """Whether this is a tensor of real numbers that are all there."""
    if not isinstance(value, Tensor):
        return False
    return value.layout == torch.strided and not value.is_meta and not value.is_complex() and not value.is_quantized


def write_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Write a torch-saved state dict; the file appears whole or not at all.

    Raises:
        UsageError: the path is a folder, or its folder does not exist.
        StorageError: the disk is full or not writable.
    """
    file = Path(path)
    require_file_place(file)
    with replacing(file) as part, part.open("wb") as stream:
        torch.save(dict(tensors), stream)


def require_file_place(file: Path) -> None:
    """Check that a file can be made at a path.

    Raises:
        UsageError: the path is a folder, or its folder does not exist.
    """
    if file.is_dir() or not file.resolve().parent.is_dir():
        problem = "is a folder" if file.is_dir() else "its folder does not exist"
        raise UsageError(f"{file}: {problem}. Name a file in a folder that exists.")


def listed(names: list[str], most: int = 8) -> str:
    """Names as a list that stays readable."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
