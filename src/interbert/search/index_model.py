"""Which model an index belongs to: its files' fingerprint, and the copy that an index keeps."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.errors import CheckpointError, VectorIndexError
from interbert.search.bucket_model import cached_folder, download_model, forget_models, upload_model
from interbert.search.exported_encoder import exported_encoder, has_gpu
from interbert.search.index import ProductIndex
from interbert.search.query_encoder import ProductEncoder
from interbert.utils.extractor_weights import WEIGHTS_FILE
from interbert.utils.files import file_sha256

if TYPE_CHECKING:
    from interbert.search.joint import JointRuntime

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
    from interbert.checkpoints.directory import require_interbert

    require_interbert(directory)
    folder = Path(directory)
    if not folder.is_dir():
        raise CheckpointError(f"{directory}: is no folder on this machine. Download the model first.")
    whole = hashlib.sha256()
    for file in model_files(folder):
        whole.update(file.name.encode())
        whole.update(bytes.fromhex(file_sha256(file)))
    return whole.hexdigest()[:16]


def keep_model(directory: str | Path, path: str | Path, fingerprint: str) -> None:
    """Copy what the model needs into an index; nothing when it is there already.

    Raises:
        StorageError: it cannot be written.
    """
    from interbert.checkpoints.directory import whole_folder

    beside = [Path(directory, name) for name in _BESIDE if Path(directory, name).is_file()]
    files = [*model_files(Path(directory)), *beside]
    folder = model_folder(path, fingerprint)
    if "://" in str(path):
        upload_model(files, str(path), fingerprint)
    elif not folder.is_dir():
        with whole_folder(folder) as part:
            for file in files:
                shutil.copyfile(file, part / file.name)


def drop_models(path: str | Path, kept: set[str]) -> None:
    """Remove the models of an index but those of these fingerprints."""
    if "://" in str(path):
        forget_models(str(path), kept)
        return
    for folder in model_folder(path, "").glob("*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def model_folder(path: str | Path, fingerprint: str) -> Path:
    """Where a local index keeps its model, or this machine that of an index in a bucket."""
    return cached_folder(fingerprint) if "://" in str(path) else Path(path) / "models" / fingerprint


def own_model(path: str, fingerprint: str) -> Path | None:
    """The folder of an index's copy of its model; None without one. What a cache holds is compared."""
    own = model_folder(path, fingerprint)
    if "://" not in path:
        return own if own.is_dir() else None
    if own.is_dir():
        try:
            if model_fingerprint(own) == fingerprint:
                return own
        except CheckpointError:
            pass
        shutil.rmtree(own, ignore_errors=True)
    found = download_model(path, fingerprint)
    if found is not None and model_fingerprint(found) != fingerprint:
        raise CheckpointError(
            f"{path}: its copy of the model is damaged. Build the index anew, or say where the model is with --model."
        )
    return found


def index_encoder(
    index: ProductIndex,
    model: str | Path | None = None,
    bf16: bool | None = None,
    joint_runtime: JointRuntime | None = None,
) -> ProductEncoder:
    """Load the model of an index; where it keeps an exported one, and torch is not asked for, that without torch.

    Args:
        index: opened.
        model: where to look for it instead of the index's own copy.
        bf16, joint_runtime: as of :meth:`interbert.SearchEngine.open`.

    Raises:
        CheckpointError: it is another model, or missing.
        VectorIndexError: the index does not say its sizes.
    """
    manifest = index.manifest
    own = None if model is not None else own_model(index.path, manifest.model_fingerprint)
    if own is not None:
        exported = exported_encoder(own, bf16, joint_runtime, on_cpu=not has_gpu())
        if exported is not None:
            return _fitting(exported, index)
        return _fitting(ProductEncoder.load(own, bf16=bf16, joint_runtime=joint_runtime or "torch"), index)
    directory = str(model or manifest.model)
    if not Path(directory).is_dir():
        raise CheckpointError(f"{directory}: the model of {index.path} is not there. Say where it is with --model.")
    if model_fingerprint(directory) != manifest.model_fingerprint:
        raise CheckpointError(
            f"{directory}: is not the model that {index.path} was built with ({manifest.model}, fingerprint "
            f"{manifest.model_fingerprint}). Leave --model out, or build the index anew: interbert index build "
            f"{directory} {manifest.source} {index.path} --rebuild"
        )
    return _fitting(ProductEncoder.load(directory, bf16=bf16, joint_runtime=joint_runtime or "torch"), index)


def _fitting(encoder: ProductEncoder, index: ProductIndex) -> ProductEncoder:
    """The model, when its sizes are those that the index says."""
    manifest = index.manifest
    sizes, said = (encoder.vector_size, encoder.hidden_size), (manifest.vector_size, manifest.hidden_size)
    if sizes != said:
        raise VectorIndexError(
            f"{index.path}: says that its model has vectors of {said[0]} numbers and hidden size {said[1]}, but they "
            f"are {sizes[0]} and {sizes[1]}. It is damaged: build the index anew in another folder."
        )
    return encoder


def model_has_changed(index: ProductIndex) -> bool:
    """Whether the directory that the index was built with now holds another model."""
    try:
        return model_fingerprint(index.manifest.model) != index.manifest.model_fingerprint
    except CheckpointError:
        return False  # it is not there any more; the index has its own copy
