"""Model directories that ask for more than their own files: code of their own, or weights elsewhere.

transformers asks on the terminal whether to run a directory's code, and a person in a hurry says yes; some settings it
passes over, and loads something else than was saved. Nothing of a directory is ever run here: it is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interbert.bounded_files import MAX_FILE, read_json
from interbert.errors import CheckpointError

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
