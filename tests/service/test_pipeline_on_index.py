"""The stages of a search over many requests, on a tiny index: answers are those of the engine by itself."""
# ruff: noqa: F401, F811 (fixtures)

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import COLOURS, SHAPES, draw
from tests.search.conftest import built, make_model, model, priced

from interbert.errors import FilterError, ImageError, UsageError
from interbert.search.engine import SearchEngine
from interbert.search.query import Part, Query
from interbert.search.scorer import InterBertScorer
from interbert.service.metrics import Metrics
from interbert.service.pipeline import Answer, Pipeline
from interbert.service.settings import Queues

TEXTS = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]


@pytest.fixture(scope="module")
def engine(built: Path) -> SearchEngine:
    return SearchEngine.open(built, bf16=False)


def run(engine: SearchEngine, use: Callable[[Pipeline], Awaitable[Any]], **settings: Any) -> Any:
    async def started() -> Any:
        pipeline = Pipeline(engine, Queues(**({"deadline_ms": 60_000.0} | settings)), Metrics())
        await pipeline.start()
        try:
            return await use(pipeline)
        finally:
            await pipeline.drain()

    return asyncio.run(started())


def text_query(text: str, **fields: Any) -> Query:
    return Query((Part(text=text),), **fields)


@pytest.mark.parametrize("settings", [{"threads": 2, "joint_tokens": 600}, {"threads": 1, "encode_tokens": 20}])
def test_concurrent_searches_equal_one_by_one(engine: SearchEngine, settings: dict[str, Any]) -> None:
    wheres = [None, "price < 20", "colour = 'red'"]
    asked = [(text, wheres[place % 3], 1 + place % 7) for place, text in enumerate((TEXTS * 2)[:30])]

    async def all_at_once(pipeline: Pipeline) -> list[Answer]:
        queries = [text_query(text, where=where, top_k=top_k, candidates=14) for text, where, top_k in asked]
        return await asyncio.gather(*map(pipeline.search, queries))

    answers: list[Answer] = run(engine, all_at_once, **settings)
    for (text, where, top_k), answer in zip(asked, answers, strict=True):
        expected = engine.search(text, where=where, top_k=top_k, candidates=14)
        assert not answer.degraded
        assert [hit.id for hit in answer.found.hits] == [hit.id for hit in expected]
        np.testing.assert_allclose(
            [hit.probability for hit in answer.found.hits], [hit.probability for hit in expected], atol=1e-4
        )
        assert answer.found.version == engine.version


def test_one_bad_query_among_others_fails_alone(engine: SearchEngine) -> None:
    async def some(pipeline: Pipeline) -> list[Any]:
        queries = [text_query("a red circle"), text_query("😀"), text_query("red", where="price < cheap")]
        queries += [text_query("a blue circle", where="price < 0")]
        return await asyncio.gather(*map(pipeline.search, queries), return_exceptions=True)

    good, unknown, filtered, nothing = run(engine, some)
    assert isinstance(good, Answer)
    assert isinstance(unknown, UsageError)
    assert isinstance(filtered, FilterError)
    assert nothing.found.hits == []
    assert not nothing.degraded


def test_an_image_finds_itself_through_the_queues(engine: SearchEngine) -> None:
    image = draw("green", "triangle")

    async def search(pipeline: Pipeline) -> tuple[Any, Answer]:
        vector = await pipeline.image_vector(image, engine.version)
        return vector, await pipeline.search(Query((Part(vector=vector),), top_k=1, version=engine.version))

    vector, answer = run(engine, search)
    np.testing.assert_allclose(vector, engine.encoder.image_vector(image), atol=1e-6)
    assert [hit.product_id for hit in answer.found.hits] == ["green-triangle"]
    assert not answer.degraded


def test_embeddings_are_those_of_the_index_and_come_in_their_order(engine: SearchEngine) -> None:
    images = {"red-circle": draw("red", "circle"), "blue-square": draw("blue", "square")}

    async def encode(pipeline: Pipeline) -> tuple[Any, Any, Any]:
        texts = [text + " on white paper" * (place % 5) for place, text in enumerate(TEXTS)]
        await_texts, await_images = pipeline.encode_texts(texts), pipeline.encode_images(list(images.values()))
        return texts, *await asyncio.gather(await_texts, await_images)

    texts, text_vectors, image_vectors = run(engine, encode)
    np.testing.assert_allclose(text_vectors, engine.encoder.texts(texts)[1], atol=1e-5)
    assert len({tuple(vector) for vector in text_vectors}) == len(texts)
    view = engine.pinned()
    assert text_vectors.shape[1] == image_vectors.shape[1] == view.encoder.vector_size
    for name, vector in zip(images, image_vectors, strict=True):
        hit = next(hit for hit in view.index.vector_search(text_vectors[0], 24) if hit.id == name)
        np.testing.assert_allclose(vector, hit.vector, atol=1e-2)  # the index has float16

    async def none(pipeline: Pipeline) -> Any:
        return await pipeline.encode_texts([]), await pipeline.encode_images([])

    assert [vectors.shape for vectors in run(engine, none)] == [(0, view.encoder.vector_size)] * 2


def test_pairs_are_scored_as_by_the_scorer(engine: SearchEngine, model: Path) -> None:
    images = [draw(colour, "circle") for colour in COLOURS]

    async def score(pipeline: Pipeline) -> list[float]:
        return await pipeline.score("a red circle", images)

    scores = run(engine, score, joint_tokens=30)
    expected = InterBertScorer(model).predict([("a red circle", image) for image in images])
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert np.ptp(scores) > 0.01


def test_one_unreadable_image_is_named_and_fails_alone(engine: SearchEngine, tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    draw("red", "circle", (600, 800)).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:-400])

    async def some(pipeline: Pipeline) -> list[Any]:
        good, bad = draw("red", "circle"), Image.open(cut)
        requests = [pipeline.encode_images([good]), pipeline.encode_images([good, bad]), pipeline.image_vector(good)]
        return await asyncio.gather(*requests, return_exceptions=True)

    one, failed, other = run(engine, some)
    assert one.shape == (1, len(other))
    assert isinstance(failed, ImageError)
    assert "images[1]" in str(failed)
