"""Search an index or a source: vectors and full text find candidates, the joint model reranks, near-duplicates join.

Shapes: n candidates, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from interbert.errors import UsageError
from interbert.search.full_text import Words
from interbert.search.hits import Hit, Index, one_per_product, page_of, reciprocal_ranks, standardised
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.query_encoder import ProductEncoder
from interbert.utils.deprecation import renamed_arguments

if TYPE_CHECKING:
    from PIL import Image

    from interbert import TopicRecommender
    from interbert.extraction.sources import ImageSource

Float32 = NDArray[np.float32]
Progress = Callable[[int], None]

CANDIDATES = 32
DUPLICATES = 0.995
_WIDENINGS = 2
"""So often four times as many candidates are recalled where near-duplicates leave fewer results than asked for."""


class SearchEngine:
    """Images that can be searched, in an index or in memory, and their model.

    Example::

        engine = SearchEngine.open("indexes/shop")
        for result in engine.search("red summer dress", where="price < 50", top_k=5):
            print(result.rank, result.product_id, result.texts)

    Args:
        index: opened.
        encoder: the index's model.
    """

    def __init__(self, index: Index, encoder: ProductEncoder) -> None:
        self.index = index
        self.encoder = encoder
        self._now = (index.pinned(), encoder)
        self._recommender: TopicRecommender | None = None

    @classmethod
    def open(cls, index: str | Path, model: str | Path | None = None, bf16: bool | None = None) -> SearchEngine:
        """Open an index with its model.

        Args:
            index: folder or URI.
            model: where the model is, for an index in a bucket; a local index has its own copy.
            bf16: score in bf16, which leaves probabilities about two digits; None does where the device has it, False
                gives the same on every machine.

        Raises:
            VectorIndexError: the index is missing, unfinished or damaged.
            CheckpointError: ``model`` is not the model of the index.
        """
        opened = ProductIndex.open(index)
        return cls(opened, index_encoder(opened, model, bf16))

    @classmethod
    def of_source(
        cls,
        model: str | Path,
        source: ImageSource,
        regions: str | None = None,
        bf16: bool | None = None,
        progress: bool = False,
    ) -> SearchEngine:
        """Encode the images of a source in memory.

        Filters, full text and topic pages need an index.

        Args:
            model: model directory; one that cannot recall ranks jointly, so with as many candidates as images.
            source, regions, progress: as in :meth:`interbert.search.source_index.SourceIndex.of`.
            bf16: as in :meth:`open`.

        Raises:
            CheckpointError: the model is missing, damaged or no retrieval model.
            SourceError: no image can be used.
            StoreError: ``regions`` was made by another extractor.
        """
        from interbert.search.source_index import SourceIndex

        encoder = ProductEncoder.load(model, bf16=bf16)
        return cls(SourceIndex.of(source, encoder, regions, progress), encoder)

    @renamed_arguments(titles="full_text")
    def search(
        self,
        text: str | None = None,
        image: Image.Image | bytes | str | Path | None = None,
        *,
        where: str | None = None,
        top_k: int = 10,
        candidates: int = CANDIDATES,
        rerank: bool = True,
        full_text: bool = True,
        image_weight: float = 0.5,
        duplicates: float | None = DUPLICATES,
        synonyms: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> list[Hit]:
        """The best products for a text, an image, or both.

        Args:
            text: what the image should show.
            image: an image that results should look like.
            where: a filter, such as ``price < 50 and colour = 'black'`` (:mod:`interbert.search.filters`).
            top_k: how many results.
            candidates: products recalled for the joint model; at least ``2 * top_k`` are.
            rerank: score candidates by the joint model; without, recall's order stays.
            full_text: let full text over the catalogue's titles find candidates and count (reciprocal rank fusion).
            image_weight: with text and image, what the image's likeness counts beside the text's match, 0 to 1.
            duplicates: products whose images' vectors have this cosine or more are one result; None keeps all.
            synonyms: further wordings that full text looks for, as :class:`~interbert.search.rewriting.QueryRewriter`
                has them.
            progress: told how many candidates were scored jointly.

        Raises:
            UsageError: neither text nor image, an empty text, or one without a word that the model knows; a filter,
                where there is no index.
            CheckpointError: vectors are to be compared, but the model has none.
            FilterError: the filter is wrong at a character that is named.
            ImageError: the image is missing or unreadable.
            VectorIndexError: the index is damaged.
        """
        if text is None and image is None:
            raise UsageError("search: give a text, an image, or both.")
        if top_k < 1:
            raise UsageError(f"search: top_k must be at least 1, not {top_k}.")
        if not 0 <= image_weight <= 1:
            raise UsageError(f"search: image_weight must be between 0 and 1, not {image_weight}.")
        index, encoder = self.refresh()
        wanted = max(candidates, 2 * top_k)
        if image is not None or not rerank or wanted < len(index):
            encoder.require_recall()
        likeness = None if image is None else encoder.image_vector(image, index.mirrored)
        query = None if text is None else encoder.texts([text])
        for _ in range(1 + _WIDENINGS):
            if query is None:
                assert likeness is not None
                hits = index.vector_search(likeness, wanted, where)
                order, probability = np.array([hit.score for hit in hits]), None
            else:
                words = Words(str(text), tuple(synonyms))
                by_title = index.full_text_search(words, wanted, where, tokens=rerank) if full_text else []
                found = list(by_title)
                for vector in (query[1][0], likeness):
                    found += [] if vector is None else index.vector_search(vector, wanted, where, tokens=rerank)
                hits = one_per_product(found, query[1][0])
                order, probability = _ordered(encoder, query, likeness, hits, by_title, rerank, image_weight, progress)
            results = page_of(hits, order, probability, top_k, duplicates, encoder.direction_size)
            if len(results) >= top_k or len(hits) < wanted or wanted >= len(index):
                break
            wanted *= 4  # near-duplicates took the places of other products
        return results

    def recommend(self, topic: str | Sequence[str], **options: Any) -> list[Hit]:
        """The page of a topic; :meth:`interbert.TopicRecommender.recommend` replaces it."""
        from interbert import TopicRecommender

        warnings.warn("SearchEngine.recommend is TopicRecommender(engine).recommend now.", DeprecationWarning, 2)
        if self._recommender is None:
            self._recommender = TopicRecommender(self)
        return self._recommender.recommend(topic, **options)

    def refresh(self) -> tuple[Index, ProductEncoder]:
        """Use a rebuilt index, and its model, from now on; searches do this by themselves.

        Returns:
            the index as it is now, which stays with its build, and the model of that build.
        """
        newest, (index, encoder) = self.index.pinned(), self._now
        if (
            isinstance(newest, ProductIndex)
            and isinstance(index, ProductIndex)
            and newest.manifest.model_fingerprint != index.manifest.model_fingerprint
        ):
            encoder = index_encoder(newest, bf16=encoder.bf16)
        self._now, self.encoder = (newest, encoder), encoder  # one step: other threads may search meanwhile
        return newest, encoder

    def joint(self, texts: Sequence[Sequence[int]], hits: Sequence[Hit], recalled: Float32) -> Float32:
        """Log-odds of a match [texts, n] of token ids and hits: joint pass and recall, as the model mixes them.

        Args:
            texts: token ids.
            hits: their regions are read from the index where they do not bring them along.
            recalled: inner products of vectors [texts, n].

        Raises:
            VectorIndexError: a hit is not in the index any more.
        """
        absent = [hit.id for hit in hits if hit.tokens is None]
        read = dict(zip(absent, self.index.regions(absent), strict=True))
        return self.encoder.joint(texts, [read[hit.id] if hit.tokens is None else hit.tokens for hit in hits], recalled)


def _ordered(
    encoder: ProductEncoder,
    query: tuple[Sequence[Sequence[int]], Float32],
    likeness: Float32 | None,
    hits: Sequence[Hit],
    by_title: Sequence[Hit],
    rerank: bool,
    image_weight: float,
    progress: Progress | None,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """What candidates are ordered by [n], and the probabilities [n] of a match where they are computed."""
    if not hits:
        return np.empty(0), None
    ids, vectors = query
    recalled = np.stack([hit.vector for hit in hits]) @ vectors[0]
    tokens = [hit.tokens for hit in hits if hit.tokens is not None]
    scores = encoder.joint(ids, tokens, recalled[None], progress)[0] if rerank else recalled
    probability = expit(scores) if rerank else None
    order: NDArray[Any] = scores
    if likeness is not None:
        likenesses = np.stack([hit.vector for hit in hits]) @ likeness
        order = (1 - image_weight) * standardised(scores) + image_weight * standardised(likenesses)
    if by_title:
        place = {hit.product_id: rank for rank, hit in enumerate(by_title)}
        order = reciprocal_ranks(order, [place.get(hit.product_id) for hit in hits])
    return order, probability


def __getattr__(name: str) -> type[Hit]:
    """``Result``, as a :class:`~interbert.search.hits.Hit` of a page of results was called: for one more release."""
    if name == "Result":
        warnings.warn(
            "interbert.search.engine.Result is interbert.search.hits.Hit now.", DeprecationWarning, stacklevel=2
        )
        return Hit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
