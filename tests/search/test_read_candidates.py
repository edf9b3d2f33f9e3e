"""Searches read jointly the candidates that can come to the first places, and say how many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.search.conftest import source_of

from interbert import SearchEngine
from interbert.cli.main import main
from interbert.search.build import build_index
from interbert.search.full_text import Words
from interbert.search.query import Found, Part, Query
from interbert.service.pipeline import _pieces
from interbert.service.service import _warm_up

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
    assert not any(hit.estimated for hit in search(engine, Part("red"), rerank=False).hits)


@pytest.mark.parametrize("options", [{"sort": ("price", False)}, {"min_probability": 0.0}])
def test_where_any_candidate_may_come_first_or_fall_out_all_are_read(
    engine: SearchEngine, options: dict[str, Any]
) -> None:
    found = search(engine, Part("a red circle"), **options)
    assert found.read == found.total == len(found.hits)
    assert not any(hit.estimated for hit in found.hits)


def test_results_say_which_matches_are_estimates(engine: SearchEngine) -> None:
    found = search(engine, Part("a red circle"))
    assert [sum(hit.estimated is said for hit in found.hits) for said in (False, True)] == [4, found.total - 4]
    (joined,) = engine.search("a red circle", full_text=False, duplicates=-1.0)
    assert (joined.id, joined.estimated) == (found.hits[0].id, found.hits[0].estimated)


def test_the_first_of_the_titles_are_read_too(engine: SearchEngine) -> None:
    first = {hit.product_id for hit in engine.index.full_text_search(Words("green triangle", ()), 3)}
    assert not first <= read_of(engine, "green triangle", full_text=False), "by the vectors alone they are too far"
    assert first <= read_of(engine, "green triangle", full_text=True)


def read_of(engine: SearchEngine, text: str, full_text: bool) -> set[str]:
    hits = engine.search(text, full_text=full_text, candidates=24, top_k=24, duplicates=None)
    return {hit.product_id for hit in hits if not hit.estimated}


def test_the_command_says_how_many_matches_are_estimates(
    engine: SearchEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.json"
    asked = ["search", engine.index.path, "a red circle", "--full-text", "false", "--results", str(file)]  # type: ignore[attr-defined]
    assert main([*asked, "--precision", "fp32"]) == 0
    estimated = sum(hit["estimated"] for hit in json.loads(file.read_text())[0]["results"])
    assert 6 <= estimated < 10
    assert f"the matches of {estimated} results are estimates" in " ".join(capsys.readouterr().out.split())
    file.unlink()
    assert main([*asked, "--precision", "fp32", "--read-all", "true"]) == 0
    assert "estimate" not in capsys.readouterr().out


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


@pytest.mark.parametrize("depth", [4, None])
def test_a_service_warms_up_for_texts_alone(engine: SearchEngine, depth: int | None) -> None:
    asked: list[Query] = []

    async def search(query: Query, deadline: float) -> None:
        asked.append(query)

    async def image_vector(image: object) -> np.ndarray:
        return np.ones(engine.encoder.vector_size, np.float32)

    known = SimpleNamespace(
        scorer=SimpleNamespace(prepare=lambda: None),
        config=SimpleNamespace(rerank_depth=depth),
        vector_size=engine.encoder.vector_size,
        texts_to_ids=engine.encoder.texts_to_ids,
        knows=engine.encoder.knows,
    )
    pipeline = SimpleNamespace(search=search, image_vector=image_vector)
    served = SimpleNamespace(engine=SimpleNamespace(encoder=known, index=engine.index), pipeline=pipeline)
    asyncio.run(_warm_up(served))  # type: ignore[arg-type]
    assert any(not query.is_text for query in asked)
    assert any(query.is_text for query in asked) == (depth is not None)


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
