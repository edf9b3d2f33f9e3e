"""Writes are tasks on the disk before they are acknowledged; nothing of them is lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import draw, file_bytes
from tests.search.conftest import *  # noqa: F403
from tests.search.conftest import source_of
from tests.service.conftest import held

from interbert.errors import BusyError
from interbert.search.build import build_index
from interbert.search.engine import SearchEngine
from interbert.search.index import ProductIndex
from interbert.search.rollback import kept_versions, roll_back
from interbert.service import spool as spool_module
from interbert.service import writes as writes_module
from interbert.service.errors import ServiceError
from interbert.service.leases import rebuild_lease
from interbert.service.metrics import Metrics
from interbert.service.state import State, Task
from interbert.service.writes import ProductWriter

Make = Callable[[], ProductWriter]


def lines(*values: Any) -> list[bytes]:
    return [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]


def picture(colour: str) -> str:
    return "data:image/png;base64," + base64.b64encode(file_bytes(draw(colour, "circle"))).decode()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State.open(f"sqlite:///{tmp_path / 'interbert.db'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def encoder(built: Path) -> Any:
    return SearchEngine.open(built).encoder


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make(
    index_path: Path, state: State, encoder: Any, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Makes writers that end with the test."""
    monkeypatch.setattr(writes_module, "_PAUSE_SECONDS", 0.02)
    made: list[ProductWriter] = []

    def new() -> ProductWriter:
        engine = SearchEngine(ProductIndex.open(index_path), encoder)
        made.append(ProductWriter(index_path, engine, state, tmp_path / "spool" / "shop", metrics))
        return made[-1]

    yield new
    for one in made:
        one.stop()


@pytest.fixture
def writer(make: Make) -> ProductWriter:
    one = make()
    one.start()
    return one


def finished(writer: ProductWriter, task: Task) -> Task:
    done = asyncio.run(writer.wait(task.id, 60))
    assert done.finished_at is not None
    return done


def rebuild(model: Path, source: Path, index: Path) -> bool:
    """Build the index anew between two changes of the writer."""
    while True:
        with contextlib.suppress(BusyError):
            build_index(model, source_of(source), index, rebuild=True)
            return True


def results(task: Task) -> list[dict[str, Any]]:
    assert task.result is not None
    found: list[dict[str, Any]] = task.result["results"]
    return found


def test_a_write_has_a_status_by_line_and_one_bad_line_sinks_nothing(
    writer: ProductWriter, index_path: Path, metrics: Metrics
) -> None:
    task = writer.submit(
        "products.write",
        lines(
            {"product_id": "new", "image": picture("pink"), "texts": ["a pink circle"], "price": 3, "stock": 1},
            b"{not json",
            {"product_id": "a/b c#'%2F", "image": picture("navy"), "metadata": {"colour": "navy"}},
            {"id": "red-circle", "title": "a crimson circle"},
            {"product_id": "far", "image": "https://shop.example/image.png"},
            {"product_id": "broken", "image": base64.b64encode(b"no image").decode()},
            {"product_id": "absent", "price": 2},
            {"product_id": 17, "image": picture("cyan"), "prise": 2},
        ),
    )
    done = finished(writer, task)
    assert done.state == "succeeded"
    found = results(done)
    rejected = ["rejected"] * 4
    assert [one["status"] for one in found] == ["added", "rejected", "added", "updated", *rejected]
    assert [one["line"] for one in found] == [*range(1, 9)]
    reasons = {one.line: one.reason for one in done.errors}
    assert sorted(reasons) == [2, 5, 6, 7, 8]
    assert "no JSON" in reasons[2]
    assert "none is fetched" in reasons[5]
    assert "Send its image" in reasons[7]
    assert "'price'" in reasons[8]
    index = ProductIndex.open(index_path)
    assert {"new", "a/b c#'%2F"} <= set(index.ids())
    assert index.hits(["red-circle"])[0].texts == ("a crimson circle",)
    assert metrics.registry.get_sample_value("interbert_writes_total", {"index": "shop", "result": "added"}) == 2
    assert writer._state.tasks.lines(task.id, 0) is None, "the lines of a finished task are removed"


