"""Requests that broke something once, or could: each is answered by its fault, with one JSON error."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient
from tests.service.conftest import MakeClient
from tests.service.test_api_errors import require_error

from interbert.service import middleware
from interbert.service.app import create_app, service_error
from interbert.service.errors import CODES, ServiceError

HALF = '"\\ud800"'


@pytest.mark.parametrize(
    ("method", "path", "body", "where"),
    [
        ("POST", "/v1/embeddings", f'{{"input": [{HALF}]}}', "input"),
        ("POST", "/v1/rerank", f'{{"query": {HALF}, "documents": ["a"]}}', "query"),
        ("POST", "/v2/rerank", f'{{"query": "a", "documents": [{{"text": {HALF}}}]}}', "documents"),
        ("POST", "/v1/events", f'{{"kind": "click", "product_id": {HALF}}}', "product_id"),
        ("POST", "/v1/search", f'{{"text": {HALF}}}', None),
        ("POST", "/v1/search", f'{{{HALF}: 1, "text": "a"}}', None),
        ("POST", "/v1/embeddings", f'{{"input": "a", {HALF}: 1}}', "body"),
    ],
)
def test_halves_of_characters(client: TestClient, method: str, path: str, body: str, where: str | None) -> None:
    reply = client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (400, 422), reply.text
    require_error(reply, reply.status_code, "invalid" if reply.status_code == 422 else "bad_request", where)


def test_halves_of_characters_among_writes(make_client: MakeClient) -> None:
    client = make_client(writers=True)
    headers = {"Content-Type": "application/json"}
    beside = client.post("/v1/products", content=f'{{"products": [], {HALF}: 1}}', headers=headers)
    require_error(beside, 422, "invalid", "?")
    in_id = client.post("/v1/products", content=f'{{"products": [{{"product_id": {HALF}}}]}}', headers=headers)
    assert in_id.status_code == 200, in_id.text
    assert in_id.json()["counts"] == {"rejected": 1}


def test_allow_names_every_method_of_a_path(client: TestClient) -> None:
    for path, allowed in {
        "/livez": "GET",
        "/v1/events": "DELETE, POST",
        "/v1/products": "DELETE, PATCH, POST",
        "/v1/products/a": "DELETE, GET, PATCH",
        "/v1/products/a/image": "GET",
        "/v1/topics/a": "DELETE, GET, PUT",
        "/openapi.json": "GET",
    }.items():
        reply = client.request("TRACE", path)
        require_error(reply, 405, "method_not_allowed")
        assert reply.headers["allow"] == allowed


def test_what_is_only_read_is_no_product(make_client: MakeClient) -> None:
    client = make_client(writers=True)
    for method, name in (("PATCH", "similar"), ("DELETE", "image")):
        reply = client.request(method, f"/v1/products/red-circle/{name}", json={"price": 1})
        assert "%2F" in require_error(reply, 405, "method_not_allowed")
        assert reply.headers["allow"] == "GET"


def test_no_redirect_to_the_host_that_a_request_names(client: TestClient) -> None:
    reply = client.post("/v1/search/", json={"text": "a"}, headers={"Host": "other.example"}, follow_redirects=False)
    require_error(reply, 404, "not_found")


@pytest.mark.parametrize("moment", [0, 1.5e9, "2026-12-01T08:00:00"])
def test_a_moment_is_a_text_with_its_zone(client: TestClient, moment: Any) -> None:
    reply = client.post("/v1/events", json={"kind": "click", "product_id": "a", "at": moment})
    require_error(reply, 422, "invalid", "at")


def test_messages_have_names_for_paths_and_no_words_of_the_database() -> None:
    paths = {"data": "shop", "/srv/idx": "a", "/srv/idx/b": "b"}
    said = service_error(ServiceError("invalid", "/srv/idx/b: no metadata, data: /srv/idx: database."), paths)
    assert said.message == "b: no metadata, shop: a: database."
    for code in ("state_unavailable", "storage_full"):
        found = service_error(ServiceError(code, "postgresql://host/x: gone", retry_after=1.0), paths)
        assert (found.message, found.retry_after) == (CODES[code][1], 1.0)


def read(sock: socket.socket) -> tuple[int, dict[str, Any]]:
    reply = http.client.HTTPResponse(sock)
    reply.begin()
    return reply.status, json.loads(reply.read())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_too_much_gets_the_answer(url: str, chunked: bool) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(400):
            yield b"a" * (1 << 17)

    headers = {"Content-Type": "application/json"} | ({} if chunked else {"Content-Length": str(400 << 17)})
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("POST", "/v1/embeddings", parts(), headers, encode_chunked=chunked)
    reply = connection.getresponse()
    assert (reply.status, json.loads(reply.read())["error"]["code"]) == (413, "too_large")


def test_a_client_that_waits_for_the_go_ahead_sends_nothing_in_vain(url: str) -> None:
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=3) as sock:  # the rest takes 5 s
        sock.sendall(b"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        status, body = read(sock)
        assert (status, body["error"]["code"]) == (413, "too_large")
        assert sock.recv(1) == b""


@pytest.mark.parametrize("path", ["/v1/search", "/v1/embeddings", "/v1/events"])
def test_a_body_that_stops_coming(url: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "_BODY_SECONDS", 0.2)
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as sock:
        sock.sendall(
            f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n".encode()
            + b"Content-Length: 99\r\n\r\n{"
        )
        status, body = read(sock)
        assert (status, body["error"]["code"], body["error"]["where"]) == (408, "timeout", "body")


def test_every_operation_refuses_who_may_not(make_client: MakeClient) -> None:
    client = make_client(writers=True)
    keys = client.app.state.service.state.keys  # type: ignore[attr-defined]
    secrets = {right: keys.create(right, [right], None, None, None)[1] for right in ("search", "write")}
    client.app.state.service.access._open = False  # type: ignore[attr-defined]
    refused: dict[str, set[str]] = {"search": set(), "write": set()}
    for path, operations in create_app(client.app.state.service).openapi()["paths"].items():  # type: ignore[attr-defined]
        for method, operation in operations.items():
            name = f"{method} {path}"
            asked = path.replace("{product_id}", "a").replace("{topic_id}", "a").replace("{task_id}", "a")
            body = {"texts": ["a"]} if "topics" in path else {"input": "a", "query": "a", "documents": ["a"]}
            body = body if "rerank" not in path else {"query": "a", "documents": ["a"]}
            body = body if "embeddings" not in path else {"input": "a"}
            given = {"json": body} if "requestBody" in operation else {}
            parameters = {"client_id": "a"} if name == "delete /v1/events" else {}
            reply = client.request(method, asked, params=parameters, **given)  # type: ignore[arg-type]
            if not operation.get("security"):
                assert path in ("/livez", "/readyz", "/metrics")
                assert reply.status_code == 200
                continue
            require_error(reply, 401, "unauthorized")
            for right, secret in secrets.items():
                key = {"X-API-Key": secret}
                reply = client.request(method, asked, params=parameters, headers=key, **given)  # type: ignore[arg-type]
                if reply.status_code == 403:
                    require_error(reply, 403, "forbidden")
                    refused[right].add(name)
    admin = {"delete /v1/events", "get /v1/status", "post /v1/indexes/{name}/rebuild"}
    admin |= {f"get /v1/statistics/{name}" for name in ("queries", "click-through", "experiments")}
    assert admin <= refused["search"] & refused["write"]
    writes = {f"{method} /v1/products" for method in ("post", "patch", "delete")}
    writes |= {f"{method} /v1/products/{{product_id}}" for method in ("patch", "delete")}
    writes |= {
        "post /v1/topics",
        "post /v1/topics/preview",
        "put /v1/topics/{topic_id}",
        "delete /v1/topics/{topic_id}",
    }
    assert refused["search"] == admin | writes | {"get /v1/tasks", "get /v1/tasks/{task_id}"}
