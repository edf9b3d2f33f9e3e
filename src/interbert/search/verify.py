"""Is an index whole? Every row is read; a sample is encoded again and searched both ways.

Shapes: n images, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import VectorIndexError
from interbert.search.index import ProductIndex
from interbert.search.query_encoder import ProductEncoder
from interbert.search.vectors import decode_tokens
from interbert.utils.terminal import progress_bar

Float32 = NDArray[np.float32]

_BATCH = 1024
_SAMPLE = 64
_QUERIES = 32
_AT = 100
_SAME_COSINE = 0.99
_SAME_COSINE_MIRRORED = 0.7
"""Stored regions are those of the image as it is, and its mirror image counts half of its vector."""


@dataclass
class Verification:
    """What was found."""

    images: int = 0
    products: int = 0
    problems: list[str] = field(default_factory=list)
    """In words, with the image; empty when the index is whole."""
    cosine: float | None = None
    """Least cosine of a sampled image's vector with that of its stored regions; None for an empty index."""
    recall: float | None = None
    """recall@100 of approximate against exact search, for titles of the catalogue; None where search is exact."""


def verify_index(index: ProductIndex, encoder: ProductEncoder, progress: bool = False) -> Verification:
    """Read every row, encode a sample of the stored regions, and compare approximate with exact search.

    Raises:
        VectorIndexError: the index cannot be read at all.
    """
    found = Verification()
    ids: set[str] = set()
    products: set[str] = set()
    with progress_bar("verifying", len(index), "images", progress) as advance:
        for batch in index.scan(["picture_id", "product_id", "vector", "regions"], _BATCH):
            vectors = index.batch_vectors(batch["vector"])
            for place, name in enumerate(batch["picture_id"].to_pylist()):
                found.problems += _row_problems(index, name, vectors[place], batch["regions"][place].as_py())
                if name in ids:
                    found.problems.append(f"image {name} is there twice")
                ids.add(name)
            products |= set(batch["product_id"].to_pylist())
            advance(len(batch))
    found.images, found.products = len(ids), len(products)
    if ids and not found.problems:
        sample = np.random.default_rng(0).permutation(sorted(ids))[:_SAMPLE].tolist()
        found.cosine = _least_cosine(index, encoder, sample)
        if found.cosine < (_SAME_COSINE_MIRRORED if index.manifest.mirrored else _SAME_COSINE):
            found.problems.append(f"vectors and regions are not of one model (cosine {found.cosine:.3f})")
        found.recall = approximate_recall(index, encoder, sample[:_QUERIES])
    return found


def approximate_recall(index: ProductIndex, encoder: ProductEncoder, ids: list[str]) -> float | None:
    """recall@100 of approximate against exact search for the texts of these images; None where search is exact."""
    texts = [hit.texts[0] for hit in index.hits(ids) if hit.texts]
    if not index.indexed_rows() or not texts:
        return None
    shares = []
    for vector in encoder.texts(texts)[1]:
        exact = {hit.id for hit in index.vector_search(vector, _AT, exact=True, every_image=True)}
        shares.append(len(exact & {hit.id for hit in index.vector_search(vector, _AT, every_image=True)}) / len(exact))
    return float(np.mean(shares))


def _row_problems(index: ProductIndex, name: str, vector: Float32, regions: Any) -> list[str]:
    problems = []
    if not np.isfinite(vector).all():
        problems.append(f"image {name}: its vector holds NaN or infinite values")
    try:
        tokens = decode_tokens(
            regions or b"", index.manifest.hidden_size, index.manifest.token_quantisation, f"image {name}"
        )
        if not np.isfinite(tokens).all():
            problems.append(f"image {name}: its regions hold NaN or infinite values")
    except VectorIndexError as error:
        problems.append(str(error))
    return problems


def _least_cosine(index: ProductIndex, encoder: ProductEncoder, ids: list[str]) -> float:
    """Least cosine of stored vectors with those of the stored regions."""
    again = encoder.vectors_of_tokens(index.regions(ids))
    stored = index.vectors(ids)[:, : again.shape[1]]
    norms = np.linalg.norm(again, axis=1) * np.linalg.norm(stored, axis=1)
    return float(((again * stored).sum(axis=1) / norms.clip(min=1e-9)).min())


def count_products(index: ProductIndex) -> int:
    """Number of products."""
    return len({name for batch in index.scan(["product_id"], 65_536) for name in batch["product_id"].to_pylist()})


def bytes_per_image(index: ProductIndex, sample: int = 256) -> dict[str, float]:
    """Mean bytes of an image's parts before the database compresses them, by the first images."""
    with index.reading():
        parts = index.table.search().select(["vector", "regions", "thumbnail", "fulltext"]).limit(sample).to_arrow()
    names = {"vector": "vector", "regions": "regions", "thumbnail": "thumbnail", "fulltext": "texts"}
    return {shown: parts[name].nbytes / max(len(parts), 1) for name, shown in names.items()}
