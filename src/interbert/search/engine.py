"""Search an index: recall by vectors and titles, rerank by the joint model, collapse near-duplicates.

Shapes: n candidates, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.deprecation import renamed_arguments
from interbert.errors import RegionError, UsageError
from interbert.extraction.given import extract_view, views_of
from interbert.extraction.images import as_image
from interbert.search.index import Hit, ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.products import sound_views
from interbert.search.query_encoder import ProductEncoder
from interbert.search.rank_fusion import deduplicated, reciprocal_ranks, standardised

if TYPE_CHECKING:
    from PIL import Image

    from interbert import TopicRecommender

Float32 = NDArray[np.float32]

CANDIDATES = 32
DUPLICATES = 0.995
_WIDENINGS = 2
"""So often four times as many candidates are recalled where near-duplicates leave fewer results than asked for."""


@dataclass(frozen=True)
class Result:
    """One product of a page of results."""

    rank: int
    """1 is best."""
    id: str
    """Of its image that fits best."""
    product_id: str
    score: float
    """What results are ordered by; comparable within one search only."""
    probability: float | None
    """Of a match of text and image, by the model; None when only images were compared."""
    texts: tuple[str, ...]
    metadata: dict[str, Any]
    similar: tuple[str, ...]
    """Ids of near-duplicates that this result stands for."""

    @classmethod
    def of(cls, rank: int, hits: Sequence[Hit], score: float, probability: float | None) -> Result:
        """The result of a group of near-duplicates, the best of them first."""
        best, *others = hits
        similar = tuple(hit.id for hit in others)
        return cls(rank, best.id, best.product_id, score, probability, best.texts, best.metadata, similar)


class SearchEngine:
    """An index and its model.

    Example::

        engine = SearchEngine.open("indexes/shop")
        for result in engine.search("red summer dress", where="price < 50", top_k=5):
            print(result.rank, result.product_id, result.texts)

    Args:
        index: opened.
        encoder: the index's model.
    """

    def __init__(self, index: ProductIndex, encoder: ProductEncoder) -> None:
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
    ) -> list[Result]:
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

        Raises:
            UsageError: neither text nor image, an empty text, or one without a word that the model knows.
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
        likeness = None if image is None else image_vector(encoder, image, index.manifest.mirrored)
        query = None if text is None else encoder.texts([text])
        wanted = max(candidates, 2 * top_k)
        for _ in range(1 + _WIDENINGS):
            if query is None:
                assert likeness is not None
                hits = index.vector_search(likeness, wanted, where)
                order, probability = np.array([hit.score for hit in hits]), None
            else:
                by_title = index.full_text_search(str(text), wanted, where, tokens=rerank) if full_text else []
                hits = _candidates(index, query[1][0], likeness, by_title, wanted, where, rerank)
                order, probability = _ordered(encoder, query, likeness, hits, by_title, rerank, image_weight)
            results = _results(hits, order, probability, top_k, duplicates, encoder.direction_size)
            if len(results) >= top_k or len(hits) < wanted:
                break
            wanted *= 4  # near-duplicates took the places of other products
        return results

    def recommend(self, topic: str | Sequence[str], **options: Any) -> list[Result]:
        """The page of a topic; :meth:`interbert.TopicRecommender.recommend` replaces it."""
        from interbert import TopicRecommender

        warnings.warn("SearchEngine.recommend is TopicRecommender(engine).recommend now.", DeprecationWarning, 2)
        if self._recommender is None:
            self._recommender = TopicRecommender(self)
        return self._recommender.recommend(topic, **options)

    def refresh(self) -> tuple[ProductIndex, ProductEncoder]:
        """Use a rebuilt index, and its model, from now on; searches do this by themselves.

        Returns:
            the index as it is now, which stays with its build, and the model of that build.
        """
        self.index.refresh()
        index, encoder = self._now
        newest = self.index.pinned()
        if newest.manifest != index.manifest:
            if newest.manifest.model_fingerprint != index.manifest.model_fingerprint:
                encoder = index_encoder(newest, bf16=encoder.bf16)
            self._now, self.encoder = (newest, encoder), encoder
        return self._now

    def joint(self, texts: Sequence[Sequence[int]], hits: Sequence[Hit], recalled: Float32) -> Float32:
        """Log-odds of a match [texts, n] of token ids and hits: joint pass and recall, as the model mixes them.

        Args:
            texts: token ids.
            hits: their regions are read from the index where they do not bring them along.
            recalled: inner products of vectors [texts, n].
        """
        absent = [hit.id for hit in hits if hit.tokens is None]
        read = dict(zip(absent, self.index.regions(absent), strict=True)) if absent else {}
        tokens = [read[hit.id] if hit.tokens is None else hit.tokens for hit in hits]
        with torch.inference_mode():
            return self.encoder.joint(texts, tokens, recalled)


def image_vector(encoder: ProductEncoder, image: Image.Image | bytes | str | Path, mirrored: bool = False) -> Float32:
    """An image's vector [D] as a query for images like it; ``mirrored`` as the index's images are.

    Raises:
        ImageError: it is missing or unreadable.
        RegionError: the extractor finds no sound regions in it.
    """
    name = "the image to search for"
    decoded = as_image(image, name)
    views = sound_views([extract_view(encoder.extractor, [decoded], [], view)[0] for view in views_of(mirrored)], name)
    if isinstance(views, RegionError):
        raise views
    vectors, _ = encoder.views([views], [name])
    query: Float32 = encoder.image_query(vectors)[0]
    return query


def _candidates(
    index: ProductIndex,
    query: Float32,
    likeness: Float32 | None,
    by_title: Sequence[Hit],
    wanted: int,
    where: str | None,
    tokens: bool,
) -> list[Hit]:
    """Products near the text or the image, or with its words, each by the image nearest to the text."""
    pool = {hit.id: hit for hit in index.vector_search(query, wanted, where, tokens=tokens)}
    if likeness is not None:
        pool |= {hit.id: hit for hit in index.vector_search(likeness, wanted, where, tokens=tokens)}
    pool |= {hit.id: hit for hit in by_title}
    return one_per_product(list(pool.values()), query)


def _ordered(
    encoder: ProductEncoder,
    query: tuple[Sequence[Sequence[int]], Float32],
    likeness: Float32 | None,
    hits: Sequence[Hit],
    by_title: Sequence[Hit],
    rerank: bool,
    image_weight: float,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """What candidates are ordered by [n], and the probabilities [n] of a match where they are computed."""
    if not hits:
        return np.empty(0), None
    ids, vectors = query
    recalled = np.stack([hit.vector for hit in hits]) @ vectors[0]
    scores = encoder.joint(ids, _tokens(hits), recalled[None])[0] if rerank else recalled
    probability = 1 / (1 + np.exp(-scores.clip(-60, 60))) if rerank else None
    order: NDArray[Any] = scores
    if likeness is not None:
        visual_features = np.stack([hit.vector for hit in hits]) @ likeness
        order = (1 - image_weight) * standardised(scores) + image_weight * standardised(visual_features)
    if by_title:
        place = {hit.product_id: rank for rank, hit in enumerate(by_title)}
        order = reciprocal_ranks(order, [place.get(hit.product_id) for hit in hits])
    return order, probability


def _results(
    hits: Sequence[Hit],
    order: NDArray[Any],
    probability: NDArray[Any] | None,
    top_k: int,
    duplicates: float | None,
    size: int,
) -> list[Result]:
    """Groups of near-duplicates, by the first ``size`` numbers of their vectors, as results."""
    best = sorted(range(len(hits)), key=lambda place: (-float(order[place]), hits[place].id))
    groups = deduplicated([hits[place].vector for place in best], size, duplicates)
    members = [[best[place] for place in group] for group in groups[:top_k]]
    return [
        Result.of(
            rank,
            [hits[place] for place in group],
            float(order[group[0]]),
            None if probability is None else float(probability[group[0]]),
        )
        for rank, group in enumerate(members, start=1)
    ]


def _tokens(hits: Sequence[Hit]) -> list[Float32]:
    """Regions that hits brought along."""
    return [hit.tokens for hit in hits if hit.tokens is not None]


def one_per_product(hits: Sequence[Hit], query: Float32) -> list[Hit]:
    """Each product's image that is nearest to the query, in order of nearness."""
    best: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-float(hit.vector @ query), hit.id)):
        best.setdefault(hit.product_id, hit)
    return list(best.values())
