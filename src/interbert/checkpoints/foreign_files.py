"""Files of models that others made: never run, and never leading out of their folder."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from interbert.errors import CheckpointError, UsageError
from interbert.utils.bounded_files import MAX_FILE, read_json
from interbert.utils.files import replacing

_SETTINGS = (
    "config.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "image_processor_config.json",
    "feature_extractor_config.json",
    "generation_config.json",
    "audio_tokenizer_config.json",
)
_ADAPTER = "adapter_config.json"
"""With peft, transformers loads the model that it names in the place of the directory's own."""
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_VOCABULARIES = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"),
    *("chat_template.jinja", "chat_template.json"),
)
_LARGEST = MAX_FILE
"""Bytes of a settings file or a vocabulary; real ones have some kilobytes, an index of shards or tokens megabytes."""


def require_own_files(directory: str | Path) -> None:
    """Refuse a local model directory that needs code of its own, or names weights outside itself; others pass.

    Code is asked for by ``auto_map``, by a tokenizer class that transformers does not have, and by an attention that
    is a kernel of the Hub (``owner/name``). Other places are named by an index of shards, a list of tokenizers, an
    audio tokenizer and an adapter's base. A Hub id passes; its files are loaded with ``trust_remote_code=False``.

    Raises:
        CheckpointError: it does, or a file of settings or tokens is too large, or nested too deeply.
    """
    folder = Path(directory)
    if not folder.is_dir():
        return
    if (folder / _ADAPTER).exists():
        raise CheckpointError(
            f"{folder / _ADAPTER}: is an adapter of another model, which is loaded from elsewhere. Merge the two with "
            "peft's merge_and_unload, and give the result."
        )
    for name in _VOCABULARIES:
        _require_small(folder / name)
    for name in _SETTINGS:
        settings = _read(folder / name)
        if (name.startswith("audio_tokenizer") and settings) or settings.get("audio_tokenizer"):
            raise CheckpointError(
                f"{folder / name}: names an audio tokenizer, which is a model from elsewhere. Leave it out: nothing "
                "here hears."
            )
        _require_plain(folder / name, settings.get("fast_tokenizer_files"))
        for wanted in _code(settings):
            raise CheckpointError(
                f"{folder / name}: asks for code of its own ({wanted[:120]}), which is never run. Give a model that "
                "transformers loads without it."
            )
    for name in _INDEXES:
        placed = _read(folder / name).get("weight_map", {})
        _require_plain(folder / name, list(placed.values()) if isinstance(placed, Mapping) else None)


def _require_plain(settings: Path, files: Any) -> None:
    """Refuse names of files that lead out of the folder of the settings in which they stand."""
    for file in files if isinstance(files, list) else [] if files is None else [files]:
        if not isinstance(file, str) or file in ("", ".", "..") or "/" in file or "\\" in file:
            raise CheckpointError(
                f"{settings}: names a file outside its folder ({str(file)[:120]}). Put the model's files into one "
                "folder and name them alone."
            )


def _read(file: Path) -> Mapping[str, Any]:
    """A settings file's object; empty where there is none.

    Raises:
        CheckpointError: the file is too large, or goes beyond another limit.
    """
    if not file.is_file():
        return {}
    _require_small(file)
    try:
        fields = read_json(file)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}  # nothing can be asked for in it; who loads it says that it is damaged
    except ValueError as error:
        if isinstance(error.__cause__, RecursionError):
            return {}  # nor can the library read it, which is called with more of the stack in use
        raise CheckpointError(f"{file}: {error}.") from error
    return fields if isinstance(fields, dict) else {}


def _require_small(file: Path) -> None:
    size = file.stat().st_size if file.is_file() else 0
    if size > _LARGEST:
        raise CheckpointError(f"{file}: has {size:,} bytes; settings of more than {_LARGEST:,} are not read.")


def _code(value: Any, depth: int = 0) -> Iterator[str]:
    """What settings ask for that only running code could give, in words; parts of a processor are settings too."""
    if isinstance(value, list) and depth < 20:
        for one in value:
            yield from _code(one, depth + 1)
    if not isinstance(value, Mapping) or depth >= 20:
        return
    for name, one in value.items():
        if name in ("auto_map", "custom_pipelines", "custom_generate") and one:
            yield f"{name}: {json.dumps(one, ensure_ascii=False)}"
        elif name == "tokenizer_class" and isinstance(one, str) and not _known(one):
            yield f"{name}: {one}"
        elif name.endswith("attn_implementation") and "/" in json.dumps(one):
            yield f"{name}: {json.dumps(one, ensure_ascii=False)}"
        else:
            yield from _code(one, depth + 1)


def _known(tokenizer: str) -> bool:
    """Whether transformers has a tokenizer of this name, or was told of one."""
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    return tokenizer_class_from_name(tokenizer) is not None


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
