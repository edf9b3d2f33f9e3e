"""Numbers as JSON for people, and a rebuild that is a task of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Histogram
from starlette.testclient import TestClient
from tests.service.conftest import MakeClient

from interbert.cli.index_build import Options, run
from interbert.cli.parser import parse_options
from interbert.errors import UsageError
from interbert.service.access import Access
from interbert.service.errors import ServiceError
from interbert.service.leases import rebuild_lease
from interbert.service.numbers import observed
from interbert.service.rebuilding import STOPPED, Rebuilds, named_sources
from interbert.service.state import State

ENDS = {"well": "pass", "badly": "import sys; sys.exit('interbert: ' + sys.argv[2] + ': is no folder.')"}


def test_the_service_in_numbers(make_client: MakeClient) -> None:
    client = make_client(names=("shop", "other"))
    for text in ("red", "blue circle"):
        assert client.post("/v1/search", json={"text": text}).status_code == 200
    client.post("/v1/search", json={"text": 7})
    found = client.get("/v1/status").json()
    assert (found["ready"], set(found["checks"].values())) == (True, {True})
    shop, _ = found["indexes"]
    assert (shop["name"], shop["images"], shop["can_rebuild"]) == ("shop", 24, False)
    assert shop["version"] == client.app.state.service.indexes["shop"].engine.version
    assert found["answers"] == {"200": 2, "422": 1}
    assert {one["stage"] for one in found["stages"]} >= {"encode", "recall", "joint"}
    assert {"encode", "joint"} <= {one["name"] for one in found["queues"]}
    (route,) = [one for one in found["routes"] if one["route"] == "/v1/search"]
    assert route["count"] == 3
    keys = client.app.state.service.state.keys
    _, write = keys.create("a", ["write"], None, None, None)
    _, admin = keys.create("b", ["admin"], ["other"], None, None)
    service = client.app.state.service
    service.access = Access(service.state, service.metrics, loopback=False)
    refused = client.get("/v1/status", headers={"X-API-Key": write})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    allowed = client.get("/v1/status", headers={"X-API-Key": admin}).json()
    assert [one["name"] for one in allowed["indexes"]] == ["other"]


def test_quantiles_are_read_off_buckets() -> None:
    metric = Histogram("seconds", "Seconds", ["stage"], registry=None, buckets=(1.0, 2.0, 4.0))
    for value in (0.5, 1.5, 1.5, 3.0):
        metric.labels("joint").observe(value)
    one = observed(metric)["joint",]
    assert (one.count, one.mean) == (4, 1.625)
    assert one.quantile(0.5) == pytest.approx(1.5)
    assert one.quantile(1.0) == 4.0
    metric.labels("joint").observe(100.0)
    assert observed(metric)["joint",].quantile(1.0) == 4.0


def rebuilding(make_client: MakeClient, tmp_path: Path, code: str, start: bool = True) -> TestClient:
    """A client of a service whose rebuilds run some code in the place of the command."""
    client = make_client(start=False)
    service = client.app.state.service
    command = (sys.executable, "-c", code)
    service.rebuilds = Rebuilds({"shop": "feed"}, service.state, tmp_path / "rebuilds", command)
    if start:
        service.rebuilds.start()
    return client


def finished(client: TestClient, task_id: str) -> dict[str, Any]:
    for _ in range(200):
        task = client.get(f"/v1/tasks/{task_id}").json()
        if task["finished_at"]:
            return dict(task)
        time.sleep(0.05)
    raise AssertionError(task)


@pytest.mark.parametrize("how", ENDS)
def test_a_rebuild_is_a_task(make_client: MakeClient, tmp_path: Path, how: str) -> None:
    client = rebuilding(make_client, tmp_path, ENDS[how])
    begun = client.post("/v1/indexes/shop/rebuild")
    assert (begun.status_code, begun.json()["kind"], begun.json()["state"]) == (202, "index.rebuild", "running")
    task = finished(client, begun.headers["location"].rsplit("/", 1)[1])
    assert task["state"] == {"well": "succeeded", "badly": "failed"}[how]
    name = f"{task['id']}.json"  # the option's file, without its folder
    assert task["error"] == {"well": None, "badly": f"interbert: {name}: is no folder."}[how]
    assert not list((tmp_path / "rebuilds").iterdir())
    assert client.get("/v1/tasks").json()["tasks"][0]["id"] == task["id"]


def test_one_rebuild_at_a_time_which_ends_with_the_service(make_client: MakeClient, tmp_path: Path) -> None:
    client = rebuilding(make_client, tmp_path, "import time; time.sleep(600)")
    task = client.post("/v1/indexes/shop/rebuild").json()
    again = client.post("/v1/indexes/shop/rebuild")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert [one["id"] for one in client.get("/v1/status").json()["tasks"]] == [task["id"]]
    assert client.app.state.service.state.tasks.next("shop") is None  # writes are not kept up by it
    client.app.state.service.rebuilds.stop()
    assert client.get(f"/v1/tasks/{task['id']}").json()["error"] == STOPPED
    assert client.post("/v1/indexes/shop/rebuild").json()["error"]["code"] == "draining"


def test_one_rebuild_at_a_time_among_replicas(make_client: MakeClient, tmp_path: Path) -> None:
    client = rebuilding(make_client, tmp_path, "pass")
    service = client.app.state.service
    other = State.open(f"sqlite:///{service.settings.folder / 'interbert.db'}")
    lease = rebuild_lease(other, "shop")
    assert lease.claim()
    refused = client.post("/v1/indexes/shop/rebuild")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert service.state.tasks.list("shop") == []
    lease.release()
    finished(client, client.post("/v1/indexes/shop/rebuild").json()["id"])
    service.rebuilds.stop()
    assert lease.claim(), "the end of a rebuild lets others have it"
    other.close()


def test_a_rebuild_that_a_kill_left_has_failed(make_client: MakeClient, tmp_path: Path) -> None:
    client = rebuilding(make_client, tmp_path, "pass", start=False)
    service = client.app.state.service
    left = service.state.tasks.create("index.rebuild", "shop", ())
    (tmp_path / "rebuilds").mkdir()
    for name in (left.id, "forgotten"):
        (tmp_path / "rebuilds" / f"{name}.json").write_text("{}")
    service.rebuilds.start()
    assert client.get(f"/v1/tasks/{left.id}").json()["error"] == STOPPED
    assert not list((tmp_path / "rebuilds").iterdir())


def test_a_start_leaves_the_rebuild_of_a_replica_that_lives(make_client: MakeClient, tmp_path: Path) -> None:
    client = rebuilding(make_client, tmp_path, "import time; time.sleep(600)")
    task = client.post("/v1/indexes/shop/rebuild").json()
    service = client.app.state.service
    Rebuilds({"shop": "feed"}, service.state, tmp_path / "rebuilds").start()
    assert client.get(f"/v1/tasks/{task['id']}").json()["state"] == "running"
    assert [one.stem for one in (tmp_path / "rebuilds").iterdir()] == [task["id"]]
    service.rebuilds.stop()
    assert not list((tmp_path / "rebuilds").iterdir())


def test_the_end_of_a_rebuild_that_cannot_be_kept_is_kept_by_the_next_start(
    make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = rebuilding(make_client, tmp_path, "pass", start=False)
    service = client.app.state.service
    left = service.state.tasks.create("index.rebuild", "shop", ())
    (tmp_path / "rebuilds").mkdir()
    (tmp_path / "rebuilds" / f"{left.id}.json").write_text("{}")

    def away(*arguments: object) -> None:
        raise ServiceError("state_unavailable", "The database cannot be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(service.state.tasks, "finish", away)
        service.rebuilds.start()
    assert list((tmp_path / "rebuilds").iterdir())
    service.rebuilds.start()
    assert client.get(f"/v1/tasks/{left.id}").json()["error"] == STOPPED


def test_what_is_built_anew_is_as_it_was(
    make_client: MakeClient, tmp_path: Path, index_copy: Path, priced: Path
) -> None:
    client = make_client(index=index_copy, start=False)
    service = client.app.state.service
    rebuilds = Rebuilds({"shop": str(priced)}, service.state, tmp_path / "rebuilds", (sys.executable, "-c", ""))
    service.rebuilds, kept = rebuilds, tmp_path / "kept.json"
    rebuilds._forget = lambda task: (tmp_path / "rebuilds" / f"{task}.json").rename(kept)  # type: ignore[method-assign,func-returns-value,assignment,return-value]
    finished(client, client.post("/v1/indexes/shop/rebuild").json()["id"])
    before = service.indexes["shop"].engine.index.manifest
    for _ in range(100):
        if kept.exists():
            break
        time.sleep(0.02)
    options = parse_options("index build", "", Options, ["--config", str(kept)])
    assert isinstance(options, Options)
    assert json.loads(kept.read_text())["source"] == str(priced)
    run(options)
    time.sleep(1.1)  # an open index looks for builds once a second
    after = service.indexes["shop"].engine.pinned().index.manifest
    assert after.table != before.table
    assert after.same_build(before)


def test_sources_are_of_indexes_that_are_served() -> None:
    assert named_sources(["feed.parquet"], ["shop"]) == {"shop": "feed.parquet"}
    assert named_sources(["a=b.csv", "shop=c.csv"], ["a", "shop"]) == {"a": "b.csv", "shop": "c.csv"}
    for words, indexes in ((["c.csv"], ["a", "b"]), (["c=d"], ["a", "b"]), (["a", "b"], ["shop"]), (["a="], ["a"])):
        with pytest.raises(UsageError, match="--rebuild-source"):
            named_sources(words, indexes)
