"""Search in stages that take many queries at once: encode, recall, rerank, page.

A service runs them in queues of its own; :meth:`StagedSearch.search_many` runs them one after the other.

Shapes: n candidates, T text parts, D vector size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import InterBertError, VersionGone
from interbert.search.hits import Index
from interbert.search.memory_versions import MemoryVersions, RecallFrom
from interbert.search.query import Candidates, Encoded, Found, Part, Query
from interbert.search.query_encoder import ProductEncoder
from interbert.search.ranking import page
from interbert.search.recall import recall
from interbert.search.stages import Scores, encode, product_query, rerank
from interbert.search.versions import Versions, View

Float32 = NDArray[np.float32]
Progress = Callable[[int], None]

MEMORY = 2**30


class StagedSearch:
    """An index, its model, and the stages of a search. Threads may share it.

    Args:
        index: opened.
        encoder: the index's model.
        memory: bytes that rows of a small index may take in memory, where that makes searches faster.
        recall_from: where the vectors of a large index are compared.

    Raises:
        MissingExtraError: recall is from memory, and faiss is not installed.
    """

    def __init__(
        self, index: Index, encoder: ProductEncoder, memory: int = MEMORY, recall_from: RecallFrom = "disk"
    ) -> None:
        self.index = index
        self.encoder = encoder
        self.memory = memory
        self._versions = Versions(index, encoder)
        self._in_memory = MemoryVersions() if recall_from == "memory" else None

    def search_many(self, queries: Sequence[Query]) -> list[Found | InterBertError]:
        """Many searches at once, each as if it were alone; a page of results or what is wrong, in their order.

        Queries of one version share batches: texts are encoded in one, vectors compared in one product, pairs scored
        in one joint pass.
        """
        found: dict[int, Found | InterBertError] = {}
        for version in dict.fromkeys(query.version for query in queries):
            places = [place for place, query in enumerate(queries) if query.version == version]
            found |= dict(zip(places, self._of_version(version, [queries[place] for place in places]), strict=True))
        gone = [place for place, one in found.items() if isinstance(one, VersionGone) and not queries[place].version]
        if gone:  # two rebuilds since the search began
            found |= dict(zip(gone, self._of_version(None, [queries[place] for place in gone]), strict=True))
        return [found[place] for place in range(len(queries))]

    def _of_version(self, version: str | None, queries: Sequence[Query]) -> list[Found | InterBertError]:
        try:
            return self._searched(self.pinned(version), queries)
        except InterBertError as error:
            return [error] * len(queries)

    def _search_newest(self, query: Callable[[View], Query], progress: Progress | None) -> Found:
        """The search that a version asks for, of the newest one.

        Raises:
            InterBertError: as of the query.
        """
        for attempt in (1, 2):  # two rebuilds may come between its stages
            view = self.pinned()
            found = self._searched(view, [query(view)], progress)[0]
            if attempt == 2 or not isinstance(found, VersionGone):
                break
        if isinstance(found, InterBertError):
            raise found
        return found

    def _searched(
        self, view: View, queries: Sequence[Query], progress: Progress | None = None
    ) -> list[Found | InterBertError]:
        """All stages for queries of one version."""
        answers: list[Any] = self.encode(view, queries)
        sound = [place for place, one in enumerate(answers) if isinstance(one, Encoded)]
        for place, one in zip(sound, self.recall(view, [answers[place] for place in sound]), strict=True):
            answers[place] = one
        sound = [place for place, one in enumerate(answers) if isinstance(one, Candidates)]
        candidates: list[Candidates] = [answers[place] for place in sound]
        for place, one, scores in zip(sound, candidates, self.rerank(view, candidates, progress), strict=True):
            answers[place] = (
                scores if isinstance(scores, InterBertError) else self.page(view, one.encoded.query, one, scores)
            )
        return answers

    def load_models_aside(self) -> None:
        """From now on search the build before until a thread has loaded a new build's model; else searches wait."""
        self._versions.waits = False

    def read_into_memory(self) -> int:
        """Read the newest version's vectors now, where recall is from memory; the bytes that are in memory then.

        Searches start that by themselves, and are answered from the disk until it is done.

        Raises:
            VectorIndexError: the index is damaged.
        """
        if self._in_memory is None:
            return 0
        self._in_memory.read(self.pinned())
        return self._in_memory.nbytes

    @property
    def version(self) -> str:
        """Table and version of the table that a search would see now, such as ``products_0001_ab12cd34@17``."""
        return self._versions.version()

    def pinned(self, version: str | None = None) -> View:
        """The index as it was at a version, and its model, for good: the stages of a search take it.

        Args:
            version: as :attr:`version` had it; the newest by default.

        Raises:
            VersionGone: the version was cleaned up, or never was.
            CheckpointError: the newest build's model is not there.
            VectorIndexError: the index is damaged.
        """
        view = self._versions.view(version)
        if version is None:
            self.encoder = view.encoder
        return view

    def encode(self, view: View, queries: Sequence[Query]) -> list[Encoded | InterBertError]:
        """Check queries and encode the texts of all of them in one batch; for each what comes out or is wrong."""
        return encode(view, queries)

    def recall(self, view: View, encoded: Sequence[Encoded]) -> list[Candidates | InterBertError]:
        """Candidates of each query by vectors and full text, or what is wrong (:mod:`interbert.search.recall`)."""
        return recall(view, encoded, self._versions, self.memory, self._in_memory)

    def rerank(self, view: View, candidates: Sequence[Candidates], progress: Progress | None = None) -> list[Scores]:
        """Log-odds [T,n] of each query's texts and its candidates, in one joint pass over the pairs of all queries.

        Candidates without tokens are not read: they count with the model's estimate.

        None for a query without texts, or that asks for recall's order; an error where a score is not finite.
        """
        return rerank(view, candidates, progress)

    def page(self, view: View, query: Query, candidates: Candidates, scores: Float32 | None) -> Found:
        """A query's page of results; without ``scores`` in the order of recall."""
        found = page(query, candidates, scores, view.encoder.direction_size)
        found.version = view.version
        found.read = 0 if scores is None else len(candidates.read)
        return found

    def product_vector(self, product_id: str, version: str | None = None) -> Float32:
        """A product as a query [D] for products like it: the mean of its images.

        Raises:
            UnknownProductError: it is not in the index.
            VersionGone: the version is gone.
        """
        view = self.pinned(version)
        view.encoder.require_recall()
        return product_query(view, product_id)

    def similar(self, product_id: str, **options: Any) -> Found:
        """Products like one of the index, without itself.

        Args:
            product_id: of the product.
            options: fields of a :class:`~interbert.search.query.Query`.

        Raises:
            UnknownProductError, VersionGone: as :meth:`product_vector`.
            InterBertError: as :meth:`search`.
        """
        part = Part(vector=self.product_vector(product_id, options.get("version")))
        found = self.search_many([Query((part,), exclude=(product_id,), **options)])[0]
        if isinstance(found, InterBertError):
            raise found
        return found
