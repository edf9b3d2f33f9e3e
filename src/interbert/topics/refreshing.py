"""Bring judged topics up to date by the rows that changed since, without searching again.

New rows are compared with the queries of all topics at once. One that is nearer than the reach of a list joins it,
those that are gone leave it; what the others were judged to be stays. The result is what searches that compare with
every image would find: a topic of which that is not sure is left to them.

Shapes: n new rows, q queries of all topics, S stored size, D vector size, j joining rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from interbert.search.index import ProductIndex
from interbert.search.table_rows import RowChanges, read_fragments
from interbert.topics.choice import Ints, alike_pairs, compared_vectors
from interbert.topics.examples import Neighbours
from interbert.topics.judge import TopicJudge
from interbert.topics.judged_topics import Images, JudgedTopic, TopicQuery, joined_images
from interbert.topics.near_lists import FIELDS, Float64, NearList, Numbers, squared_distances, stored_vectors

_PRODUCTS_AT_ONCE = 1 << 24
"""Inner products of new rows and queries in memory, 64 MB."""
_PAIRS_AT_ONCE = 4096
_MARGIN = 1e-4
"""Inner products of float32 are right to less, in shares of the vectors' squared length."""


@dataclass(frozen=True)
class AskedTopic:
    """A topic to bring up to date."""

    topic: JudgedTopic
    """Of the earlier version."""
    where: str | None
    """Its filter."""


@dataclass(frozen=True)
class Refreshed:
    """Topics that are up to date."""

    topics: Mapping[str, JudgedTopic]
    """By id; those that are not here are to be searched for."""
    touched: frozenset[str]
    """Ids of those whose images are not what they were."""
    images: Images | None
    """Of all topics; None without any."""


@dataclass(frozen=True)
class _Joining:
    """New rows that join the list of a query."""

    rows: Ints
    """Places among the new rows."""
    distances: Float64


@dataclass(frozen=True)
class _Judged:
    """What new rows that join some list are judged by."""

    rows: Ints
    """[j], places among the new rows, ascending."""
    numbers: Numbers
    vectors: NDArray[np.float32]
    """[j,D]"""
    neighbours: Neighbours | None


def refreshed(
    judge: TopicJudge,
    asked: Mapping[str, AskedTopic],
    images: Images,
    changes: RowChanges,
    duplicates: float | None,
) -> Refreshed:
    """Topics as they are after a change of the index.

    Args:
        judge: of the index at the later version, for good.
        asked: topics of the earlier version, by id.
        images: of these topics.
        changes: from that version to this one.
        duplicates: cosine from which two images are near-duplicates.

    Raises:
        FilterError, VectorIndexError: as :meth:`~interbert.topics.judge.TopicJudge.search`.
    """
    index = judge.index
    # of columns that have other values in place it is not known in which rows
    sure = {name: one for name, one in asked.items() if one.where is None or not changes.other_columns}
    if not sure:
        return Refreshed({}, frozenset(), None)
    rows = read_fragments(index, changes.new, FIELDS)
    numbers, stored = rows["_rowid"].to_numpy().astype(np.int64), stored_vectors(rows)
    joining = _joining(index, sure, changes, numbers, stored)
    places = [one.rows for own in joining.values() for one in own]
    chosen = np.unique(np.concatenate([np.empty(0, np.int64), *places]))
    vectors = judge.image_vectors(stored[chosen])
    judged = _Judged(chosen, numbers[chosen], vectors, judge.neighbours(numbers[chosen], vectors))
    compared = compared_vectors(vectors, judge.encoder.direction_size)
    ids, products = (rows[field].take(chosen).to_pylist() for field in FIELDS[:2])
    new = Images(judged.numbers, ids, products, compared)
    now = joined_images([images.select(images.numbers[changes.stayed(images.numbers)]), new])
    found, touched = {}, set()
    ends = np.cumsum([len(one.topic.numbers) for one in sure.values()])
    stayed = changes.stayed(np.concatenate([np.empty(0, np.int64), *(one.topic.numbers for one in sure.values())]))
    for (name, one), stays in zip(sure.items(), np.split(stayed, ends[:-1]), strict=True):
        if stays.all() and not any(len(own.rows) for own in joining[name]):
            found[name] = one.topic
            continue
        touched.add(name)
        topic = _changed(judge, one.topic, stays, joining[name], judged, now, duplicates)
        if topic.lasting:
            found[name] = topic
    return Refreshed(found, frozenset(touched), now)


