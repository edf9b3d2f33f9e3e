"""Who may do what: keys, rights, indexes, rates; and what stays open while the database is away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.service.conftest import MakeClient

from interbert.service import access as access_module
from interbert.service.access import Access
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.state import State

RED = {"text": "red circle", "top_k": 2}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def state(tmp_path: Path) -> Any:
    opened = State.open(f"sqlite:///{tmp_path / 'interbert.db'}")
    yield opened
    opened.close()


def refused(access: Access, secret: str | None) -> ServiceError:
    with pytest.raises(ServiceError) as error:
        asyncio.run(access.principal(secret))
    return error.value


def test_without_keys_loopback_is_open(make_client: MakeClient) -> None:
    client = make_client()
    assert client.post("/v1/search", json=RED).status_code == 200
    bearer = {"Authorization": "Bearer any"}  # clients of other services always send something
    assert client.post("/v1/search", json=RED, headers=bearer).status_code == 200


def test_keys_rights_and_indexes(make_client: MakeClient) -> None:
    client = make_client(names=("shop", "toys"))
    keys = client.app.state.service.state.keys
    searcher, search = keys.create("a", ["search"], ["toys"], None, None)
    _, write = keys.create("b", ["write"], None, None, None)
    _, admin = keys.create("c", ["admin"], None, None, None)
    _, gone = keys.create("d", ["search"], None, datetime.now(UTC) - timedelta(seconds=1), None)

    def status(secret: str | None, body: dict[str, Any] = RED, header: str = "X-API-Key") -> int:
        headers = {} if secret is None else {header: secret}
        return int(client.post("/v1/search", json=body, headers=headers).status_code)

    assert status(None) == status("ib_wrong") == status(gone) == 401
    assert status(search) == status(f"Bearer {search}", header="Authorization") == status(admin) == 200
    assert status(write) == 403
    assert status(search, RED | {"index": "toys"}) == 200
    assert status(search, RED | {"index": "shop"}) == status(search, RED | {"index": "none"}) == 403
    listed = client.get("/v1/indexes", headers={"X-API-Key": search}).json()["indexes"]
    assert [one["name"] for one in listed] == ["toys"]
    assert client.post("/v1/search", json=RED).headers["www-authenticate"] == "Bearer"
    assert all(client.get(path).status_code == 200 for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/"))
    metrics = client.get("/metrics").text
    assert 'interbert_rejections_total{reason="unauthorized"}' in metrics
    assert 'interbert_rejections_total{reason="forbidden"}' in metrics
    assert searcher.id not in search.split("_")[2]


def test_a_revoked_key_ends_within_seconds(state: State) -> None:
    clock = Clock()
    access = Access(state, Metrics(), loopback=False, clock=clock)
    key, secret = state.keys.create("a", ["search"], None, None, None)
    assert asyncio.run(access.principal(secret)).key_id == key.id
    state.keys.revoke(key.id)
    clock.now += 10
    assert refused(access, secret).code == "unauthorized"


def test_an_expired_key_ends_at_once_though_it_is_remembered(state: State) -> None:
    access = Access(state, Metrics(), loopback=False, clock=Clock())
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    _, secret = state.keys.create("a", ["search"], None, soon, None)
    asyncio.run(access.principal(secret))
    while datetime.now(UTC) < soon:
        pass
    assert refused(access, secret).code == "unauthorized"


def test_a_first_key_closes_the_service_for_good(state: State) -> None:
    clock = Clock()
    access = Access(state, Metrics(), loopback=True, clock=clock)
    assert asyncio.run(access.principal(None)).key_id is None
    key, _ = state.keys.create("a", ["search"], None, None, None)
    clock.now += 10
    assert refused(access, None).code == "unauthorized"
    state.keys.revoke(key.id)
    clock.now += 10
    assert refused(access, None).code == "unauthorized"


def test_a_rate_is_the_keys_own(state: State) -> None:
    clock = Clock()
    access = Access(state, Metrics(), loopback=False, clock=clock)
    _, slow = state.keys.create("a", ["search"], None, None, 2)
    _, other = state.keys.create("b", ["search"], None, None, 2)
    for _ in range(2):
        asyncio.run(access.principal(slow))
    error = refused(access, slow)
    assert error.code == "rate_limited"
    assert error.retry_after == pytest.approx(30.0)
    asyncio.run(access.principal(other))
    clock.now += 30
    asyncio.run(access.principal(slow))
    assert refused(access, slow).status == 429


def test_a_database_that_is_away_stops_no_search(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    opened = Access(state, Metrics(), loopback=True, clock=clock)
    asyncio.run(opened.principal(None))
    keyed = Access(state, Metrics(), loopback=False, clock=clock)
    _, secret = state.keys.create("a", ["search"], None, None, None)
    _, unused = state.keys.create("b", ["search"], None, None, None)
    asyncio.run(keyed.principal(secret))

    def away(*_: object) -> None:
        raise ServiceError("state_unavailable", "It is away.")

    monkeypatch.setattr(state.keys, "verify", away)
    monkeypatch.setattr(state.keys, "any", away)
    clock.now += access_module._FRESH + 1
    assert asyncio.run(opened.principal(None)).key_id is None
    assert asyncio.run(keyed.principal(secret)).key_id is not None
    assert refused(keyed, unused).code == "state_unavailable"
    clock.now += access_module._KEPT
    assert refused(keyed, secret).code == "state_unavailable"


def test_the_database_is_not_asked_for_each_request(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    access, asked = Access(state, Metrics(), loopback=False, clock=Clock()), []
    _, secret = state.keys.create("a", ["search"], None, None, None)
    verify = state.keys.verify
    monkeypatch.setattr(state.keys, "verify", lambda one: (asked.append(1), verify(one))[1])
    for _ in range(20):
        asyncio.run(access.principal(secret))
    assert len(asked) == 1
