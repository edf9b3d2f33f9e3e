"""Searches for the images of topics, and what judges them: the examples of a model that was taught topics.

What is computed of an image depends on that image alone, to the last bit, whichever others come with it: so pages that
are brought up to date equal those that are made from nothing.

Shapes: n images, S stored size, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.search.query_encoder import ProductEncoder
from interbert.search.table import table_state
from interbert.search.table_rows import read_rows
from interbert.search.vectors import fixed_blocks, from_stored, to_query
from interbert.topics.choice import alike_pairs, compared_vectors
from interbert.topics.encoding import directions, encode_wordings
from interbert.topics.examples import Neighbours, pooled_visual_features
from interbert.topics.judged_topics import Images, JudgedTopic, TopicQuery, joined_images
from interbert.topics.near_lists import FIELDS, find_near, stored_vectors
from interbert.topics.topic_memory import TopicMemory

Float32 = NDArray[np.float32]

_PROTOTYPES = 8
_REMEMBERED = 50_000
"""Images of which the nearest examples are kept: 1 kB each."""
_AT_ONCE = 2_000
"""Images whose regions are read in one go."""


class TopicJudge:
    """Finds and judges images of an index, which :meth:`use` names."""

    index: ProductIndex
    encoder: ProductEncoder
    memory: TopicMemory | None = None

    def __init__(self) -> None:
        self._table: tuple[str, int] | None = None
        self._known: dict[int, list[Any]] = {}

    def use(self, index: ProductIndex, encoder: ProductEncoder, memory: TopicMemory | None) -> None:
        """Judge images of this index, by what its model was taught."""
        if memory is not self.memory:
            self._known = {}
        self.index, self.encoder, self.memory = index, encoder, memory

    def search(
        self, texts: Sequence[str], where: str | None, candidates: int, duplicates: float | None
    ) -> tuple[JudgedTopic, Images]:
        """A topic with the images that searches find for it, and these.

        Args:
            texts: wordings of the topic.
            where: a filter.
            candidates: images that are wanted of each text, and half as many of each of its best examples.
            duplicates: cosine from which two images are near-duplicates; None for none.

        Raises:
            UsageError: the text is empty or without a word that the model knows.
            FilterError: the filter is wrong at a character that is named.
            VectorIndexError: the index is damaged.
        """
        query = self._query(texts, candidates)
        condition = self.index.condition(where)
        found = [
            find_near(self.index, vector, count, condition)
            for vector, count in zip(query.vectors, query.counts, strict=True)
        ]
        rows = np.concatenate([table["_rowid"].to_numpy().astype(np.int64) for table, _ in found])
        numbers, firsts = np.unique(rows, return_index=True)
        ids, products = (
            [names[place] for place in firsts.tolist()]
            for names in ([name for table, _ in found for name in table[field].to_pylist()] for field in FIELDS[:2])
        )
        vectors = self.image_vectors(np.concatenate([stored_vectors(table) for table, _ in found])[firsts])
        compared = compared_vectors(vectors, self.encoder.direction_size)
        scores = self.scores(query, vectors, self.neighbours(numbers, vectors))
        alike = alike_pairs(compared, duplicates)
        topic = JudgedTopic(query, tuple(listed for _, listed in found), numbers, scores, alike)
        return topic, joined_images([Images(numbers, ids, products, compared)])

    def _query(self, texts: Sequence[str], candidates: int) -> TopicQuery:
        """The topic's texts, and the images that its examples show."""
        vectors, wordings = encode_wordings(self.encoder, texts)
        asked, counts = list(vectors), [candidates] * len(vectors)
        labels, share = np.empty(0, np.float32), 1.0
        if self.memory is not None:
            examples = self.memory.examples
            labels = examples.labels(wordings)
            prototypes = examples.prototypes(labels, _PROTOTYPES)
            asked += list(np.pad(prototypes, ((0, 0), (0, vectors.shape[1] - prototypes.shape[1]))))
            counts += [max(candidates // 2, 1)] * len(prototypes)
            share = examples.known_share([one.text for one in wordings])
        size, norm = self.index.manifest.stored_size, self.index.manifest.largest_norm
        rounded = np.stack([to_query(one, size, norm) for one in asked]).astype(np.float16).astype(np.float32)
        return TopicQuery(rounded, tuple(counts), vectors.mean(axis=0), labels, share)

    def image_vectors(self, stored: NDArray[np.float16]) -> Float32:
        """Vectors [n,D] of images as the index stores them [n,S]; none depends on the others."""
        size = self.index.manifest.vector_size
        blocks = [from_stored(block, size) for block in fixed_blocks(stored.astype(np.float32))]
        return np.concatenate([*blocks, np.empty((0, size), np.float32)])[: len(stored)]

    def scores(self, query: TopicQuery, vectors: Float32, neighbours: Neighbours | None) -> Float32:
        """What images are ordered by: [n]; of none does it depend on the others.

        Args:
            query: of the topic.
            vectors: [n,D].
            neighbours: of the images; None where the model was never taught topics.
        """
        if self.memory is None or neighbours is None:
            products: Float32 = (vectors * query.mean).sum(axis=1)
            return products
        transfer = self.memory.examples.transfer(neighbours, query.labels)
        return self.memory.calibration.logit(transfer).astype(np.float32)

    def neighbours(self, numbers: NDArray[np.int64], vectors: Float32) -> Neighbours | None:
        """The examples nearest to images, looked up once for all topics until the index's table changes.

        Args:
            numbers: [n], of the images' rows.
            vectors: [n,D].

        Returns:
            None where the model was never taught topics.
        """
        if self.memory is None:
            return None
        state = table_state(self.index.table)
        if state != self._table or len(self._known) > _REMEMBERED:
            self._known, self._table = {}, state
        names = numbers.tolist()
        new = [place for place, number in enumerate(names) if number not in self._known]
        for start in range(0, len(new), _AT_ONCE):
            part = new[start : start + _AT_ONCE]
            rows = read_rows(self.index, numbers[part], ["picture_id", "regions"])
            tokens = [
                self.index.tokens_of(data, name)
                for data, name in zip(rows["regions"].to_pylist(), rows["picture_id"].to_pylist(), strict=True)
            ]
            found = self.nearest_examples(vectors[part], tokens)
            assert found is not None
            self._known |= {names[at]: pair for at, *pair in zip(part, found.places, found.weights, strict=True)}
        known = [self._known[number] for number in names]
        width = len(known[0][0]) if known else 0
        places = np.array([one for one, _ in known], np.int32).reshape(len(known), width)
        return Neighbours(places, np.array([one for _, one in known], np.float32).reshape(len(known), width))

    def nearest_examples(self, vectors: Float32, tokens: Sequence[Float32]) -> Neighbours | None:
        """The examples nearest to images.

        Args:
            vectors: [n,D].
            tokens: embedded tokens [R,H] of each.

        Returns:
            None where the model was never taught topics.
        """
        if self.memory is None:
            return None
        return self.memory.examples.neighbours(directions(self.encoder, vectors), pooled_visual_features(tokens))

    def hits(self, numbers: NDArray[np.int64]) -> list[Hit]:
        """Images by the numbers of their rows."""
        rows = read_rows(self.index, numbers, self.index.fields(False))
        if not len(rows):
            return []
        vectors = self.image_vectors(stored_vectors(rows))
        return self.index.hits_of(rows.drop_columns(["vector"]), vectors, [0.0] * len(rows))
