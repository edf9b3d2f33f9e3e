"""Topics over HTTP: saved, previewed, changed by one who knows the revision, and their pages and logs."""
# ruff: noqa: F401, F811 (fixtures)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.search.conftest import built, index_path, make_model, model, priced
from tests.service.conftest import make_service
from tests.topics.conftest import index, shop_regions, taught

from interbert.search.changes import remove_from_index
from interbert.service.app import create_app
from interbert.service.settings import Limits
from interbert.service.topic_pages import TopicPages

RED = {"texts": ["red paper", "红色"], "where": "stock > 0", "top_k": 5, "min_probability": 0.0}


@pytest.fixture
def shop(index: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A client of a service with topic pages, which are made when a test asks for them."""
    service = make_service(index, tmp_path / "state", limits=Limits(top_k=50, query_characters=60))
    for served in service.indexes.values():
        served.topics = TopicPages(served.name, served.engine, service.state, service.metrics)
    client = TestClient(create_app(service), raise_server_exceptions=False)
    yield client
    for served in service.indexes.values():
        assert served.topics is not None
        served.topics.stop()
    service.close()


def put(client: TestClient, name: str, body: dict[str, Any], status: int = 201, **headers: str) -> dict[str, Any]:
    response = client.put(f"/v1/topics/{name}", json=body, headers=headers)
    assert response.status_code == status, response.text
    return dict(response.json())


def error(response: Any) -> tuple[int, str, str | None]:
    found = response.json()["error"]
    return response.status_code, found["code"], found["where"]


def test_a_topic_is_saved_read_and_deleted(shop: TestClient) -> None:
    saved = put(shop, "red", RED)
    assert saved["revision"] == 1
    assert saved["active"] is True
    assert {name: saved[name] for name in RED} == RED
    read = shop.get("/v1/topics/red")
    assert read.json() == saved
    assert read.headers["etag"] == '"1"'
    assert put(shop, "red", RED | {"top_k": 3}, 200)["revision"] == 2
    made = shop.post("/v1/topics", json={"texts": ["a circle"]})
    assert made.status_code == 201
    listed = shop.get("/v1/topics", params={"limit": 1}).json()
    assert (len(listed["topics"]), listed["total"], listed["next_offset"]) == (1, 2, 1)
    names = [one["id"] for one in shop.get("/v1/topics").json()["topics"]]
    assert names == sorted([made.json()["id"], "red"])
    assert error(shop.post("/v1/topics", json={"id": "red", "texts": ["x"]}))[1:] == ("conflict", "id")
    assert shop.delete("/v1/topics/red").status_code == 204
    assert error(shop.get("/v1/topics/red"))[:2] == (404, "not_found")
    assert error(shop.get("/v1/topics/red/items"))[:2] == (404, "not_found")
    assert error(shop.get("/v1/topics/red/changes"))[:2] == (404, "not_found")
    audited = [(one.action, one.what) for one in shop.app.state.service.state.audit.list(10)]  # type: ignore[attr-defined]
    assert ("topic deleted", "red") in audited
    assert ("topic saved", "red") in audited


def test_one_who_knows_an_older_revision_changes_nothing(shop: TestClient) -> None:
    put(shop, "red", RED | {"expected_revision": 0})
    put(shop, "red", RED | {"top_k": 4}, 200, **{"If-Match": '"1"'})
    for body, headers in ((RED, {"If-Match": '"1"'}), (RED | {"expected_revision": 1}, {})):
        assert error(shop.put("/v1/topics/red", json=body, headers=headers))[:2] == (409, "conflict")
    assert error(shop.put("/v1/topics/red", json=RED | {"expected_revision": 0}))[:2] == (409, "conflict")
    assert error(shop.delete("/v1/topics/red", headers={"If-Match": '"1"'}))[:2] == (409, "conflict")
    assert shop.get("/v1/topics/red").json()["top_k"] == 4
    assert error(shop.put("/v1/topics/red", json=RED, headers={"If-Match": "now"}))[2] == "If-Match"
    assert shop.delete("/v1/topics/red", headers={"If-Match": '"2"'}).status_code == 204


def test_a_page_and_its_log(shop: TestClient, index: Path) -> None:
    put(shop, "red", RED | {"pinned": ["blue-circle"]})
    page = shop.get("/v1/topics/red/items").json()
    assert page["active"] is True
    assert [item["rank"] for item in page["items"]] == [1, 2, 3, 4, 5]
    assert set(page["items"][0]) == {
        *("product_id", "image_id", "rank", "probability", "pinned", "texts", "metadata", "similar")
    }
    assert (page["items"][0]["product_id"], page["items"][0]["pinned"]) == ("blue-circle", True)
    assert (page["revision"], page["topic_id"], page["index"], page["notes"]) == (1, "red", "shop", [])
    assert page["index_version"] == shop.app.state.service.index().engine.version  # type: ignore[attr-defined]
    part = shop.get("/v1/topics/red/items", params={"limit": 2, "offset": 2}).json()
    assert part["items"] == page["items"][2:4]
    assert part["next_offset"] == 4

    gone = page["items"][2]["product_id"]
    remove_from_index(index, ids=[gone])
    shop.app.state.service.index().topics.refresh()  # type: ignore[attr-defined]
    after = shop.get("/v1/topics/red/items").json()
    assert after["index_version"] != page["index_version"]
    changes = shop.get("/v1/topics/red/changes").json()["changes"]
    left = [change for change in changes if change["what"] == "left"]
    assert [(change["product_id"], change["why"]) for change in left] == [(gone, "the product was removed")]
    assert changes[-1]["what"] == "entered"  # newest first
    assert len(shop.get("/v1/topics/red/changes", params={"limit": 2}).json()["changes"]) == 2


@pytest.mark.parametrize("moment", ["0.5", "2026", "1767225600", "2026-01-01", "2026-01-01T00:00:00"])
def test_a_moment_that_could_mean_several_is_refused(shop: TestClient, moment: str) -> None:
    assert error(shop.get("/v1/changes", params={"since": moment})) == (422, "invalid", "since")


def test_a_moment_has_any_zone(shop: TestClient) -> None:
    assert (
        shop.get("/v1/changes", params={"since": "2026-01-01T08:00:00+08:00"}).json()["since"]
        == "2026-01-01T08:00:00+08:00"
    )


def test_a_page_outside_of_its_time_is_empty_and_says_so(shop: TestClient) -> None:
    put(shop, "old", RED | {"valid_to": "2020-01-01T00:00:00Z"})
    page = shop.get("/v1/topics/old/items").json()
    assert (page["active"], page["items"]) == (False, [])
    assert page["notes"] == ["The page is empty: its valid time has ended."]
    assert put(shop, "draft", RED | {"published": False})["active"] is False
    assert shop.get("/v1/topics/draft/items").json()["items"] == []


def test_a_preview_says_why_each_product_is_there_and_stores_nothing(shop: TestClient) -> None:
    reply = shop.post("/v1/topics/preview", json=RED | {"pinned": ["blue-circle", "77"], "published": False})
    assert reply.status_code == 200
    page = reply.json()
    assert page["items"][0]["why"].startswith("pinned by the topic, probability 0.")
    assert page["items"][1]["why"] == f"probability {page['items'][1]['probability']:.2f}"
    assert page["notes"] == ["The pinned product '77' is not in the index."]
    assert page["active"] is False
    assert shop.get("/v1/topics").json()["total"] == 0


@pytest.mark.parametrize(
    ("body", "status", "code", "where"),
    [
        ({"where": "stock ~ 0"}, 400, "bad_filter", "where, character 7"),
        ({"where": "size > 0"}, 400, "bad_filter", "where, character 1"),
        ({"diversify_by": ["brand"]}, 422, "invalid", "diversify_by"),
        ({"texts": []}, 422, "invalid", "texts"),
        ({"texts": ["   "]}, 422, "invalid", "texts[0]"),
        ({"texts": ["x" * 61]}, 422, "invalid", "texts[0]"),
        ({"top_k": 51}, 422, "invalid", "top_k"),
        ({"top_k": 1, "pinned": ["a", "b"]}, 422, "invalid", "body"),
        ({"pinned": ["a"], "hidden": ["a"]}, 422, "invalid", "body"),
        ({"hidden": ["a", "a"]}, 422, "invalid", "body"),
        ({"valid_from": "2026-02-01T00:00:00Z", "valid_to": "2026-01-01T00:00:00Z"}, 422, "invalid", "body"),
        ({"valid_to": "2026-01-01T00:00:00"}, 422, "invalid", "valid_to"),
        ({"valid_to": "2026"}, 422, "invalid", "valid_to"),
        ({"colour": "red"}, 422, "invalid", "colour"),
    ],
)
def test_what_no_topic_can_be_is_refused_and_named(
    shop: TestClient, body: dict[str, Any], status: int, code: str, where: str
) -> None:
    assert error(shop.put("/v1/topics/red", json=RED | body)) == (status, code, where)
    assert error(shop.post("/v1/topics/preview", json=RED | body)) == (status, code, where)
    assert shop.get("/v1/topics").json()["total"] == 0


def test_an_id_is_a_name(shop: TestClient) -> None:
    assert error(shop.put("/v1/topics/-x", json=RED)) == (422, "invalid", "topic_id")
    assert error(shop.get("/v1/topics", params={"index": "other"}))[:2] == (404, "not_found")


def test_writing_needs_the_right_to_write(shop: TestClient) -> None:
    keys = shop.app.state.service.state.keys  # type: ignore[attr-defined]
    headers = {
        right: {"Authorization": f"Bearer {keys.create(right, [right], None, None, None)[1]}"}
        for right in ("search", "write")
    }
    assert error(shop.get("/v1/topics"))[:2] == (401, "unauthorized")
    assert error(shop.put("/v1/topics/red", json=RED, headers=headers["search"]))[:2] == (403, "forbidden")
    assert error(shop.post("/v1/topics/preview", json=RED, headers=headers["search"]))[:2] == (403, "forbidden")
    assert shop.put("/v1/topics/red", json=RED, headers=headers["write"]).status_code == 201
    assert shop.get("/v1/topics/red/items", headers=headers["search"]).status_code == 200


def test_a_model_that_was_never_taught_topics_takes_no_threshold(built: Path, tmp_path: Path) -> None:
    service = make_service(built, tmp_path / "state")
    served = service.index()
    served.topics = TopicPages(served.name, served.engine, service.state, service.metrics)
    client = TestClient(create_app(service), raise_server_exceptions=False)
    refused = client.put("/v1/topics/red", json=RED)
    assert error(refused) == (422, "invalid", "min_probability")
    assert "interbert topics learn" in refused.json()["error"]["message"]
    put(client, "red", RED | {"min_probability": None})
    page = client.get("/v1/topics/red/items").json()
    assert {item["probability"] for item in page["items"]} == {None}
    assert "no probabilities" in page["notes"][0]
    served.topics.stop()
    service.close()


def test_a_page_of_another_trade_says_that_perhaps_nothing_fits(shop: TestClient) -> None:
    put(shop, "trousers", {"texts": ["mending blue jeans"], "pinned": ["blue-circle"], "top_k": 4})
    page = shop.get("/v1/topics/trousers/items").json()
    assert len(page["items"]) > 1
    assert [note[:26] for note in page["notes"]] == ["Perhaps nothing here fits:"]
    only = shop.post(
        "/v1/topics/preview", json={"texts": ["mending blue jeans"], "pinned": ["blue-circle"], "top_k": 1}
    )
    assert only.json()["notes"] == [], "what is pinned is no guess"