def test_updates_take_no_image_and_removals_take_ids(writer: ProductWriter, index_path: Path) -> None:
    update = lines({"product_id": "red-circle", "price": 1.25}, {"product_id": "blue-circle", "image": picture("red")})
    removal = lines("green-circle", {"product_id": "absent"}, {"product_id": "blue-circle", "price": 1})
    first, second = writer.submit("products.update", update), writer.submit("products.remove", removal)
    assert [one["status"] for one in results(finished(writer, first))] == ["updated", "rejected"]
    assert [one["status"] for one in results(finished(writer, second))] == ["removed", "rejected", "rejected"]
    index = ProductIndex.open(index_path)
    assert index.ids("price = 1.25") == ["red-circle"]
    assert "green-circle" not in index.ids()
    assert "blue-circle" in index.ids()


def test_words_of_a_write_are_found_before_the_index_is_kept_up(
    writer: ProductWriter, index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_maintain", lambda: None)
    product = {"product_id": "new", "image": picture("pink"), "texts": ["a flamingo"]}
    finished(writer, writer.submit("products.write", lines(product, {"product_id": "red-circle", "texts": "a heron"})))
    index = ProductIndex.open(index_path)
    assert [hit.product_id for hit in index.full_text_search("flamingo", 5)] == ["new"]
    assert [hit.product_id for hit in index.full_text_search("heron", 5)] == ["red-circle"]


def test_a_task_that_a_kill_left_is_applied_after_the_next_start(make: Make, state: State, index_path: Path) -> None:
    killed = make()
    one = killed.submit("products.write", lines({"product_id": "new", "image": picture("pink")}))
    other = killed.submit("products.update", lines({"product_id": "new", "price": 77.0}))
    state.tasks.progress(one.id, 1)  # at work when it was killed
    again = make()
    again.start()
    assert finished(again, other).state == "succeeded"
    assert state.tasks.get(one.id).state == "succeeded"
    assert ProductIndex.open(index_path).ids("price = 77") == ["new"]


def test_writes_wait_for_another_command_and_go_to_a_rebuilt_index(
    writer: ProductWriter, index_path: Path, model: Path, priced: Path
) -> None:
    with held(index_path):
        task = writer.submit("products.write", lines({"product_id": "new", "image": picture("pink")}))
        end = time.monotonic() + 60
        while writer.note(task.id) is None and time.monotonic() < end:
            waiting = asyncio.run(writer.wait(task.id, 0.05))
            assert waiting.finished_at is None
        assert "Another command" in str(writer.note(task.id))
        assert "new" not in ProductIndex.open(index_path).ids()
    before = ProductIndex.open(index_path).manifest.table
    rebuild(model, priced, index_path)
    assert finished(writer, task).state == "succeeded"
    assert writer.note(task.id) is None
    after = writer.submit("products.write", lines({"product_id": "newer", "image": picture("pink")}))
    assert [one["status"] for one in results(finished(writer, after))] == ["added"]
    index = ProductIndex.open(index_path)
    assert index.manifest.table != before
    assert "newer" in index.ids()


def test_a_build_that_comes_between_two_chunks_gets_all_lines(
    writer: ProductWriter, index_path: Path, model: Path, priced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(writes_module._CHUNK_LINES, "products.write", 1)
    add_errors, rebuilt = writer._state.tasks.progress, []

    def progress(task_id: str, done: int) -> None:
        add_errors(task_id, done)
        if done == 1 and not rebuilt:
            rebuilt.append(rebuild(model, priced, index_path))

    monkeypatch.setattr(writer._state.tasks, "progress", progress)
    new = [{"product_id": f"new-{place}", "image": picture("pink")} for place in range(2)]
    done = finished(writer, writer.submit("products.write", lines(*new)))
    assert rebuilt
    assert [one["status"] for one in results(done)] == ["added", "added"]
    assert {"new-0", "new-1"} <= set(ProductIndex.open(index_path).ids())


def test_a_rollback_that_comes_between_two_chunks_gets_all_lines(
    writer: ProductWriter, index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(writes_module._CHUNK_LINES, "products.write", 1)
    (first,) = (one.name for one in kept_versions(index_path) if one.current)
    progress, gone_back = writer._state.tasks.progress, []

    def progress_and_go_back(task_id: str, done: int) -> None:
        progress(task_id, done)
        if done == 1 and not gone_back:
            gone_back.append(roll_back(index_path, first))

    monkeypatch.setattr(writer._state.tasks, "progress", progress_and_go_back)
    new = [{"product_id": f"new-{place}", "image": picture("pink")} for place in range(2)]
    done = finished(writer, writer.submit("products.write", lines(*new)))
    assert gone_back
    assert [one["status"] for one in results(done)] == ["added", "added"]
    assert {"new-0", "new-1"} <= set(ProductIndex.open(index_path).ids())


def test_writes_wait_for_a_rebuild_by_another_replica(writer: ProductWriter, index_path: Path, tmp_path: Path) -> None:
    other = State.open(f"sqlite:///{tmp_path / 'interbert.db'}")
    lease = rebuild_lease(other, "shop")
    assert lease.claim()
    task = writer.submit("products.update", lines({"product_id": "red-circle", "price": 1.25}))
    end = time.monotonic() + 60
    while writer.note(task.id) is None and time.monotonic() < end:
        assert asyncio.run(writer.wait(task.id, 0.05)).finished_at is None
    assert "Another command" in str(writer.note(task.id))
    assert ProductIndex.open(index_path).ids("price = 1.25") == []
    lease.release()
    assert finished(writer, task).state == "succeeded"
    other.close()


def test_a_full_disk_acknowledges_nothing(
    writer: ProductWriter, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_module.tempfile, "SpooledTemporaryFile", full)
    with pytest.raises(ServiceError, match="Nothing was changed") as raised:
        writer.submit("products.update", lines({"product_id": "red-circle", "price": 1}))
    assert raised.value.code == "storage_full"
    assert str(tmp_path) not in raised.value.message
    assert state.tasks.list("shop") == []


def test_a_database_that_goes_away_and_comes_back_is_waited_for(
    writer: ProductWriter, state: State, index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, failures = state.tasks.finish, []

    def away(*arguments: Any) -> Task:
        if len(failures) < 3:
            failures.append(arguments)
            raise ServiceError("state_unavailable", "The database cannot be reached.")
        return finish(*arguments)

    monkeypatch.setattr(state.tasks, "finish", away)
    done = finished(writer, writer.submit("products.update", lines({"product_id": "red-circle", "price": 1.25})))
    assert len(failures) == 3
    assert done.state == "succeeded"
    assert ProductIndex.open(index_path).ids("price = 1.25") == ["red-circle"]

    def absent(*arguments: Any) -> Task:
        raise ServiceError("state_unavailable", "The database cannot be reached.")

    monkeypatch.setattr(state.tasks, "create", absent)
    with pytest.raises(ServiceError, match="cannot be reached"):
        writer.submit("products.update", lines({"product_id": "red-circle", "price": 9}))


def test_big_writes_are_applied_in_chunks_that_are_seen_early(
    writer: ProductWriter, index_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(writes_module._CHUNK_LINES, "products.update", 10)
    progress, seen = state.tasks.progress, []

    def noted(task_id: str, done: int) -> None:
        progress(task_id, done)
        seen.append((done, len(ProductIndex.open(index_path).ids("price = 0.5"))))

    monkeypatch.setattr(state.tasks, "progress", noted)
    ids = ProductIndex.open(index_path).ids()
    body = [
        *lines(*({"product_id": name, "price": 0.5} for name in ids[:12])),
        b"  ",
        *lines({"product_id": ids[12], "price": 0.5}),
    ]
    done = finished(writer, writer.submit("products.update", body))
    assert (done.total, done.done) == (13, 13)
    assert seen == [(0, 0), (10, 10), (13, 13)]
    assert results(done)[-1]["line"] == 14, "lines are counted as the body has them"
