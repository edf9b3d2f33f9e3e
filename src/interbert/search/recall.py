"""Recall of many queries at once: vectors and full text find candidates.

Shapes: Q queries, D vector size.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from interbert.errors import InterBertError, VectorIndexError, VersionGone
from interbert.model.rerank_reach import within_reach
from interbert.search.ann_parameters import needs_probing
from interbert.search.full_text import Words
from interbert.search.hits import Hit, deduplicated, nearest_first
from interbert.search.index import ProductIndex
from interbert.search.memory import RowsInMemory, expected_bytes
from interbert.search.memory_versions import MemoryVersions
from interbert.search.query import Candidates, Encoded, Query
from interbert.search.versions import Versions, View

_WIDENINGS = 2
"""So often four times as many candidates are recalled where near-duplicates leave too few results."""
_SECONDS_A_ROW = 1e-5
"""Of reading a version into memory."""

Recalled = tuple[list[Hit], list[Mapping[str, int]]]
"""Images that parts found, and for each text the places of products in its full-text search."""


@dataclass
class _Search:
    """A query that is being recalled."""

    encoded: Encoded
    wanted: int
    """Products that every part recalls."""
    tokens: bool
    """Whether candidates are read jointly, and bring along what the joint pass reads."""
    reach: tuple[float, int] | None = None
    """Inner product below the last of the first places from which they are, and how many at most; None for all."""
    found: Candidates | InterBertError | None = None

    @property
    def query(self) -> Query:
        return self.encoded.query

    @property
    def asked(self) -> int:
        """Products to ask an index for."""
        return self.wanted + len(self.query.exclude)

    @property
    def words(self) -> tuple[Words, ...]:
        if not self.query.full_text:
            return ()
        return tuple(Words(part.text, part.synonyms) for part in self.query.parts if part.text is not None)


def recall(
    view: View, encoded: Sequence[Encoded], versions: Versions, memory: int, vectors: MemoryVersions | None = None
) -> list[Candidates | InterBertError]:
    """Candidates of each query, or what is wrong with it.

    An index so small that all its vectors are compared is read into memory once searches of a version took as long
    as that takes: where products change all the time nothing is read for a few searches. Of a version that is gone
    the error is :class:`~interbert.errors.VersionGone`: a query of the newest one can be encoded anew.

    Args:
        view: the version to search.
        encoded: the queries.
        versions: of the same index.
        memory: bytes that rows in memory may take.
        vectors: versions whose vectors are in memory; None for recall from the disk.
    """
    if vectors is not None:
        vectors.of(view)
    if not encoded:
        return []
    reads = view.encoder.config.reads_jointly
    searches = [
        _Search(one, one.query.candidates, one.query.scored and reads, _reach(view, one.query)) for one in encoded
    ]
    waiting = searches
    for widening in range(1 + _WIDENINGS):
        _search(view, waiting, versions, memory)
        waiting = [one for one in waiting if _lacks_results(view, one)]
        if not waiting or widening == _WIDENINGS:
            break
        for one in waiting:
            one.wanted *= 4  # near-duplicates took the places of other products
    found = [one.found for one in searches if one.found is not None]
    if any(isinstance(one, VectorIndexError) for one in found) and versions.forget(view):
        return [VersionGone.of(view.version) if isinstance(one, VectorIndexError) else one for one in found]
    return found


def _reach(view: View, query: Query) -> tuple[float, int] | None:
    """Which candidates of a text alone are read, as validation measured it."""
    config = view.encoder.config
    if config.rerank_depth is None or query.read_all or not query.is_text:
        return None
    return float(config.rerank_reach / view.encoder.recall_weight), int(config.rerank_depth)


def _lacks_results(view: View, one: _Search) -> bool:
    if not isinstance(one.found, Candidates) or len(one.found.hits) < one.wanted or one.wanted >= view.size:
        return False
    vectors = [hit.vector for hit in one.found.hits]
    fill = min(one.query.fill, one.query.candidates // 2)
    return len(deduplicated(vectors, view.encoder.direction_size, one.query.duplicates)) < fill


def _search(view: View, searches: Sequence[_Search], versions: Versions, memory: int) -> None:
    rows = _rows(view, versions, memory)
    if rows is not None and isinstance(view.index, ProductIndex):
        _search_memory(view.index, rows, searches)
        return
    begun = time.perf_counter()
    for one in searches:
        try:
            one.found = _candidates(one, _from_index(view, one), every_image=not isinstance(view.index, ProductIndex))
        except InterBertError as error:
            one.found = error
    view.seconds += time.perf_counter() - begun


def _candidates(one: _Search, recalled: Recalled, every_image: bool = False) -> Candidates:
    """What is ranked: of an index a product's nearest image; of a source all of them, for the joint model."""
    hits, titles = recalled
    excluded = frozenset(one.query.exclude)
    found = [hit for hit in hits if hit.product_id not in excluded]
    nearest = nearest_first(found, one.encoded.nearness, every_image)
    if one.reach is not None and nearest:
        near = np.array([hit.vector @ one.encoded.nearness for hit in nearest])
        nearest = [
            hit if read else replace(hit, tokens=None)
            for hit, read in zip(nearest, within_reach(near, *one.reach), strict=True)
        ]
    return Candidates(one.encoded, nearest, titles)


