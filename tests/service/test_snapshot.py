"""A snapshot of index and database: what it holds, restored elsewhere, and what is refused."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.service.conftest import data_uri, make_service
from tests.service.test_events_api import click, search, written

from interbert.cli.main import main
from interbert.service.app import create_app
from interbert.service.state import State, database_url
from interbert.service.topic_pages import TopicPages

TOPIC = {"texts": ["red shapes"], "top_k": 4, "pinned": ["red-circle"]}


def opened(index: Path, folder: Path) -> TestClient:
    service = make_service(index, folder, writers=True)
    shop = service.indexes["shop"]
    shop.topics = TopicPages("shop", shop.engine, service.state, service.metrics)
    client = TestClient(create_app(service), raise_server_exceptions=False)
    client.__enter__()
    assert client.portal is not None
    client.portal.call(client.app.state.service.start)  # type: ignore[attr-defined]
    return client


def closed(client: TestClient) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    assert client.portal is not None
    client.portal.call(service.drain)
    client.__exit__(None, None, None)
    service.close()


@pytest.fixture
def shop(index_copy: Path, tmp_path: Path) -> Iterator[TestClient]:
    client = opened(index_copy, tmp_path / "state")
    yield client
    closed(client)


def seen(client: TestClient) -> list[Any]:
    found = [search(client, text) for text in ("a red circle", "a blue square", "a striped scarf")]
    stays = ("results", "total", "facets")
    answers = [{name: one[name] for name in stays} for one in found]
    page = client.get("/v1/topics/red/items").json()
    return [answers, [one["product_id"] for one in page["items"]]]


def test_what_was_there_answers_as_before(
    shop: TestClient, index_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scarf = {"product_id": "scarf", "texts": ["a striped scarf"], "price": 9.5, "image": data_uri("red", "square")}
    assert shop.post("/v1/products", json=scarf).status_code == 200
    assert shop.put("/v1/topics/red", json=TOPIC).status_code in (200, 201)
    found = search(shop, client_id="c-1")
    shop.post("/v1/events", json=click(found, 1, client_id="c-1"))
    written(shop)
    before = seen(shop)
    state, out = shop.app.state.service.state, tmp_path / "backups" / "monday"  # type: ignore[attr-defined]
    shop.app.state.service.indexes["shop"].writer.stop()  # type: ignore[attr-defined]  # it waits for the copy, too
    task = state.tasks.create("products.update", "shop", [b'{"product_id": "scarf", "price": 2.5}\n'], 1)
    words = ["snapshot", "create", str(index_copy), str(out), "--state", str(tmp_path / "state")]
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert "25 images" in said
    assert "1 topics" in said
    assert "(1 not finished)" in said
    assert "and 1 events of shoppers (personal data)" in said
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    shutil.rmtree(index_copy)  # the snapshot needs nothing of where it was made
    restore = ["snapshot", "restore", str(out), str(tmp_path / "restored"), "--state", str(tmp_path / "other")]
    assert main(restore) == 0
    again = opened(tmp_path / "restored", tmp_path / "other")
    again.portal.call(again.app.state.service.indexes["shop"].writer.wait, task.id, 30.0)  # type: ignore
    assert again.get("/v1/products/scarf").json()["metadata"]["price"] == 2.5  # the write that was not finished
    assert again.patch("/v1/products/scarf", json={"price": 9.5}).status_code == 200
    assert seen(again) == before
    assert again.app.state.service.state.events.known_queries([found["query_id"]])  # type: ignore[attr-defined]
    closed(again)


@pytest.fixture
def snapshot(index_copy: Path, tmp_path: Path) -> Path:
    """Of an index and an empty database, without what shoppers did."""
    State.open(database_url(tmp_path / "state", None)).close()
    words = ["snapshot", "create", index_copy, tmp_path / "out", "--state", tmp_path / "state", "--events", "false"]
    assert main([str(word) for word in words]) == 0
    return tmp_path / "out"


def test_what_is_damaged_or_in_the_way_is_refused(
    snapshot: Path, index_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(to: str = "restored", state: str = "other") -> str:
        capsys.readouterr()
        assert main(["snapshot", "restore", str(snapshot), str(tmp_path / to), "--state", str(tmp_path / state)]) == 2
        told = capsys.readouterr().err.splitlines()[-1]  # after the bar
        assert told.startswith("interbert: ")
        assert not (tmp_path / "restored").exists()
        return told

    assert not (snapshot / "state" / "queries.jsonl").exists()
    assert "is there already, and is not overwritten" in refused(index_copy.name)
    state = State.open(database_url(tmp_path / "full", None))
    state.keys.create("front", ["search"], None, None, None)
    state.close()
    assert "holds 1 rows of api_keys" in refused(state="full")
    file = next(snapshot.glob("index/models/*/config.json"))
    whole = file.read_bytes()
    file.write_bytes(whole + b" ")
    assert "config.json is not as it was written" in refused()
    file.unlink()
    assert "config.json is missing" in refused()
    file.symlink_to("/etc/hostname")
    assert "is no file" in refused()
    file.unlink()
    file.write_bytes(whole)
    (snapshot / "more").write_text("x")
    assert "more does not belong to it" in refused()
    (snapshot / "more").unlink()
    said = json.loads((snapshot / "snapshot.json").read_text())
    (snapshot / "snapshot.json").write_text(json.dumps(said | {"schema": "0999"}))
    assert "is of a later version of interbert" in refused()
    (snapshot / "snapshot.json").write_text("{}")
    assert "is a snapshot of format None" in refused()
    (snapshot / "snapshot.json").unlink()
    assert "is no snapshot" in refused()


def test_a_restore_that_was_stopped_goes_on(snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restore = ["snapshot", "restore", str(snapshot), str(tmp_path / "restored"), "--state", str(tmp_path / "other")]
    with monkeypatch.context() as patch:
        patch.setattr(State, "read_tables", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(restore) == 130
    assert main(restore) == 0
