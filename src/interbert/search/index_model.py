"""The model of an index: its own copy, or the directory it was built with if that still holds the same model."""

from __future__ import annotations

from pathlib import Path

from interbert.errors import CheckpointError, VectorIndexError
from interbert.search.index import ProductIndex
from interbert.search.model_files import model_fingerprint
from interbert.search.query_encoder import ProductEncoder


def model_folder(path: str | Path, fingerprint: str) -> Path:
    """Where a local index keeps its model."""
    return Path(path) / "models" / fingerprint


def index_encoder(index: ProductIndex, model: str | Path | None = None, bf16: bool | None = None) -> ProductEncoder:
    """Load the model of an index.

    Args:
        index: opened.
        model: where to look for it instead of the index's own copy.
        bf16: as of :class:`~interbert.search.query_encoder.ProductEncoder`.

    Raises:
        CheckpointError: it is another model, or missing.
        VectorIndexError: the index does not say its sizes.
    """
    manifest = index.manifest
    own = model_folder(index.path, manifest.model_fingerprint)
    if model is None and "://" not in index.path and own.is_dir():
        return _fitting(ProductEncoder.load(own, bf16=bf16), index)
    directory = str(model or manifest.model)
    if not Path(directory).is_dir():
        raise CheckpointError(f"{directory}: the model of {index.path} is not there. Say where it is with --model.")
    if model_fingerprint(directory) != manifest.model_fingerprint:
        raise CheckpointError(
            f"{directory}: is not the model that {index.path} was built with ({manifest.model}, fingerprint "
            f"{manifest.model_fingerprint}). Leave --model out, or build the index anew: interbert index build "
            f"{directory} {manifest.source} {index.path} --rebuild"
        )
    return _fitting(ProductEncoder.load(directory, bf16=bf16), index)


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
