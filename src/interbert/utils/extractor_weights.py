"""Weights of a region extractor that were trained here and are in no package and on no hub.

They travel as one file: beside the store they made, and inside every model directory that reads such regions. An
extractor's settings name them by digest, so that a wrong or damaged file is never used.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from interbert.errors import ConfigError, writing
from interbert.utils.files import file_sha256, replacing

WEIGHTS_FILE = "region_extractor.safetensors"
"""Name of the file in a store's folder, a model directory, and the folder that training wrote."""


def digest_of(file: str | Path) -> str:
    """First 16 hex digits of the SHA-256 of a file."""
    return file_sha256(file)[:16]


def find_weights(folder: str | Path | None, digest: str) -> Path:
    """The file with this digest in ``folder``.

    Raises:
        ConfigError: it is not there, or is another one.
    """
    file = None if folder is None else Path(folder) / WEIGHTS_FILE
    if file is None or not file.is_file():
        raise ConfigError(
            f"{folder or WEIGHTS_FILE}: the extractor's trained weights ({digest}) are not here. Copy "
            f"{WEIGHTS_FILE} from the store or model directory that was made with them."
        )
    if digest_of(file) != digest:
        raise ConfigError(
            f"{file}: is damaged, or holds other weights than {digest}. Copy it again from the store or model "
            "directory that was made with them."
        )
    return file


def copy_weights(file: Path, folder: str | Path) -> None:
    """Copy the file into a folder, whole or not at all; nothing when it lies there already.

    Raises:
        ConfigError: the folder is a URI, where it cannot be put beside the rest.
        StorageError: it cannot be written.
    """
    if "://" in str(folder):
        raise ConfigError(f"{folder}: trained extractor weights travel in local folders only. Extract into a folder.")
    target = Path(folder) / WEIGHTS_FILE
    if target.exists() and digest_of(target) == digest_of(file):
        return
    with writing(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        shutil.copyfile(file, part)
