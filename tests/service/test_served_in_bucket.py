"""Two replicas serve one index in a bucket, over the real protocol: writes of either are found by both, in order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.buckets import bucket_on_loopback
from tests.search.conftest import source_of

from interbert.search.build import build_index
from interbert.search.engine import SearchEngine
from interbert.service.metrics import Metrics
from interbert.service.state import State
from interbert.service.state import replicas as replicas_module
from interbert.service.writes import ProductWriter


@pytest.fixture
def bucket() -> Iterator[str]:
    with bucket_on_loopback("served") as uri:
        yield uri


class Replica:
    """A writer and an engine, as a process of the service has them."""

    def __init__(self, path: str, folder: Path, name: str) -> None:
        self.state = State.open(f"sqlite:///{folder / 'interbert.db'}")
        self.engine = SearchEngine.open(path, bf16=False)
        self.writer = ProductWriter(path, self.engine, self.state, folder / name / "shop", Metrics())

    def set_price(self, price: float) -> str:
        line = json.dumps({"product_id": "red-circle", "price": price}).encode()
        return self.writer.submit("products.update", [line]).id

    def finds(self, price: float) -> bool:
        return bool(self.engine.search("a red circle", where=f"price = {price:g}", rerank=False))


def until(true: object, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_two_replicas_write_and_search_an_index_in_a_bucket(
    bucket: str, model: Path, priced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BEAT_SECONDS", "GONE_SECONDS", "_TRUSTED_SECONDS"):
        monkeypatch.setattr(replicas_module, name, getattr(replicas_module, name) / 4)
    path = f"{bucket}/shop"
    build_index(model, source_of(priced), path)
    one, other = (Replica(path, tmp_path, name) for name in ("one", "other"))
    for replica in (one, other):
        replica.writer.start()
    tasks = [(one, other)[number % 2].set_price(100.0 + number) for number in range(6)]
    until(lambda: one.state.tasks.get(tasks[-1]).finished_at is not None)
    assert {one.state.tasks.get(task).state for task in tasks} == {"succeeded"}
    for replica in (one, other):
        assert replica.finds(105.0)
        assert not replica.finds(104.0), "in the order in which they were acknowledged"

    reached, resumed = threading.Event(), threading.Event()
    require = one.writer._lease.require

    def paused() -> None:
        if not reached.is_set():
            reached.set()
            one.state.replicas._ending.set()  # no beat any more
            resumed.wait(60)
        require()

    monkeypatch.setattr(one.writer._lease, "require", paused)
    with monkeypatch.context() as alone:
        alone.setattr(other.writer, "_step", lambda: time.sleep(0.05))
        left = one.set_price(200.0)
        until(reached.is_set)
    # the machine of "one" stands still in the middle of a write; files are locked on one machine alone
    monkeypatch.setattr("interbert.service.writes.only_writer", lambda path: threading.Lock())
    after = other.set_price(300.0)
    until(lambda: other.state.tasks.get(after).finished_at is not None)
    assert other.state.tasks.get(left).state == "succeeded"
    resumed.set()
    one.writer.stop()
    assert other.finds(300.0)
    assert not other.finds(200.0), "who comes back changes nothing of what others did meanwhile"
    other.writer.stop()
    for replica in (one, other):
        replica.state.close()
