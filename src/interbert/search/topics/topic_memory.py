"""What a model knows of topics, as a file beside its weights: ``topics.safetensors``.

Plain arrays: pictures and texts as vectors in float16, the texts themselves as UTF-8, the calibration as JSON. Nothing
in it is run.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError, writing
from interbert.search.model_files import model_fingerprint
from interbert.search.topics.calibration import Calibration
from interbert.search.topics.examples import Examples

FILE = "topics.safetensors"
_FORMAT = "1"


@dataclass(frozen=True)
class TopicMemory:
    """Examples and calibration of a model."""

    examples: Examples
    calibration: Calibration
    fingerprint: str = ""
    """Identifies the file it was read from."""


def save_memory(memory: TopicMemory, model: str | Path) -> None:
    """Write a model directory's file, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    from safetensors.numpy import save_file

    one = memory.examples
    data = "\n".join(text.replace("\n", " ") for text in one.texts).encode()
    arrays: dict[str, NDArray[Any]] = {
        "pictures": one.pictures.astype(np.float16),
        "vectors": one.vectors.astype(np.float16),
        "sentences": one.sentences.astype(np.float16),
        "neighbours": one.neighbours,
        "texts": np.frombuffer(data, dtype=np.uint8).copy(),
    }
    header = {
        "format": _FORMAT,
        "model": model_fingerprint(model),
        "fields": json.dumps(one.fields, ensure_ascii=False),
        "calibration": json.dumps(asdict(memory.calibration)),
    }
    path = Path(model) / FILE
    part = path.with_suffix(".part")
    with writing(path):
        try:
            save_file(arrays, part, header)
            part.chmod(0o644)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def load_memory(model: str | Path, fingerprint: str) -> TopicMemory | None:
    """What a model directory knows of topics; None when it was never taught.

    Args:
        model: directory, or the file itself.
        fingerprint: of the model that will use it.

    Raises:
        CheckpointError: the file is damaged, or of another model.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(model) if Path(model).is_file() else Path(model) / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.get("format") != _FORMAT:
            raise CheckpointError(f"{path}: is of format {header.get('format')}; this version reads {_FORMAT}.")
        texts = arrays["texts"].tobytes().decode().split("\n")
        examples = Examples(
            arrays["pictures"].astype(np.float32),
            tuple(json.loads(header["fields"])),
            arrays["vectors"].astype(np.float32),
            arrays["sentences"].astype(np.float32),
            tuple(texts),
            arrays["neighbours"],
        )
        calibration = Calibration(**json.loads(header["calibration"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointError(
            f"{path}: is damaged ({reason}). Make it again with: interbert topics learn MODEL REGIONS"
        ) from error
    _check(examples, path)
    if header["model"] != fingerprint:
        raise CheckpointError(
            f"{path}: belongs to another model (fingerprint {header['model']}, not {fingerprint}). Make it again with: "
            "interbert topics learn MODEL REGIONS"
        )
    with path.open("rb") as data:
        return TopicMemory(examples, calibration, hashlib.file_digest(data, "sha256").hexdigest()[:16])


def _check(examples: Examples, path: Path) -> None:
    count = len(examples.pictures)
    sound = (
        examples.pictures.ndim == 2
        and examples.vectors.shape == (len(examples.fields), *examples.pictures.shape)
        and examples.sentences.shape[:2] == (len(examples.fields), count)
        and len(examples.texts) == count
        and examples.neighbours.shape[0] == count
        and 0 <= int(examples.neighbours.min(initial=0)) <= int(examples.neighbours.max(initial=0)) < max(count, 1)
        and all(np.isfinite(one).all() for one in (examples.pictures, examples.vectors, examples.sentences))
    )
    if not sound:
        raise CheckpointError(
            f"{path}: its parts do not fit together. Make it again with: interbert topics learn MODEL REGIONS"
        )
