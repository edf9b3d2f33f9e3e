"""Check that an index is whole: every row is read, a sample is encoded again, approximate search is held against exact.

interbert index verify indexes/shop
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert index verify``."""

    index: str
    """Folder or URI of the index."""
    model: str | None = None
    """Where the model is, for an index in a bucket."""


def run(options: Options) -> None:
    """Verify; what is wrong is listed, and the last line says how much there is."""
    from interbert.errors import VectorIndexError
    from interbert.search.index import ProductIndex
    from interbert.search.index_model import index_encoder
    from interbert.search.verify import verify_index

    index = ProductIndex.open(options.index)
    found = verify_index(index, index_encoder(index, options.model), progress=True)
    if found.cosine is not None:
        say(f"stored regions give the stored vectors: cosine {found.cosine:.4f} or more")
    if found.recall is not None:
        say(f"recall@100 of approximate against exact search: {found.recall:.3f}")
    for problem in found.problems[:20]:
        say(problem)
    if found.problems:
        raise VectorIndexError(
            f"{options.index}: {len(found.problems)} problems in {found.images} images. Remove and add the "
            "products that are named, or build the index anew with --rebuild."
        )
    say(f"{options.index}: whole, {found.products} products, {found.images} images")
