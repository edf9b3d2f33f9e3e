"""Batches of a queue: what is computed together, dropped, refused or failed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from interbert.errors import DataError, UsageError
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.queues import BatchQueue
from interbert.service.work import Done, Work

TIMEOUT = 60


class Computer:
    """Computes upper case; what it gets is on record, and it waits at a gate."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.threads: set[str] = set()

    def __call__(self, items: Sequence[str]) -> list[Any]:
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(TIMEOUT)
        self.batches.append(list(items))
        if "crash" in items:
            raise RuntimeError("out of luck")
        if "bad batch" in items:
            raise DataError(f"one of {len(items)} is bad")
        return [UsageError("not a word") if item == "bad" else item.upper() for item in items]

    def work(self, item: str, tokens: int = 1, **others: Any) -> Work:
        return Work(item, self, tokens, **({"group": "words"} | others))


@asynccontextmanager
async def running(metrics: Metrics | None = None, **options: Any) -> AsyncIterator[BatchQueue]:
    queue = BatchQueue("encode", **({"tokens": 10, "waiting": 8, "metrics": metrics or Metrics()} | options))
    queue.start()
    try:
        yield queue
    finally:
        await queue.stop()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), TIMEOUT)

    asyncio.run(limited())


async def begun(queue: BatchQueue, computer: Computer, *works: Work) -> list[asyncio.Task[Done]]:
    """A request that is being computed, and others that wait behind it."""
    computer.gate.clear()
    first = asyncio.create_task(queue.compute(computer.work("first", 10)))
    while not computer.threads:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(queue.compute(work)) for work in works]
    while len(queue) < len(others):
        await asyncio.sleep(0.001)
    return [first, *others]


def test_what_gathers_while_a_batch_is_computed_is_the_next_in_order_of_length_and_within_the_budget() -> None:
    async def test() -> None:
        computer, metrics = Computer(), Metrics()
        async with running(metrics) as queue:
            sizes = {"a": 6, "b": 5, "c": 1, "d": 2, "e": 30, "f": 1}
            tasks = await begun(queue, computer, *(computer.work(name, size) for name, size in sizes.items()))
            assert metrics.registry.get_sample_value("interbert_queue_length", {"queue": "encode"}) == 6
            computer.gate.set()
            assert [done.value for done in await asyncio.gather(*tasks)] == ["FIRST", "A", "B", "C", "D", "E", "F"]
        assert computer.batches == [["first"], ["c", "f", "d", "a"], ["b"], ["e"]]
        assert metrics.registry.get_sample_value("interbert_queue_length", {"queue": "encode"}) == 0
        assert metrics.registry.get_sample_value("interbert_batch_size_count", {"queue": "encode"}) == 4

    run(test)


def test_a_request_that_finds_an_idle_queue_does_not_wait_and_is_computed_beside_the_event_loop() -> None:
    async def test() -> None:
        computer = Computer()
        computer.gate.set()
        async with running() as queue:
            done = await queue.compute(computer.work("a"))
        assert computer.batches == [["a"]]
        assert done.waited < 5
        assert all(name.startswith("interbert-encode") for name in computer.threads)

    run(test)


def test_patient_work_gathers_while_a_later_stage_is_busy_but_not_for_long() -> None:
    async def test() -> None:
        computer, busy = Computer(), True
        computer.gate.set()
        async with running(later_is_busy=lambda: busy, patience=TIMEOUT) as queue:
            tasks = [asyncio.create_task(queue.compute(computer.work("a", patient=True)))]
            await asyncio.sleep(0.05)
            assert computer.batches == []
            tasks += [asyncio.create_task(queue.compute(computer.work("b", patient=True)))]
            await asyncio.sleep(0.05)
            busy = False
            await asyncio.gather(*tasks)
            busy = True
            patient = asyncio.create_task(queue.compute(computer.work("c", patient=True)))
            await asyncio.gather(patient, queue.compute(computer.work("in a hurry")))
        async with running(later_is_busy=lambda: True, patience=0.05) as queue:
            await queue.compute(computer.work("d", patient=True))
        assert computer.batches == [["a", "b"], ["c", "in a hurry"], ["d"]]

    run(test)


