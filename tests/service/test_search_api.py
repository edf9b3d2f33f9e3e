"""Search over HTTP: what is asked and answered, forms and data URIs, pages that stay while products change."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.conftest import draw, file_bytes
from tests.service.conftest import MakeClient, data_uri

from interbert.search.changes import remove_from_index
from interbert.search.engine import SearchEngine
from interbert.service.cursors import SECRET, Cursor, Cursors, query_digest
from interbert.service.errors import ServiceError
from interbert.service.schemas.common import field_path, json_safe
from interbert.service.state import State


def searched(client: TestClient, **request: Any) -> dict[str, Any]:
    response = client.post("/v1/search", json=request)
    assert response.status_code == 200, response.text
    return dict(response.json())


def ids(reply: dict[str, Any]) -> list[str]:
    return [one["product_id"] for one in reply["results"]]


def test_a_text(client: TestClient, built: Path) -> None:
    reply = searched(client, text="a red circle", top_k=5)
    hits = SearchEngine.open(built, bf16=False).search("a red circle", top_k=5)
    assert ids(reply) == [hit.product_id for hit in hits]
    assert [one["probability"] for one in reply["results"]] == pytest.approx(
        [hit.probability for hit in hits], abs=1e-5
    )
    first = reply["results"][0]
    assert set(first) == {
        *("product_id", "image_id", "rank", "probability", "estimated", "score", "texts", "metadata", "similar")
    }
    assert first["rank"] == 1
    assert set(first["metadata"]) >= {"price", "colour", "stock", "sale"}
    assert reply["index"] == "shop"
    assert re.fullmatch(r"products_\w+@\d+", reply["index_version"])
    assert reply["degraded"] is False
    assert set(reply["timings_ms"]) >= {"encode", "recall", "joint", "page"}
    assert reply["took_ms"] == pytest.approx(sum(reply["timings_ms"].values()), abs=0.01)
    assert len(reply["query_id"]) >= 16


def test_filter_sort_facets_and_probability(client: TestClient) -> None:
    reply = searched(client, text="a circle", where="price < 15", sort="-price", facets=["colour", "sale"], top_k=3)
    prices = [one["metadata"]["price"] for one in reply["results"]]
    assert prices == sorted(prices, reverse=True)
    assert max(prices) < 15
    assert {"value", "count"} == set(reply["facets"]["colour"][0])
    assert sum(one["count"] for one in reply["facets"]["sale"]) >= reply["total"]
    assert searched(client, text="a circle", min_probability=1.0)["results"] == []


def test_an_image_as_uri_and_as_file(client: TestClient) -> None:
    by_uri = searched(client, image=data_uri("blue", "square"), top_k=4)
    files = {"image": ("a.png", file_bytes(draw("blue", "square")), "image/png")}
    by_file = client.post("/v1/search", files=files, data={"top_k": "4"})
    assert by_file.status_code == 200, by_file.text
    assert ids(by_uri) == ids(by_file.json())
    assert by_uri["results"][0]["probability"] is None
    assert "image" in by_uri["timings_ms"]


def test_a_form_with_every_kind_of_field(client: TestClient) -> None:
    files = {"image": ("a.png", file_bytes(draw("blue", "square")), "image/png")}
    fields = {"text": "in red", "top_k": "2", "rerank": "false", "facets": "colour, sale", "where": "price < 20"}
    one = client.post("/v1/search", files=files, data=fields).json()
    plain = {"text": "in red", "top_k": 2, "rerank": False, "facets": ["colour", "sale"], "where": "price < 20"}
    other = client.post("/v1/search", files=files, data={"request": json.dumps(plain)}).json()
    same = searched(client, image=data_uri("blue", "square"), **plain)
    assert ids(one) == ids(other) == ids(same)
    assert set(one["facets"]) == {"colour", "sale"}
    wrong = client.post("/v1/search", files={"picture": files["image"]})
    assert wrong.json()["error"]["where"] == "picture"
    twice = client.post("/v1/search", files=files, data={"image": data_uri("red", "circle")})
    assert twice.status_code == 422
    assert client.post("/v1/search", data={"request": "[" * 100_000}).status_code in (400, 422)


def test_a_product_finds_others_like_it(client: TestClient) -> None:
    found = ids(searched(client, product_id="red-circle", top_k=5))
    assert found
    assert "red-circle" not in found


def test_several_parts(client: TestClient) -> None:
    parts = [{"text": "a red circle", "weight": 1.0}, {"product_id": "blue-square", "weight": 0.0}]
    reply = searched(client, queries=parts, top_k=3)
    assert "blue-square" not in ids(reply)
    only = searched(client, queries=[{"text": "a red circle"}], top_k=3)
    assert ids(only) == ids(searched(client, text="a red circle", top_k=3))


def test_another_index_by_name(client: TestClient) -> None:
    assert searched(client, text="red", index="other")["index"] == "other"
    listed = client.get("/v1/indexes").json()["indexes"]
    assert [one["name"] for one in listed] == ["shop", "other"]
    assert listed[0]["images"] == 24
    assert {"name": "price", "kind": "number", "unit": ""} in listed[0]["columns"]


def pages(client: TestClient, request: dict[str, Any], between: Any = None) -> list[str]:
    found: list[str] = []
    reply = searched(client, **request)
    while True:
        found += ids(reply)
        assert [one["rank"] for one in reply["results"]] == list(
            range(len(found) - len(reply["results"]) + 1, len(found) + 1)
        )
        if reply["next_cursor"] is None:
            return found
        if between is not None:
            between()
            between = None
        reply = searched(client, **request, cursor=reply["next_cursor"])


def test_pages_are_one_ranking(client: TestClient) -> None:
    request = {"text": "a green square", "top_k": 5, "candidates": 24}
    found = pages(client, request)
    assert found == ids(searched(client, **(request | {"top_k": 24})))
    assert len(set(found)) == len(found) > 10


def test_pages_stay_while_products_change(make_client: MakeClient, index_copy: Path) -> None:
    client = make_client(index=index_copy)
    request = {"text": "a green square", "top_k": 5, "candidates": 24}
    before = pages(client, request)

    def remove() -> None:
        remove_from_index(index_copy, ids=before[6:9])

    version = searched(client, **request)["index_version"]
    assert pages(client, request, between=remove) == before
    after = searched(client, **request)
    assert after["index_version"] != version
    assert not set(before[6:9]) & set(pages(client, request))


def test_cursors_that_are_none(client: TestClient) -> None:
    request = {"text": "a green square", "top_k": 5}
    cursor = searched(client, **request)["next_cursor"]
    forged = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for bad in ("", "a", "a.b", "a.b.c", "é.é", forged, cursor[:-2]):
        response = client.post("/v1/search", json=request | {"cursor": bad})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_cursor"), bad
    other = client.post("/v1/search", json={"text": "another", "top_k": 5, "cursor": cursor})
    assert other.json()["error"]["code"] == "bad_cursor"
    assert ids(searched(client, **(request | {"top_k": 3, "cursor": cursor})))


def test_a_cursor_of_a_version_that_is_gone(client: TestClient) -> None:
    request = {"text": "a green square", "top_k": 5}
    service = client.app.state.service
    from interbert.service.asked import digest_of
    from interbert.service.schemas.search import SearchRequest

    digest = digest_of(SearchRequest(**request), "shop", None)
    cursor = service.cursors.write(Cursor("products_0009_ffffffff@3", 5, 32, digest))
    response = client.post("/v1/search", json=request | {"cursor": cursor})
    assert (response.status_code, response.json()["error"]["code"]) == (410, "cursor_expired")


def test_cursors_are_good_at_every_replica_and_no_other_state(tmp_path: Path) -> None:
    cursor = Cursor("products_0000_ab@1", 10, 32, query_digest({"text": "a"}))
    one, other = (State.open(f"sqlite:///{tmp_path / 'interbert.db'}") for _ in range(2))
    text = Cursors(one.secrets.get(SECRET)).write(cursor)
    assert Cursors(other.secrets.get(SECRET)).read(text, cursor.query) == cursor
    with pytest.raises(ServiceError):
        Cursors(b"another").read(text, cursor.query)
    one.close()
    other.close()


def test_a_deadline_gives_the_order_of_recall(client: TestClient) -> None:
    reply = searched(client, text="a red circle", deadline_ms=0.001)
    assert reply["degraded"] is True
    assert reply["results"]
    assert all(one["probability"] is None for one in reply["results"])


def test_searches_are_recorded_in_the_background(make_client: MakeClient) -> None:
    client = make_client()
    for _ in range(3):
        searched(client, text="Red Circle", client_id="c1")
    searched(client, image=data_uri("red", "circle"))
    service = client.app.state.service
    client.portal.call(service.seen_queries.stop)
    popular = service.state.events.popular("shop", 1, 10)
    assert [(one.text.lower(), one.count) for one in popular] == [("red circle", 3)]


def test_a_database_that_fails_never_fails_a_search(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    events, seen = client.app.state.service.state.events, []

    def away(*_: object) -> None:
        raise ServiceError("state_unavailable", "It is away.")

    with monkeypatch.context() as patch:
        patch.setattr(events, "queries_seen", away)
        searched(client, text="red")
        wait_for(lambda: "interbert_event_failures_total 0.0" not in client.get("/metrics").text)
    monkeypatch.setattr(events, "queries_seen", lambda batch: seen.extend(batch))
    wait_for(lambda: seen)
    assert seen[0].text == "red"
    assert "interbert_lost_queries_total 0.0" in client.get("/metrics").text


def wait_for(happened: Any) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_values_that_json_cannot_hold() -> None:
    import datetime

    import numpy as np

    value = {"a": float("nan"), "b": [np.float32(1.5), float("-inf")], "c": datetime.date(2026, 1, 5), 4: np.int64(3)}
    assert json_safe(value) == {"a": None, "b": [1.5, None], "c": "2026-01-05", "4": 3}


def test_places_of_errors() -> None:
    assert field_path(("body", "queries", 1, "image")) == "queries[1].image"
    assert field_path(("query", "index")) == "index"
    assert field_path(("body", "input", "list[str]", 2)) == "input[2]"
    assert field_path(("body",)) is None