def _joining(
    index: ProductIndex,
    asked: Mapping[str, AskedTopic],
    changes: RowChanges,
    numbers: Numbers,
    stored: NDArray[np.float16],
) -> dict[str, list[_Joining]]:
    """New rows that join the lists of each topic."""
    found: dict[str, list[_Joining]] = {}
    for where in dict.fromkeys(one.where for one in asked.values()):
        passing = np.arange(len(numbers))
        if where is not None:
            through = read_fragments(index, changes.new, [], where)["_rowid"].to_numpy().astype(np.int64)
            passing = np.flatnonzero(np.isin(numbers, through))
        own = {name: one.topic for name, one in asked.items() if one.where == where}
        queries = [query for topic in own.values() for query in topic.query.vectors]
        reach = [listed.reach for topic in own.values() for listed in topic.lists]
        rows, owners, distances = _within(stored[passing], queries, reach)
        bounds = np.searchsorted(owners, np.arange(len(queries) + 1))
        parts = [_Joining(passing[rows[start:stop]], distances[start:stop]) for start, stop in pairwise(bounds)]
        ends = itertools.accumulate((len(topic.lists) for topic in own.values()), initial=0)
        found |= {name: parts[start:stop] for name, (start, stop) in zip(own, pairwise(ends), strict=True)}
    return found


def _within(
    stored: NDArray[np.float16], queries: Sequence[NDArray[np.float32]], reach: Sequence[float]
) -> tuple[Ints, Ints, Float64]:
    """Pairs of a row [n,S] and a query [q,S] nearer than its reach, with their distances, by query."""
    if not len(stored) or not queries:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    asked, limits = np.stack(queries), np.array(reach)
    squares = np.square(stored.astype(np.float32)).sum(axis=1)
    margin = _MARGIN * float(squares.max())
    least = (np.square(asked).sum(axis=1) + squares.min() - limits - margin) / 2
    parts = []
    step = max(1, _PRODUCTS_AT_ONCE // len(asked))
    for start in range(0, len(stored), step):
        near = np.argwhere(stored[start : start + step].astype(np.float32) @ asked.T >= least)
        for begin in range(0, len(near), _PAIRS_AT_ONCE):
            rows, owners = near[begin : begin + _PAIRS_AT_ONCE].T
            distances = squared_distances(stored[start + rows], asked[owners])
            inside = distances < limits[owners]
            parts.append((start + rows[inside], owners[inside], distances[inside]))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    rows, owners, distances = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = np.argsort(owners, kind="stable")
    return rows[order], owners[order], distances[order]


def _changed(
    judge: TopicJudge,
    topic: JudgedTopic,
    stays: NDArray[np.bool_],
    joining: Sequence[_Joining],
    judged: _Judged,
    images: Images,
    duplicates: float | None,
) -> JudgedTopic:
    """A topic without the images that are gone, with those that join it."""
    query, there = topic.query, topic.numbers[stays]
    at = np.searchsorted(judged.rows, np.unique(np.concatenate([one.rows for one in joining])))
    lists = []
    for listed, one, count in zip(topic.lists, joining, query.counts, strict=True):
        left = stays[np.searchsorted(topic.numbers, listed.numbers)]
        if left.all() and not len(one.rows):
            lists.append(listed)
            continue
        numbers = judged.numbers[np.searchsorted(judged.rows, one.rows)]
        lists.append(listed.changed(left, numbers, one.distances, count))
    own = None if judged.neighbours is None else judged.neighbours.select(at)
    scores = np.concatenate([topic.scores[stays], judge.scores(query, judged.vectors[at], own)])
    numbers = np.concatenate([there, judged.numbers[at]])
    place = np.full(len(topic.numbers), -1, np.int64)
    place[stays] = np.arange(len(there))
    pairs = place[topic.alike]
    pairs = pairs[(pairs >= 0).all(axis=1)]
    if len(at):
        compared = images.vectors[images.places(numbers)]
        pairs = np.concatenate([pairs, alike_pairs(compared, duplicates, new=len(at))])
    return _among_lists(query, tuple(lists), numbers, scores, pairs)


def _among_lists(
    query: TopicQuery, lists: tuple[NearList, ...], numbers: Numbers, scores: NDArray[np.float32], pairs: Ints
) -> JudgedTopic:
    """A topic of the images that stand in a list, in the order of their numbers."""
    order = np.argsort(numbers)
    named = np.zeros(len(numbers), dtype=bool)
    named[np.searchsorted(numbers, np.concatenate([one.numbers for one in lists]), sorter=order)] = True
    order = order[named]
    place = np.full(len(numbers), -1, np.int64)
    place[order] = np.arange(len(order))
    kept = place[pairs]
    kept = kept[(kept >= 0).all(axis=1)]
    kept = kept[np.lexsort((kept[:, 1], kept[:, 0]))]
    return JudgedTopic(query, lists, numbers[order], scores[order], kept)
