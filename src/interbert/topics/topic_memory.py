"""What a model was taught of topics, as a file beside its weights: ``topics.safetensors``.

Plain arrays: images and texts as vectors in float16, the texts themselves as UTF-8, the calibration as JSON. Nothing
in it is run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from interbert.errors import CheckpointError, first_line, writing
from interbert.regions.schema import CaptionRow
from interbert.search.index_model import model_fingerprint
from interbert.topics.calibration import Calibration
from interbert.topics.examples import Examples
from interbert.topics.facets import Facets
from interbert.utils.bounded_files import json_value
from interbert.utils.extractor_weights import digest_of
from interbert.utils.files import atomic_write, replacing
from interbert.utils.stored_names import stored

FILE = "topics.safetensors"
LEFT_OUT = "topics_left_out.jsonl"
_FORMAT = "6"

_LEFT_OUT = {"image_id": "picture_id"}


@dataclass(frozen=True)
class LeftOut:
    """An image of a store that was not read, or without its catalogue's columns."""

    store: str
    row: int
    """Of the store."""
    image_id: str
    product_id: str
    reason: str

    @classmethod
    def of(cls, store: str, row: CaptionRow, reason: str) -> LeftOut:
        """A store's row."""
        return cls(store, row.row, row.image_id, row.product_id, reason)


@dataclass(frozen=True)
class TopicMemory:
    """Examples and calibration of a model."""

    examples: Examples
    calibration: Calibration
    fingerprint: str = ""
    """Identifies the file it was read from, or written to."""
    left_out: tuple[LeftOut, ...] = ()
    """When it was just learned: what of the stores it does not have."""


FileStamp = tuple[int, int, int]
"""Of a file: its place on the disk, its time and its size; another one when it was replaced."""


def file_stamp(path: Path) -> FileStamp | None:
    """Stamp of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def save_memory(memory: TopicMemory, model: str | Path) -> TopicMemory:
    """Write a model directory's file, whole or not at all.

    Returns:
        the memory with the file's fingerprint.

    Raises:
        StorageError: it cannot be written.
    """
    from safetensors.numpy import save_file

    one = memory.examples
    arrays: dict[str, NDArray[Any]] = {
        "images": one.images.astype(np.float16),
        "pooled": one.pooled.astype(np.float16),
        "vectors": one.vectors.astype(np.float16),
        "texts": _as_bytes(one.texts),
        "facets": _as_bytes(one.facets.texts),
        "facet_vectors": one.facets.vectors.astype(np.float16),
        "facet_starts": one.facets.members.indptr.astype(np.int64),
        "facet_members": one.facets.members.indices.astype(np.int32),
    }
    header = {
        "format": _FORMAT,
        "model": model_fingerprint(model),
        "fields": json.dumps(one.fields, ensure_ascii=False),
        "calibration": json.dumps(asdict(memory.calibration)),
    }
    path = Path(model) / FILE
    with replacing(path) as part:
        # safetensors writes the memory of an array as it lies, whatever its order is
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, part, header)
        fingerprint = digest_of(part)
    return replace(memory, fingerprint=fingerprint)


def list_left_out(listed: Sequence[LeftOut], model: str | Path) -> None:
    """Write ``topics_left_out.jsonl`` beside the memory, one image a line; no file when there is none.

    Raises:
        StorageError: it cannot be written.
    """
    path = Path(model) / LEFT_OUT
    if listed:
        atomic_write(
            path, "".join(json.dumps(stored(asdict(one), _LEFT_OUT), ensure_ascii=False) + "\n" for one in listed)
        )
        return
    with writing(path):
        path.unlink(missing_ok=True)


def load_memory(model: str | Path, fingerprint: str) -> TopicMemory | None:
    """What a model directory was taught of topics; None when it was never taught.

    Args:
        model: directory, or the file itself.
        fingerprint: of the model that will use it.

    Raises:
        CheckpointError: the file is damaged, or of another model.
    """
    path = Path(model) if Path(model).is_file() else Path(model) / FILE
    while (stamp := file_stamp(path)) is not None and path.is_file():
        memory = _load(path, fingerprint)
        if file_stamp(path) == stamp:  # else it was replaced while it was read
            return memory
    return None


def _load(path: Path, fingerprint: str) -> TopicMemory:
    from safetensors import SafetensorError, safe_open

    try:
        digest = digest_of(path)
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.get("format") != _FORMAT:
            raise CheckpointError(
                f"{path}: is of format {header.get('format')}; this version reads {_FORMAT}. Make it again with: "
                "interbert topics learn MODEL REGIONS"
            )
        images, pooled, vectors = (arrays[name].astype(np.float32) for name in ("images", "pooled", "vectors"))
        texts = _as_texts(arrays["texts"])
        fields = tuple(json_value(header["fields"]))
        examples = Examples(images, pooled, fields, vectors, texts, _facets(arrays, len(texts)))
        calibration = Calibration(**json_value(header["calibration"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        reason = first_line(error)
        raise CheckpointError(
            f"{path}: is damaged ({reason}). Make it again with: interbert topics learn MODEL REGIONS"
        ) from error
    _check(examples, path)
    if header["model"] != fingerprint:
        raise CheckpointError(
            f"{path}: belongs to another model (fingerprint {header['model']}, not {fingerprint}). Make it again with: "
            "interbert topics learn MODEL REGIONS"
        )
    return TopicMemory(examples, calibration, digest)


def _as_bytes(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Texts, a line each."""
    data = "".join(text.replace("\n", " ") + "\n" for text in texts).encode()
    return np.frombuffer(data, dtype=np.uint8).copy()


def _as_texts(data: NDArray[Any]) -> tuple[str, ...]:
    return tuple(data.tobytes().decode().split("\n")[:-1])


def _facets(arrays: dict[str, NDArray[Any]], examples: int) -> Facets:
    """Facets of a file.

    Raises:
        ValueError: their parts do not fit together.
    """
    texts = _as_texts(arrays["facets"])
    starts, members = arrays["facet_starts"], arrays["facet_members"]
    matrix = sparse.csr_matrix((np.ones(len(members), np.float32), members, starts), shape=(examples, len(texts)))
    matrix.check_format(full_check=True)
    return Facets(texts, arrays["facet_vectors"].astype(np.float32), matrix)


def _check(examples: Examples, path: Path) -> None:
    count, facets = len(examples.images), examples.facets
    sound = (
        examples.images.ndim == 2
        and count > 0
        and examples.pooled.shape == (count, examples.pooled.size // count)
        and examples.vectors.shape == (len(examples.fields), *examples.images.shape)
        and len(examples.texts) == count
        and facets.vectors.shape == (len(facets.texts), examples.images.shape[1])
        and all(np.isfinite(one).all() for one in (examples.images, examples.pooled, examples.vectors, facets.vectors))
    )
    if not sound:
        raise CheckpointError(
            f"{path}: its parts do not fit together. Make it again with: interbert topics learn MODEL REGIONS"
        )