def test_groups_are_computed_apart_and_equal_work_once() -> None:
    async def test() -> None:
        computer = Computer()
        async with running() as queue:
            works = [computer.work("a", 4, key="a"), computer.work("b", group="others"), computer.work("a", 4, key="a")]
            works += [computer.work("a", 4, key="a", group="others"), computer.work("c", 4), computer.work("c", 2)]
            tasks = await begun(queue, computer, *works)
            computer.gate.set()
            values = [done.value for done in await asyncio.gather(*tasks)]
        assert values == ["FIRST", "A", "B", "A", "A", "C", "C"]
        assert computer.batches == [["first"], ["c", "a", "c"], ["b", "a"]]

    run(test)


def test_two_threads_compute_two_batches_at_a_time() -> None:
    async def test() -> None:
        computer, both = Computer(), threading.Barrier(2)
        computer.gate.set()

        def compute(items: Sequence[str]) -> list[Any]:
            both.wait(TIMEOUT)
            return computer(items)

        async with running(threads=2) as queue:
            works = [Work(name, compute, 10, "words") for name in "ab"]
            await asyncio.gather(*map(queue.compute, works))
        assert sorted(computer.batches) == [["a"], ["b"]]

    run(test)


def test_a_full_queue_refuses_and_says_when_there_is_room() -> None:
    async def test() -> None:
        computer, metrics = Computer(), Metrics()
        async with running(metrics, waiting=2) as queue:
            queue.require_place()
            tasks = await begun(queue, computer, computer.work("a"))
            queue.require_place()
            with pytest.raises(ServiceError, match="2 requests wait") as caught:
                queue.require_place(ahead=1)
            assert caught.value.status == 429
            assert (caught.value.retry_after or 0) >= 1
            computer.gate.set()
            await asyncio.gather(*tasks)
            queue.require_place(ahead=1)
        assert metrics.registry.get_sample_value("interbert_rejections_total", {"reason": "queue_full"}) == 1

    run(test)


def slow(queue: BatchQueue) -> None:
    """Let a queue believe that it computes ten tokens a second."""
    queue._last.extend([(0.1, 10.0)] * 3)


def test_a_queue_is_full_when_what_waits_takes_longer_than_anybody_waits() -> None:
    async def test() -> None:
        computer = Computer()
        async with running(waiting=100) as queue:
            tasks = await begun(queue, computer, *(computer.work("a", 10) for _ in range(2)))
            queue.require_place(patience=2.0)
            slow(queue)
            assert queue.expected_wait() == pytest.approx(2.5)
            assert queue.expected_wait(ahead=3) == pytest.approx(5.5)
            with pytest.raises(ServiceError) as caught:
                queue.require_place(patience=2.0)
            assert caught.value.retry_after == pytest.approx(1.25)
            for place in (1, 2):
                with pytest.raises(ServiceError) as caught:
                    queue.require_place(patience=2.0)
                assert caught.value.retry_after == pytest.approx(1.25 + place, abs=0.2)  # a second for each request
            for _ in range(100):
                with pytest.raises(ServiceError) as caught:
                    queue.require_place(patience=2.0)
            assert caught.value.retry_after == 60
            queue.require_place(patience=3.0)
            computer.gate.set()
            await asyncio.gather(*tasks)
            slow(queue)
            queue.require_place(patience=0.0)

    run(test)


def test_what_would_be_ready_too_late_is_not_computed() -> None:
    async def test() -> None:
        computer = Computer()
        async with running() as queue:
            first, *_ = await begun(queue, computer)
            late = asyncio.create_task(queue.compute(computer.work("late"), within=TIMEOUT / 2))
            timely = asyncio.create_task(queue.compute(computer.work("timely")))
            await asyncio.sleep(0)
            queue._last.extend([(1000.0, 10.0)] * 3)
            computer.gate.set()
            with pytest.raises(TimeoutError):
                await late
            await asyncio.gather(first, timely)
        assert computer.batches == [["first"], ["timely"]]

    run(test)


