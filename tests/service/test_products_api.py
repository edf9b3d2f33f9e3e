"""Products over HTTP: written with a status a line, changed, removed, shown; writes that are done once."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.service.conftest import MakeClient, data_uri, held

from interbert.service.settings import Limits

NEW = {"product_id": "new", "image": data_uri("purple", "square"), "texts": ["a violet tile"], "price": 3, "stock": 1}


@pytest.fixture
def shop(make_client: MakeClient, index_copy: Path) -> Iterator[TestClient]:
    return make_client(index_copy, writers=True)


def statuses(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [one["status"] for one in response.json()["results"]]


def error_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_products_are_added_found_changed_and_removed(shop: TestClient) -> None:
    response = shop.post("/v1/products", json={"products": [NEW, {"product_id": "absent", "price": 1}, 5]})
    assert statuses(response) == ["added", "rejected", "rejected"]
    assert response.json()["counts"] == {"added": 1, "rejected": 2}
    assert response.json()["results"][1]["error"]["code"] == "not_found"
    shown = shop.get("/v1/products/new").json()
    assert shown["texts"] == ["a violet tile"]
    assert shown["metadata"] == {"price": 3.0, "colour": None, "stock": 1, "sale": None}
    assert [one["image_id"] for one in shown["images"]] == ["new"]
    deadline = time.monotonic() + 10
    found: list[str] = []
    while "new" not in found and time.monotonic() < deadline:  # a search looks for changes once a second
        reply = shop.post("/v1/search", json={"text": "a violet tile", "where": "price = 3", "rerank": False}).json()
        found = [one["product_id"] for one in reply["results"]]
    assert found == ["new"]
    assert statuses(shop.patch("/v1/products/new", json={"price": 4.5, "metadata": {"sale": True}})) == ["updated"]
    assert shop.get("/v1/products/new").json()["metadata"]["price"] == 4.5
    assert statuses(shop.post("/v1/products", json=NEW | {"image": data_uri("red", "square")})) == ["replaced"]
    assert statuses(shop.delete("/v1/products/new")) == ["removed"]
    assert error_of(shop.get("/v1/products/new")) == (404, "not_found")
    assert error_of(shop.delete("/v1/products/new")) == (404, "not_found")
    assert error_of(shop.patch("/v1/products/new", json={"price": 1})) == (404, "not_found")


def test_ndjson_has_a_status_by_line_and_big_writes_are_tasks(shop: TestClient) -> None:
    headers = {"Content-Type": "application/x-ndjson"}
    lines = [json.dumps({"product_id": "red-circle", "price": 2.5}), "{broken", "", json.dumps({"id": "blue-circle"})]
    response = shop.patch("/v1/products", content="\n".join(lines), headers=headers)
    assert statuses(response) == ["updated", "rejected", "unchanged"]
    assert [one["line"] for one in response.json()["results"]] == [1, 2, 4]
    many = "\n".join(json.dumps({"product_id": "red-circle", "stock": number + 9}) for number in range(20))
    accepted = shop.post("/v1/products", content=many, headers=headers)
    assert accepted.status_code == 202
    location = accepted.headers["Location"]
    assert location == f"/v1/tasks/{accepted.json()['id']}"
    deadline = time.monotonic() + 60
    while shop.get(location).json()["finished_at"] is None and time.monotonic() < deadline:
        time.sleep(0.02)
    task = shop.get(location).json()
    assert (task["state"], task["done"], task["total"], task["counts"]) == ("succeeded", 20, 20, {"updated": 20})
    assert len(task["results"]) == 20
    assert "payload" not in task
    assert shop.get("/v1/products/red-circle").json()["metadata"]["stock"] == 28, "lines take effect in their order"
    listed = shop.get("/v1/tasks").json()["tasks"]
    assert [one["total"] for one in listed] == [20, 3]
    assert error_of(shop.get("/v1/tasks/none")) == (404, "not_found")
    waited = shop.request("DELETE", "/v1/products?wait=30", json={"product_ids": ["red-circle"] * 17})
    assert statuses(waited) == ["removed", *["rejected"] * 16]


def test_what_cannot_be_a_write_is_refused_as_a_whole(make_client: MakeClient, index_copy: Path) -> None:
    shop = make_client(index_copy, writers=True, limits=Limits(body_mib=0.01, bulk_mib=0.02))
    assert error_of(shop.post("/v1/products", json={"products": []})) == (422, "invalid")
    assert error_of(shop.post("/v1/products", json={"products": [NEW], "more": 1})) == (422, "invalid")
    assert error_of(shop.post("/v1/products", json=5)) == (422, "invalid")
    assert error_of(shop.post("/v1/products", json={"price": 5})) == (422, "invalid")
    assert error_of(shop.post("/v1/products", json=NEW | {"image": "https://a.example/1.png"})) == (422, "bad_image")
    assert error_of(shop.post("/v1/products", content=b"{", headers={"Content-Type": "application/json"})) == (
        *(400, "bad_request"),
    )
    assert error_of(shop.post("/v1/products", content=b"a", headers={"Content-Type": "text/csv"})) == (
        *(415, "unsupported_media_type"),
    )
    assert error_of(shop.post("/v1/products", json=NEW | {"texts": ["a" * 12_000]})) == (413, "too_large")
    large = b" " * 30_000 + b"{}"
    bulk = shop.post("/v1/products", content=large, headers={"Content-Type": "application/x-ndjson"})
    assert error_of(bulk) == (413, "too_large")
    assert error_of(shop.patch("/v1/products/red-circle", json={})) == (422, "invalid")
    assert error_of(shop.patch("/v1/products/red-circle", json={"product_id": "other", "price": 1})) == (422, "invalid")
    assert error_of(shop.patch("/v1/products/red-circle", json={"price": "much"})) == (422, "invalid")
    assert error_of(shop.post("/v1/products?index=none", json=NEW)) == (404, "not_found")
    assert shop.get("/v1/tasks").json()["tasks"][0]["kind"] == "products.update", "only the price came to a task"
    assert len(shop.get("/v1/tasks").json()["tasks"]) == 1
    service = shop.app.state.service
    assert list((service.settings.folder / "spool" / "shop").iterdir()) == []


def test_ids_of_all_kinds_are_addressed(shop: TestClient) -> None:
    # "%" stands in the ids of benchmarks/service_faults.py: starlette's client decodes a path twice, servers do once
    names = ["a/b", "é 红#1?x=4", 'it\'s "q"', "x/similar", "x/image", "..x", "a//b"]
    written = shop.post("/v1/products", json={"products": [NEW | {"product_id": name} for name in names]})
    assert statuses(written) == ["added"] * len(names)
    for name in names:
        path = f"/v1/products/{quote(name, safe='')}"
        assert shop.get(path).json()["product_id"] == name
        assert statuses(shop.patch(path, json={"price": 9})) == ["updated"]
        assert shop.get(f"{path}/image").headers["content-type"] == "image/jpeg"
        similar = shop.get(f"{path}/similar", params={"top_k": 3}).json()
        assert similar["product_id"] == name
        assert len(similar["results"]) == 3
        assert statuses(shop.delete(path)) == ["removed"]


def test_ids_that_cannot_be_addressed_are_refused(shop: TestClient) -> None:
    for name in ["", "  ", "..", "a\nb", "a\x00b", True, None, ["a"], "a" * 5000, "\ud800"]:
        body = json.dumps(NEW | {"product_id": name})
        response = shop.post("/v1/products", content=body, headers={"Content-Type": "application/json"})
        assert error_of(response) == (422, "invalid"), name


def test_the_image_has_an_etag_and_similar_products_leave_it_out(shop: TestClient) -> None:
    response = shop.get("/v1/products/red-circle/image")
    assert response.status_code == 200
    assert Image.open(io.BytesIO(response.content)).size == (60, 80)
    assert "max-age" in response.headers["Cache-Control"]
    etag = response.headers["ETag"]
    again = shop.get("/v1/products/red-circle/image", headers={"If-None-Match": f'"other", W/{etag}'})
    assert (again.status_code, again.content) == (304, b"")
    other = shop.get("/v1/products/red-circle/image", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200
    assert error_of(shop.get("/v1/products/red-circle/image?image_id=blue-circle")) == (404, "not_found")
    reply = shop.get("/v1/products/red-circle/similar", params={"top_k": 24}).json()
    found = [one["product_id"] for one in reply["results"]]
    assert "red-circle" not in found
    assert len(found) > 5
    cheap = shop.get("/v1/products/red-circle/similar", params={"where": "price < 8"}).json()["results"]
    assert {one["product_id"] for one in cheap} <= {"green-circle", "blue-circle"}
    assert error_of(shop.get("/v1/products/red-circle/similar?where=prise<8")) == (400, "bad_filter")
    assert error_of(shop.get("/v1/products/absent/similar")) == (404, "not_found")
    assert error_of(shop.get("/v1/products/red-circle/similar?top_k=9999")) == (422, "invalid")


def test_the_same_request_with_its_key_is_done_once(shop: TestClient) -> None:
    headers = {"Idempotency-Key": "one"}
    first = shop.post("/v1/products", json=NEW, headers=headers)
    second = shop.post("/v1/products", json=NEW, headers=headers)
    assert statuses(first) == ["added"]
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(shop.get("/v1/tasks").json()["tasks"]) == 1
    assert error_of(shop.post("/v1/products", json=NEW | {"price": 8}, headers=headers)) == (409, "conflict")
    assert error_of(shop.delete("/v1/products/new", headers=headers)) == (409, "conflict")
    state = shop.app.state.service.state
    assert [(one.action, one.count) for one in state.audit.list()] == [("products.write", 1)]


def test_a_small_write_that_takes_longer_is_a_task(shop: TestClient, index_copy: Path) -> None:
    with held(index_copy):
        response = shop.patch("/v1/products/red-circle?wait=0.5", json={"price": 2.5}, headers={"Idempotency-Key": "a"})
        assert response.status_code == 202
        end = time.monotonic() + 60
        while shop.get(response.headers["Location"]).json()["note"] is None and time.monotonic() < end:
            time.sleep(0.05)
        assert shop.get(response.headers["Location"]).json()["note"].startswith("Another command")
        again = shop.patch("/v1/products/red-circle?wait=0.5", json={"price": 2.5}, headers={"Idempotency-Key": "a"})
        assert again.json()["id"] == response.json()["id"]
    shop.portal.call(shop.app.state.service.indexes["shop"].writer.wait, response.json()["id"], 30)
    assert shop.get("/v1/products/red-circle").json()["metadata"]["price"] == 2.5


def test_writes_need_the_right(make_client: MakeClient, index_copy: Path) -> None:
    shop = make_client(index_copy, writers=True)
    state = shop.app.state.service.state
    _, reader = state.keys.create("reader", ["search"], None, None, None)
    _, writer = state.keys.create("writer", ["write"], None, None, None)
    time.sleep(3.1)  # that a first key was made is seen within three seconds
    headers = {"X-API-Key": reader}
    assert error_of(shop.delete("/v1/products/red-circle", headers=headers)) == (403, "forbidden")
    assert error_of(shop.get("/v1/tasks", headers=headers)) == (403, "forbidden")
    assert error_of(shop.delete("/v1/products/red-circle")) == (401, "unauthorized")
    assert statuses(shop.delete("/v1/products/red-circle", headers={"X-API-Key": writer})) == ["removed"]
