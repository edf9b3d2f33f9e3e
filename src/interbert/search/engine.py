"""Search an index or a source: vectors and full text find candidates, the joint model reranks, near-duplicates join.

Shapes: n candidates, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import UsageError
from interbert.search.hits import Hit, Index
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.memory_versions import RecallFrom
from interbert.search.query import CANDIDATES, DUPLICATES, Part, Query
from interbert.search.query_encoder import ProductEncoder
from interbert.search.runtime_choice import checked_runtime
from interbert.search.staged import MEMORY, Progress, StagedSearch
from interbert.search.versions import View
from interbert.utils.deprecation import renamed_arguments

if TYPE_CHECKING:
    from PIL import Image

    from interbert import TopicRecommender
    from interbert.extraction.sources import ImageSource
    from interbert.search.joint import JointRuntime

Float32 = NDArray[np.float32]


class SearchEngine(StagedSearch):
    """Images that can be searched, in an index or in memory, and their model.

    Example::

        engine = SearchEngine.open("indexes/shop")
        for result in engine.search("red summer dress", where="price < 50", top_k=5):
            print(result.rank, result.product_id, result.texts)

    Args:
        index: opened.
        encoder: the index's model.
        memory: bytes that rows of a small index may take in memory, where that makes searches faster.
        recall_from: where the vectors of a large index are compared.
    """

    def __init__(
        self, index: Index, encoder: ProductEncoder, memory: int = MEMORY, recall_from: RecallFrom = "disk"
    ) -> None:
        super().__init__(index, encoder, memory, recall_from)
        self._recommender: TopicRecommender | None = None

    @classmethod
    def open(
        cls,
        index: str | Path,
        model: str | Path | None = None,
        bf16: bool | None = None,
        joint_runtime: JointRuntime | None = None,
        recall_from: RecallFrom = "disk",
    ) -> SearchEngine:
        """Open an index with its model.

        Args:
            index: folder or URI.
            model: where the model is, for an index in a bucket; a local index has its own copy.
            bf16: score in bf16, which leaves probabilities about two digits; None does where the device has it, False
                gives the same on every machine.
            joint_runtime: who computes the joint pass; the exported model that the index keeps where there is one, else
                torch, when not given. "auto" is OpenVINO for a model on the CPU where it is installed, which takes
                seconds to prepare unless the index keeps an exported model. Both are torch where building the index
                measured that to be better on this processor.
            recall_from: "memory" compares the vectors of an index of more than 20,000 images in memory, by faiss:
                faster, for some hundred bytes an image. They are read in a thread; until then, and by default, LanceDB
                compares them, from the disk.

        Raises:
            MissingExtraError: OpenVINO, or faiss for recall from memory, is not installed.
            VectorIndexError: the index is missing, unfinished or damaged.
            CheckpointError: ``model`` is not the model of the index.
        """
        opened = ProductIndex.open(index)
        encoder = index_encoder(opened, model, bf16, checked_runtime(index, joint_runtime))
        return cls(opened, encoder, recall_from=recall_from)

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
        read_all: bool = False,
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
            read_all: read every candidate jointly; else, where fine-tuning measured that as good, only those that the
                joint pass can lift to the first places, and the probabilities of the others are estimates.
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

        def query(view: View) -> Query:
            parts = (
                [] if text is None else [Part(text, None, 1.0 if image is None else 1 - image_weight, tuple(synonyms))]
            )
            if image is not None:
                view.encoder.require_recall()
                likeness = view.encoder.image_vector(image, view.index.mirrored)
                parts.append(Part(vector=likeness, weight=1.0 if text is None else image_weight))
            wanted = max(candidates, 2 * top_k)
            chosen = (where, top_k, wanted, rerank, full_text, duplicates)
            return Query(tuple(parts), *chosen, fill=top_k, read_all=read_all)

        return self._search_newest(query, progress).hits

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
        index, self.encoder = self._versions.newest()
        return index, self.encoder

    def joint(self, texts: Sequence[Sequence[int]], hits: Sequence[Hit], recalled: Float32) -> Float32:
        """Log-odds of a match [texts, n] of token ids and hits: joint pass and recall, as the model mixes them.

        Args:
            texts: token ids.
            hits: their regions are read from the index where they do not bring them along.
            recalled: inner products of vectors [texts, n].

        Raises:
            VectorIndexError: a hit is not in the index any more.
        """
        if not self.encoder.config.reads_jointly:
            return self.encoder.joint(texts, [], recalled)
        absent = [hit.id for hit in hits if hit.tokens is None]
        read = dict(zip(absent, self.index.regions(absent), strict=True))
        return self.encoder.joint(texts, [read[hit.id] if hit.tokens is None else hit.tokens for hit in hits], recalled)


def __getattr__(name: str) -> type[Hit]:
    """``Result``, as a :class:`~interbert.search.hits.Hit` of a page of results was called: for one more release."""
    if name == "Result":
        warnings.warn(
            "interbert.search.engine.Result is interbert.search.hits.Hit now.", DeprecationWarning, stacklevel=2
        )
        return Hit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
