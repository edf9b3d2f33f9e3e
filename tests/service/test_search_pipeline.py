"""The stages of a search over many requests, with an engine that is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from tests.service.fake_engine import RECALLED, RERANKED, TIMEOUT, FakeEngine, query

from interbert.errors import UsageError, VersionGone
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.pipeline import Answer, Pipeline
from interbert.service.settings import Queues


@asynccontextmanager
async def running(engine: FakeEngine, **settings: Any) -> AsyncIterator[Pipeline]:
    settings = {"deadline_ms": 1000.0 * TIMEOUT, "threads": 1} | settings
    pipeline = Pipeline(engine.as_engine(), Queues(**settings), Metrics())
    await pipeline.start()
    try:
        yield pipeline
    finally:
        for gate in engine.gates.values():
            gate.set()
        await pipeline.drain()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), TIMEOUT)

    asyncio.run(limited())


def ids(answer: Answer) -> list[str]:
    return [hit.product_id for hit in answer.found.hits]


def value(pipeline: Pipeline, name: str, **labels: str) -> float | None:
    return pipeline.metrics.registry.get_sample_value(f"interbert_{name}", labels)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def stuck(pipeline: Pipeline, engine: FakeEngine, stage: str) -> asyncio.Task[Answer]:
    """A search that is at a stage and stays there until its gate is set."""
    engine.gates[stage].clear()
    task = asyncio.create_task(pipeline.search(query("first")))
    await until(lambda: bool(engine.called(stage)))
    return task


def test_a_search_passes_all_stages_beside_the_event_loop_and_tells_their_times() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            answer = await pipeline.search(query())
            assert value(pipeline, "stage_seconds_count", stage="wait_joint") == 1
        assert ids(answer) == RERANKED
        assert not answer.degraded
        assert answer.found.version == "products@1"
        assert list(answer.timings_ms) == ["wait_encode", "encode", "recall", "wait_joint", "joint", "page"]
        assert all(milliseconds >= 0 for milliseconds in answer.timings_ms.values())
        assert [stage for stage, _, _ in engine.calls] == ["encode", "recall", "rerank", "page"]
        assert all(name.startswith("interbert-") for name in engine.threads)

    run(test)


def test_recalls_order_is_no_degraded_answer_where_it_was_asked_for() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            answer = await pipeline.search(query(rerank=False))
        assert ids(answer) == RECALLED
        assert not answer.degraded
        assert engine.called("rerank") == []

    run(test)


def test_after_the_deadline_recalls_order_is_the_answer() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            first = await stuck(pipeline, engine, "rerank")
            waits = await pipeline.search(query("waits"), deadline=0.2)
            assert (ids(waits), waits.degraded) == (RECALLED, True)
            assert "joint" not in waits.timings_ms
            assert waits.timings_ms["wait_joint"] > 0
            engine.gates["rerank"].set()
            assert not (await first).degraded
            engine.gates["rerank"].clear()
            pipeline.joint_queue._last.clear()  # or it knows that it is too slow
            computed = await pipeline.search(query("computed meanwhile"), deadline=0.2)
            assert (ids(computed), computed.degraded) == (RECALLED, True)
            assert value(pipeline, "degraded_total", reason="deadline") == 2
            assert value(pipeline, "abandoned_total") == 0
        assert engine.called("rerank") == [["first"], ["computed meanwhile"]]

    run(test)


def test_what_is_known_to_come_too_late_does_not_wait_for_the_deadline() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            first = await stuck(pipeline, engine, "rerank")
            pipeline.joint_queue._last.append((1000.0, 15.0))  # a quarter of an hour for each token
            answer = await pipeline.search(query("late"), deadline=TIMEOUT / 2)
            assert (ids(answer), answer.degraded) == (RECALLED, True)
            engine.gates["rerank"].set()
            await first

    run(test)


@pytest.mark.parametrize("stage", ["encode", "rerank"])
def test_full_queues_refuse_at_the_entrance(stage: str) -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine, waiting=2) as pipeline:
            tasks = [await stuck(pipeline, engine, stage)]
            scored = stage == "rerank"
            tasks += [asyncio.create_task(pipeline.search(query(name, rerank=scored))) for name in "ab"]
            queue = pipeline.joint_queue if scored else pipeline.encode_queue
            await until(lambda: len(queue) == 2)
            calls = len(engine.calls)
            with pytest.raises(ServiceError) as caught:
                await pipeline.search(query("refused", rerank=scored))
            assert caught.value.code == "overloaded"
            assert (caught.value.retry_after or 0) > 0
            assert len(engine.calls) == calls
            assert value(pipeline, "rejections_total", reason="queue_full") == 1
            engine.gates[stage].set()
            assert all(not answer.degraded for answer in await asyncio.gather(*tasks))

    run(test)


def test_places_of_the_joint_queue_are_kept_for_those_on_their_way() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine, waiting=3) as pipeline:
            first = await stuck(pipeline, engine, "recall")
            others = [asyncio.create_task(pipeline.search(query(name))) for name in "ab"]
            await until(lambda: len(pipeline.recall_queue) == 2)
            with pytest.raises(ServiceError, match="3 requests wait"):
                await pipeline.search(query("refused"))
            engine.gates["recall"].set()
            await asyncio.gather(first, *others)

    run(test)


def test_idle_threads_score_a_lone_request_in_pieces() -> None:
    async def test() -> None:
        engine = FakeEngine()
        engine.tokens = np.zeros((200, 4), np.float32)
        async with running(engine, threads=2) as pipeline:
            assert ids(await pipeline.search(query("alone"))) == RERANKED
            assert engine.called("rerank") == [["alone"], ["alone"]]
            engine.gates["rerank"].clear()
            tasks = [asyncio.create_task(pipeline.search(query(text))) for text in ("one", "two")]
            await until(lambda: len(engine.called("rerank")) == 4)
            engine.gates["rerank"].set()
            assert [ids(answer) for answer in await asyncio.gather(*tasks)] == [RERANKED] * 2

    run(test)


def test_a_request_that_would_wait_too_long_in_its_queues_together_is_refused() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            first = await stuck(pipeline, engine, "rerank")
            others = [asyncio.create_task(pipeline.search(query("second")))]
            await until(lambda: len(pipeline.joint_queue) == 1)
            engine.gates["encode"].clear()
            others += [asyncio.create_task(pipeline.search(query("is encoded")))]
            await until(lambda: len(engine.called("encode")) == 3)
            others += [asyncio.create_task(pipeline.search(query("waits")))]
            await until(lambda: len(pipeline.encode_queue) == 1)
            for queue, share in ((pipeline.encode_queue, 0.3), (pipeline.joint_queue, 0.15)):
                queue._last.clear()
                queue._last.append((share * TIMEOUT / queue._waiting_tokens, 1e-9))
            with pytest.raises(ServiceError):
                await pipeline.search(query("refused"))
            others += [asyncio.create_task(pipeline.search(query("no joint pass", rerank=False)))]
            for gate in engine.gates.values():
                gate.set()
            await asyncio.gather(first, *others)

    run(test)


def test_a_client_that_left_is_not_computed() -> None:
    async def test() -> None:
        engine, left = FakeEngine(), False

        async def gone() -> bool:
            return left

        async with running(engine) as pipeline:
            first = await stuck(pipeline, engine, "rerank")
            leaves = asyncio.create_task(pipeline.search(query("leaves"), gone=gone))
            cancelled = asyncio.create_task(pipeline.search(query("cancelled")))
            await until(lambda: len(pipeline.joint_queue) == 2)
            left = True
            cancelled.cancel()
            engine.gates["rerank"].set()
            with pytest.raises(ServiceError) as caught:
                await leaves
            assert caught.value.code == "client_left"
            await first
            assert value(pipeline, "abandoned_total") == 2
        assert engine.called("rerank") == [["first"]]
        assert engine.called("page") == [["first"]]

    run(test)


def test_one_bad_query_of_a_batch_fails_alone() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            first = await stuck(pipeline, engine, "encode")
            texts = ["a shoe", "not a word", "a hat"]
            tasks = [asyncio.create_task(pipeline.search(query(text))) for text in texts]
            await until(lambda: len(pipeline.encode_queue) == 3)
            engine.gates["encode"].set()
            shoe, bad, hat, _ = await asyncio.gather(*tasks, first, return_exceptions=True)
        assert isinstance(shoe, Answer)
        assert isinstance(hat, Answer)
        assert isinstance(bad, UsageError)
        assert sorted(engine.called("encode")[1]) == sorted(texts)

    run(test)


@pytest.mark.parametrize("stage", ["encode", "recall", "rerank"])
def test_an_exception_fails_its_batch_alone(stage: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            with pytest.raises(ServiceError) as caught:
                await pipeline.search(query(f"crash in {stage}"))
            assert caught.value.code == "internal"
            assert ids(await pipeline.search(query())) == RERANKED

    run(test)
    assert len(caplog.records) == 1


def test_equal_queries_and_pages_of_one_ranking_are_computed_once() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            first = await stuck(pipeline, engine, "encode")
            queries = [query("same"), query("same", top_k=2), query("same", offset=1), query("same", where="price < 5")]
            tasks = [asyncio.create_task(pipeline.search(one)) for one in queries]
            await until(lambda: len(pipeline.encode_queue) == 4)
            engine.gates["encode"].set()
            answers = await asyncio.gather(*tasks)
            await first
        assert [ids(one) for one in answers] == [RERANKED, RERANKED[:2], RERANKED[1:], RERANKED]
        assert engine.called("encode") == [["first"], ["same", "same"]]

    run(test)


def test_each_request_keeps_its_version_while_the_index_changes() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            old = await stuck(pipeline, engine, "recall")
            engine.version = "products@2"
            tasks = [asyncio.create_task(pipeline.search(query("new")))]
            tasks += [asyncio.create_task(pipeline.search(query("pinned", version="products@1")))]
            await until(lambda: len(pipeline.recall_queue) == 2)
            engine.gates["recall"].set()
            versions = [answer.found.version for answer in await asyncio.gather(old, *tasks)]
        assert versions == ["products@1", "products@2", "products@1"]
        assert ("recall", "products@2", ["new"]) in engine.calls

    run(test)


def test_a_version_that_is_cleaned_up_between_two_stages_is_searched_anew_unless_it_was_asked_for() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            newest = await stuck(pipeline, engine, "encode")
            asked = asyncio.create_task(pipeline.search(query("asked", version="products@1")))
            await until(lambda: len(pipeline.encode_queue) == 1)
            engine.version = "products@2"
            engine.gone.add("products@1")
            engine.gates["encode"].set()
            assert (await newest).found.version == "products@2"
            with pytest.raises(VersionGone, match="products@1"):
                await asked

    run(test)


def test_draining_answers_what_was_taken_and_takes_no_more() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with running(engine) as pipeline:
            first = await stuck(pipeline, engine, "rerank")
            waits = asyncio.create_task(pipeline.search(query("waits")))
            await until(lambda: len(pipeline.joint_queue) == 1)
            drained = asyncio.create_task(pipeline.drain())
            await asyncio.sleep(0)
            with pytest.raises(ServiceError) as caught:
                await pipeline.search(query("late"))
            assert caught.value.code == "draining"
            assert not drained.done()
            engine.gates["rerank"].set()
            assert [ids(answer) for answer in await asyncio.gather(first, waits)] == [RERANKED, RERANKED]
            await drained
        assert ["late"] not in engine.called("encode")

    run(test)
