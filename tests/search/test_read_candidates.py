"""Searches read jointly the candidates that can come to the first places, and say how many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.search.conftest import source_of

from interbert import SearchEngine
from interbert.search.build import build_index
from interbert.search.query import Found, Part, Query
from interbert.service.pipeline import _pieces

UNREAD = -0.75


@pytest.fixture(scope="module")
def engine(make_model: Callable[..., Path], priced: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchEngine:
    folder = make_model(rerank_depth=4, rerank_reach=100.0, unread_score=UNREAD)
    path = tmp_path_factory.mktemp("read") / "index"
    build_index(folder, source_of(priced), path)
    return SearchEngine.open(path, bf16=False)


def search(engine: SearchEngine, *parts: Part, **options: Any) -> Found:
    query = Query(parts, full_text=False, duplicates=None, top_k=50, **options)
    found = engine.search_many([query])[0]
    assert isinstance(found, Found), found
    return found


def test_the_best_by_dual_score_are_read_and_others_count_with_an_estimate(engine: SearchEngine) -> None:
    some, every = (search(engine, Part("a red circle"), read_all=read_all) for read_all in (False, True))
    assert (some.read, every.read) == (4, len(every.hits))
    assert len(every.hits) > 4
    (query,) = engine.encoder.texts(["a red circle"])[1]
    dual = {hit.id: float(hit.vector @ query) for hit in every.hits}
    read = set(sorted(dual, key=lambda name: -dual[name])[:4])
    whole = {hit.id: hit.probability for hit in every.hits}
    for hit in some.hits:
        estimate = 1 / (1 + np.exp(-(UNREAD + engine.encoder.recall_weight * dual[hit.id])))
        assert hit.probability == pytest.approx(whole[hit.id] if hit.id in read else estimate, abs=1e-5)
    assert [hit.score for hit in some.hits] == sorted((hit.score for hit in some.hits), reverse=True)


def test_what_was_not_measured_is_read_whole(engine: SearchEngine) -> None:
    likeness = engine.index.vectors([search(engine, Part("red")).hits[0].id])[0]
    for parts in ((Part("red"), Part(vector=likeness)), (Part("red"), Part("circle"))):
        found = search(engine, *parts)
        assert found.read == found.total
    assert search(engine, Part("red"), rerank=False).read == 0


def test_many_at_once_are_as_one_by_one(engine: SearchEngine) -> None:
    queries = [Query((Part(text),), read_all=text == "blue") for text in ("a red circle", "blue", "green square")]
    together = engine.search_many(queries)
    for query, found in zip(queries, together, strict=True):
        alone = engine.search_many([query])[0]
        assert isinstance(found, Found)
        assert isinstance(alone, Found)
        assert found.read == alone.read
        assert [hit.id for hit in found.hits] == [hit.id for hit in alone.hits]


def test_progress_counts_every_candidate(engine: SearchEngine) -> None:
    told: list[int] = []
    engine.search("a red circle", full_text=False, progress=told.append)
    view = engine.pinned()
    assert sum(told) == min(view.size, 32)


@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
def test_the_service_shares_out_what_is_read(engine: SearchEngine, pieces: int) -> None:
    view = engine.pinned()
    encoded = engine.encode(view, [Query((Part("a red circle"),), full_text=False)])
    (candidates,) = engine.recall(view, encoded)  # type: ignore[arg-type]
    parts = _pieces(candidates, pieces)  # type: ignore[arg-type]
    assert [hit.id for part in parts for hit in part.hits] == [hit.id for hit in candidates.hits]  # type: ignore[union-attr]
    reads = [len(part.read) for part in parts]
    assert max(reads) - min(reads) <= 1
    scores = np.concatenate([engine.rerank(view, [part])[0] for part in parts], axis=1)  # type: ignore[arg-type]
    np.testing.assert_allclose(scores, engine.rerank(view, [candidates])[0], atol=1e-5)  # type: ignore[list-item]