def test_a_lone_request_is_tried_whatever_the_last_batches_took() -> None:
    async def test() -> None:
        computer = Computer()
        computer.gate.set()
        async with running() as queue:
            queue._last.extend([(1000.0, 10.0)] * 3)
            assert (await queue.compute(computer.work("lone"), within=TIMEOUT / 2)).value == "LONE"

    run(test)


def test_whose_client_left_is_dropped_before_it_is_computed() -> None:
    async def test() -> None:
        computer, metrics = Computer(), Metrics()

        async def gone() -> bool:
            return True

        async def stays() -> bool:
            return False

        async def broken() -> bool:
            raise OSError("no connection")

        async with running(metrics) as queue:
            _, cancelled = await begun(queue, computer, computer.work("cancelled"))
            checks = {"left": gone, "stays": stays, "broken": broken}
            tasks = [asyncio.create_task(queue.compute(computer.work(name), ask)) for name, ask in checks.items()]
            await asyncio.sleep(0)
            cancelled.cancel()
            computer.gate.set()
            left, stayed, failed = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(left, ServiceError)
        assert left.code == "client_left"
        assert isinstance(stayed, Done)
        assert isinstance(failed, ServiceError)
        assert failed.code == "internal"
        assert cancelled.cancelled()
        assert computer.batches == [["first"], ["stays"]]
        assert metrics.registry.get_sample_value("interbert_abandoned_total") == 2

    run(test)


def test_what_is_not_ready_in_time_is_not_computed_and_not_counted_as_left() -> None:
    async def test() -> None:
        computer, metrics = Computer(), Metrics()
        async with running(metrics) as queue:
            tasks = await begun(queue, computer)
            with pytest.raises(TimeoutError):
                await queue.compute(computer.work("late"), within=0.01)
            assert len(queue) == 0
            computer.gate.set()
            await asyncio.gather(*tasks)
        assert computer.batches == [["first"]]
        assert metrics.registry.get_sample_value("interbert_abandoned_total") == 0

    run(test)


@pytest.mark.parametrize(("bad", "said"), [("bad", "not a word"), ("bad batch", "one of 1 is bad")])
def test_one_bad_item_fails_alone(bad: str, said: str) -> None:
    async def test() -> None:
        computer = Computer()
        async with running() as queue:
            _, *tasks = await begun(queue, computer, *map(computer.work, ["a", bad, "b"]))
            computer.gate.set()
            good, failed, other = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(good, Done)
        assert isinstance(other, Done)
        assert (good.value, other.value) == ("A", "B")
        assert isinstance(failed, UsageError | DataError)
        assert str(failed) == said

    run(test)


def test_an_exception_fails_its_batch_is_logged_once_and_the_queue_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        computer = Computer()
        async with running() as queue:
            _, *tasks = await begun(queue, computer, *map(computer.work, ["a", "crash", "b"]))
            computer.gate.set()
            failures = await asyncio.gather(*tasks, return_exceptions=True)
            assert [one.code for one in failures if isinstance(one, ServiceError)] == ["internal"] * 3
            assert (await queue.compute(computer.work("next"))).value == "NEXT"

    run(test)
    (record,) = caplog.records
    assert "3 requests" in record.message
    assert record.exc_info is not None


def test_idle_threads_share_what_waits() -> None:
    async def test() -> None:
        computer = Computer()
        async with running(threads=2) as queue:
            computer.gate.set()
            assert queue.idle() == 2
            done = [asyncio.create_task(queue.compute(computer.work(name))) for name in ("a", "b", "c", "d")]
            await asyncio.gather(*done)
        assert sorted(map(len, computer.batches)) == [2, 2]

    run(test)
