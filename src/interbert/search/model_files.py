"""Which model an index belongs to: its files' fingerprint, and the copy that an index keeps."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from interbert.checkpoints.directory import require_interbert, whole_folder
from interbert.errors import CheckpointError
from interbert.extractor_weights import WEIGHTS_FILE

_PATTERNS = (
    *("config.json", "model*.safetensors", "model.safetensors.index.json", WEIGHTS_FILE, "tokenizer*", "vocab*"),
    *("special_tokens_map.json", "processor_config.json", "preprocessor_config.json", "chat_template*"),
)


_BESIDE = ("topics.safetensors",)
"""Files that an index keeps too, but that do not change what an image's vector is."""


def model_files(directory: Path) -> list[Path]:
    """Files that decide what a model directory computes, and nothing of how it was trained."""
    return sorted({file for pattern in _PATTERNS for file in directory.glob(pattern) if file.is_file()})


def model_fingerprint(directory: str | Path) -> str:
    """First 16 hex digits of the SHA-256 of a model directory's files.

    Raises:
        CheckpointError: there is no InterBERT, or it is not on this machine.
    """
    require_interbert(directory)
    folder = Path(directory)
    if not folder.is_dir():
        raise CheckpointError(f"{directory}: is no folder on this machine. Download the model first.")
    whole = hashlib.sha256()
    for file in model_files(folder):
        whole.update(file.name.encode())
        with file.open("rb") as data:
            whole.update(hashlib.file_digest(data, "sha256").digest())
    return whole.hexdigest()[:16]


def keep_model(directory: str | Path, folder: Path) -> None:
    """Copy what the model needs into ``folder``; nothing when it is there already.

    Raises:
        StorageError: it cannot be written.
    """
    if folder.is_dir():
        return
    with whole_folder(folder) as part:
        beside = [Path(directory, name) for name in _BESIDE if Path(directory, name).is_file()]
        for file in [*model_files(Path(directory)), *beside]:
            shutil.copyfile(file, part / file.name)
