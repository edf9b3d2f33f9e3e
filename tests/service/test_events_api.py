"""Events over HTTP: a status for each, what they add up to, and erasure."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.service.conftest import MakeClient


@pytest.fixture
def shop(make_client: MakeClient) -> TestClient:
    return make_client()


def search(client: TestClient, text: str = "a red circle", **more: Any) -> dict[str, Any]:
    response = client.post("/v1/search", json={"text": text, "top_k": 5} | more)
    assert response.status_code == 200, response.text
    return dict(response.json())


def click(found: dict[str, Any], rank: int, **more: Any) -> dict[str, Any]:
    product = found["results"][rank - 1]["product_id"]
    return {"kind": "click", "query_id": found["query_id"], "product_id": product, "rank": rank} | more


def written(client: TestClient) -> None:
    """Wait for the searches that are recorded in the background."""
    assert client.portal is not None
    assert client.portal.call(client.app.state.service.seen_queries.flush)  # type: ignore[attr-defined]


def test_each_event_has_a_status(shop: TestClient) -> None:
    found = search(shop)
    events = [
        click(found, 2),
        click(found, 1) | {"kind": "sneeze"},
        {"kind": "click"},
        "click",
        click(found, 1) | {"query_id": "never-seen", "kind": "purchase"},
        {"kind": "view", "product_id": "red-circle", "at": "2026-01-05T12:00:00+02:00"},
        click(found, 1) | {"rank": 0},
    ]
    reply = shop.post("/v1/events", json=events)
    assert reply.status_code == 200
    body = reply.json()
    assert (body["accepted"], body["rejected"], body["unknown_queries"]) == (3, 4, 1)
    assert [one["status"][0] for one in body["results"]] == ["a", "r", "r", "r", "a", "a", "r"]
    assert [one["known_query"] for one in body["results"]] == [True, None, None, None, False, None, None]
    wrong = [one["error"]["where"] for one in body["results"] if one["error"]]
    assert wrong == ["events[1].kind", "events[2].product_id", "events[3]", "events[6].rank"]
    metrics = shop.get("/metrics").text
    assert 'interbert_events_total{kind="click",result="accepted"} 1.0' in metrics
    assert 'interbert_events_total{kind="",result="unknown_query"} 1.0' in metrics


def test_one_event_and_a_named_list(shop: TestClient) -> None:
    assert shop.post("/v1/events", json={"kind": "view", "product_id": "red-circle"}).json()["accepted"] == 1
    assert shop.post("/v1/events", json={"events": [{"kind": "view", "product_id": "x"}]}).json()["accepted"] == 1
    refused = shop.post("/v1/events", json={"kind": "view"})
    assert (refused.status_code, refused.json()["error"]["where"]) == (422, "product_id")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ("[", 400, "bad_request"),
        ("[" * 100_000, 400, "bad_request"),
        ("[]", 422, "invalid"),
        ("7", 422, "invalid"),
        ("[" + "7," * 256 + "7]", 413, "too_large"),
    ],
)
def test_what_is_no_list_of_events_is_refused(shop: TestClient, content: str, status: int, code: str) -> None:
    response = shop.post("/v1/events", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_statistics(shop: TestClient) -> None:
    first = search(shop)
    search(shop, "A red  CIRCLE")
    search(shop, "a blue square", where="price > 1000")
    shop.post("/v1/events", json=[click(first, 2), click(first, 2), click(first, 1) | {"kind": "cart"}])
    written(shop)
    body = shop.get("/v1/statistics/queries", params={"days": 1}).json()
    assert [(one["text"].split()[1], one["searches"]) for one in body["popular"]] == [("red", 2), ("blue", 1)]
    assert body["without_results"] == [{"text": "a blue square", "searches": 1, "without_results": 1}]
    ranks = shop.get("/v1/statistics/click-through", params={"limit": 3}).json()["ranks"]
    assert [(one["rank"], one["impressions"], one["clicks"]) for one in ranks] == [(1, 2, 0), (2, 2, 1), (3, 2, 0)]
    assert ranks[1]["click_through"] == 0.5
    assert shop.get("/v1/statistics/queries", params={"index": "other"}).status_code == 404
    assert shop.get("/v1/statistics/queries", params={"days": 0}).json()["error"]["where"] == "days"


def test_a_clients_searches_and_events_are_erased(shop: TestClient) -> None:
    mine, other = search(shop, client_id="c-1"), search(shop, "a green triangle", client_id="c-2")
    shop.post("/v1/events", json=[click(mine, 1, client_id="c-1"), click(other, 1, client_id="c-2")])
    reply = shop.request("DELETE", "/v1/events", params={"client_id": "c-1"})  # its search waits to be written, too
    assert reply.json() == {"erased": 2}
    popular = shop.get("/v1/statistics/queries").json()["popular"]
    assert [one["text"] for one in popular] == ["a green triangle"]
    assert shop.request("DELETE", "/v1/events", params={"client_id": "c-1"}).json() == {"erased": 0}
    audited = shop.app.state.service.state.audit.list(1)[0]  # type: ignore[attr-defined]
    assert "c-1" not in str(audited)
    assert shop.request("DELETE", "/v1/events").json()["error"]["where"] == "client_id"


def test_events_need_a_key_and_statistics_its_owner(shop: TestClient) -> None:
    keys = shop.app.state.service.state.keys  # type: ignore[attr-defined]
    keep = {right: {"X-API-Key": keys.create(right, [right], None, None, None)[1]} for right in ("search", "admin")}
    access = shop.app.state.service.access  # type: ignore[attr-defined]
    access._open = False  # keys are looked for every few seconds
    event = {"kind": "view", "product_id": "x"}
    assert shop.post("/v1/events", json=event).status_code == 401
    assert shop.post("/v1/events", json=event, headers=keep["search"]).status_code == 200
    for path in ("/v1/statistics/queries", "/v1/statistics/click-through"):
        assert shop.get(path, headers=keep["search"]).status_code == 403
        assert shop.get(path, headers=keep["admin"]).status_code == 200
    assert shop.request("DELETE", "/v1/events?client_id=x", headers=keep["search"]).status_code == 403