def _from_index(view: View, one: _Search) -> Recalled:
    query, index = one.query, view.index
    near = view.in_memory or index
    hits: list[Hit] = []
    titles: list[Mapping[str, int]] = []
    for words in one.words:
        found = index.full_text_search(words, one.asked, query.where, tokens=one.tokens)
        hits += found
        titles.append(_places([hit.product_id for hit in found]))
    for vector in one.encoded.vectors:
        hits += near.vector_search(vector, one.asked, query.where, tokens=one.tokens)
    return hits, titles


def _places(products: Sequence[str]) -> dict[str, int]:
    return {product: place for place, product in enumerate(products)}


def _search_memory(index: ProductIndex, rows: RowsInMemory, searches: Sequence[_Search]) -> None:
    vectors = [vector for one in searches for vector in one.encoded.vectors]
    distances = iter(rows.distances(vectors))
    chosen: list[tuple[_Search, list[int], list[list[int]]]] = []
    for one in searches:
        lines = [next(distances) for _ in one.encoded.vectors]
        try:
            condition = index.condition(one.query.where)
            mask = rows.mask(condition)
            titled = [rows.places(list(index.title_scores(words, one.asked, condition))) for words in one.words]
        except InterBertError as error:
            one.found = error
            continue
        near = [
            rows.nearest(line, vector, one.asked, mask) for line, vector in zip(lines, one.encoded.vectors, strict=True)
        ]
        chosen.append((one, [row for part in (*titled, *near) for row in part], titled))
    for tokens in (False, True):
        mine = [one for one in chosen if one[0].tokens == tokens]
        try:
            hits = rows.hits([row for _, found, _ in mine for row in found], tokens)
        except InterBertError:
            for one, found, titled in mine:
                _finish(rows, one, found, titled)
            continue
        for one, found, titled in mine:
            one.found = _candidates(one, ([hits[row] for row in found], _titles(hits, titled)))


def _finish(rows: RowsInMemory, one: _Search, found: list[int], titled: list[list[int]]) -> None:
    """One query of a batch in which regions are damaged."""
    try:
        hits = rows.hits(found, one.tokens)
        one.found = _candidates(one, ([hits[row] for row in found], _titles(hits, titled)))
    except InterBertError as error:
        one.found = error


def _titles(hits: Mapping[int, Hit], titled: Sequence[Sequence[int]]) -> list[Mapping[str, int]]:
    return [_places([hits[row].product_id for row in places]) for places in titled]


def _rows(view: View, versions: Versions, memory: int) -> RowsInMemory | None:
    """The version's rows in memory, if they are or should be; one thread reads them, others go on without."""
    if view.rows is not None or not isinstance(view.index, ProductIndex) or needs_probing(view.size):
        return view.rows
    if view.seconds < _SECONDS_A_ROW * view.size or not view.lock.acquire(blocking=False):
        return view.rows
    try:
        if view.rows is None and expected_bytes(view.index) <= memory:
            view.rows = RowsInMemory(view.index)
            _make_room(view, versions, memory)
        elif view.rows is None:
            view.seconds = float("-inf")  # too large: never asked again
        return view.rows
    except VectorIndexError:  # damaged, or gone: the search itself will say
        return None
    finally:
        view.lock.release()


def _make_room(view: View, versions: Versions, memory: int) -> None:
    others = [one for one in versions.in_memory() if one is not view and one.rows is not None]
    total = sum(one.rows.nbytes for one in [*others, view] if one.rows is not None)
    for one in others:
        if total <= memory:
            break
        assert one.rows is not None
        total -= one.rows.nbytes
        one.rows, one.seconds = None, 0.0
