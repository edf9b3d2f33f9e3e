"""Every error has one shape, with the place; none is a traceback, and no 5xx is the client's fault."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.service.conftest import MakeClient, data_uri

from interbert.service.errors import CODES
from interbert.service.settings import Limits

SMALL = Limits(body_mib=0.1, image_megapixels=0.001, batch=3, query_characters=20, where_characters=20, top_k=5)


def require_error(response: Any, status: int, code: str, where: str | None = None) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body["error"]) == {"code", "message", "where"}
    assert body["error"]["code"] == code
    assert where is None or body["error"]["where"] == where
    assert "Traceback" not in response.text
    return str(body["error"]["message"])


def test_what_no_route_takes(client: TestClient) -> None:
    require_error(client.get("/v1/nothing"), 404, "not_found")
    require_error(client.get("/v1/search"), 405, "method_not_allowed")
    require_error(
        client.post("/v1/search", content=b"a", headers={"Content-Type": "text/plain"}),
        415,
        "unsupported_media_type",
        "Content-Type",
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nul", b"\xff\xfe", b'{"text": "a", "top_k": 1e999}', b'{"text": ' + b"[" * 100_000,
     b'{"queries": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/search", "/v1/embeddings", "/v1/rerank"])
def test_json_that_cannot_be_read(client: TestClient, path: str, body: bytes) -> None:
    response = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422), response.text
    assert response.json()["error"]["code"] in ("bad_request", "invalid")


def test_json_that_nests_too_deeply_is_a_bad_request(client: TestClient) -> None:
    body = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for path in ("/v1/search", "/v1/embeddings"):
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        require_error(response, 400, "bad_request")


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        ({}, "body"),
        ({"text": "red", "colour": "red"}, "colour"),
        ({"text": 5}, "text"),
        ({"text": "red", "top_k": 0}, "top_k"),
        ({"text": "red", "top_k": 100_000}, "top_k"),
        ({"text": "red", "image_weight": 2}, "image_weight"),
        ({"queries": []}, "queries"),
        ({"queries": [{"text": "red"}, {"text": "a", "image": "b"}]}, "queries[1]"),
        ({"queries": [{"text": "red"}, {"text": "a", "weight": -1}]}, "queries[1].weight"),
        ({"queries": [{"text": "red"}], "text": "red"}, "body"),
        ({"text": "red", "facets": [1]}, "facets[0]"),
        ({"text": "red", "deadline_ms": 0}, "deadline_ms"),
        ({"text": "\ud800"}, "text"),
    ],
)
def test_an_impossible_field_is_named(client: TestClient, request_: dict[str, Any], where: str) -> None:
    response = client.post("/v1/search", content=json.dumps(request_), headers={"Content-Type": "application/json"})
    if response.status_code == 400:  # half a character is no JSON for some parsers
        assert where == "text"
        return
    require_error(response, 422, "invalid", where)


def test_not_a_number_is_refused(client: TestClient) -> None:
    for number in ("NaN", "Infinity", "-Infinity"):
        body = f'{{"text": "red", "min_probability": {number}}}'
        response = client.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code in (400, 422)


def test_a_filter_that_is_wrong_at_a_character(client: TestClient) -> None:
    response = client.post("/v1/search", json={"text": "red", "where": "price <"})
    require_error(response, 400, "bad_filter", "where, character 8")
    require_error(client.post("/v1/search", json={"text": "red", "where": "prize < 5"}), 400, "bad_filter")


@pytest.mark.parametrize("request_", [{"text": ""}, {"text": "red", "sort": "prize"}, {"text": "red", "facets": ["x"]}])
def test_what_the_engine_refuses(client: TestClient, request_: dict[str, Any]) -> None:
    message = require_error(client.post("/v1/search", json=request_), 422, "invalid")
    assert "/" not in message.replace("shop:", "")  # no path of this machine


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("http://127.0.0.1:1/a.png", "fetches no addresses"),
        ("FILE:///etc/passwd", "fetches no addresses"),
        ("/etc/passwd", "no data URI"),
        ("data:text/html;base64,AAAA", "no data URI"),
        ("data:image/png;base64,????", "no base64"),
        ("data:image/png;base64,AAAA", "no known format"),
        ("data:image/png;base64,", "no known format"),
        (data_uri("red", "circle")[:-80], "not a readable image"),
    ],
)
def test_an_image_that_cannot_be_read(client: TestClient, image: str, says: str) -> None:
    message = require_error(client.post("/v1/search", json={"image": image}), 422, "bad_image", "image")
    assert says in message
    queries = [{"text": "red"}, {"image": image}]
    require_error(client.post("/v1/search", json={"queries": queries}), 422, "bad_image", "queries[1].image")


def test_a_product_or_index_that_is_not_there(client: TestClient) -> None:
    require_error(client.post("/v1/search", json={"product_id": "a\u0000b'"}), 404, "not_found", "product_id")
    require_error(client.post("/v1/search", json={"text": "red", "index": "no"}), 404, "not_found", "index")


def test_limits(make_client: MakeClient) -> None:
    client = make_client(limits=SMALL)
    search = "/v1/search"
    require_error(client.post(search, json={"text": "r" * 21}), 422, "invalid", "text")
    require_error(client.post(search, json={"queries": [{"text": "r" * 21}]}), 422, "invalid", "queries[0].text")
    require_error(client.post(search, json={"text": "red", "where": "price < 5" * 3}), 422, "invalid", "where")
    require_error(client.post(search, json={"text": "red", "top_k": 6}), 422, "invalid", "top_k")
    require_error(client.post(search, json={"image": data_uri("red", "circle")}), 413, "too_large", "image")
    require_error(client.post("/v1/embeddings", json={"input": ["a"] * 4}), 413, "too_large", "input")
    require_error(client.post("/v1/rerank", json={"query": "a", "documents": ["a"] * 4}), 413, "too_large", "documents")
    require_error(client.post("/v1/embeddings", json={"input": "a" * 21}), 422, "invalid", "input[0]")


@pytest.mark.parametrize("path", ["/v1/search", "/v1/embeddings"])
def test_a_large_body_is_refused_before_it_is_read(make_client: MakeClient, path: str) -> None:
    client, sent = make_client(limits=SMALL), 0

    def body() -> Any:
        nonlocal sent
        for _ in range(100):
            sent += 1 << 14
            yield b" " * (1 << 14)

    require_error(client.post(path, content=b" " * 200_000), 413, "too_large", "body")
    headers = {"Content-Type": "application/json"}
    require_error(client.post(path, content=body(), headers=headers), 413, "too_large", "body")
    assert 'interbert_rejections_total{reason="too_large"} 2.0' in client.get("/metrics").text


def test_an_unexpected_error_is_logged_once_and_told_to_nobody(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(client.app.state.service.indexes["shop"].pipeline, "search", broken)
    with caplog.at_level(logging.INFO, "interbert"):
        response = client.post("/v1/search", json={"text": "red summer dress"})
    require_error(response, 500, "internal")
    assert "secret detail" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    assert sum("secret detail" in (record.exc_text or "") for record in caplog.records) == 1
    assert not any("summer" in record.getMessage() for record in caplog.records)


def test_an_index_that_cannot_be_read_is_told_without_its_path(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interbert.errors import VectorIndexError

    client = make_client()

    async def broken(*_: object, **__: object) -> None:
        raise VectorIndexError("/srv/private/shop: it is damaged")

    monkeypatch.setattr(client.app.state.service.indexes["shop"].pipeline, "search", broken)
    response = client.post("/v1/search", json={"text": "red"})
    require_error(response, 503, "index_unavailable")
    assert "private" not in response.text


def test_retry_after(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from interbert.service.errors import ServiceError

    client = make_client()

    async def full(*_: object, **__: object) -> None:
        raise ServiceError("overloaded", "The queue is full.", retry_after=1.2)

    monkeypatch.setattr(client.app.state.service.indexes["shop"].pipeline, "search", full)
    response = client.post("/v1/search", json={"text": "red"})
    require_error(response, 429, "overloaded")
    assert response.headers["retry-after"] == "2"


def test_openapi_has_examples_and_errors_of_every_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert {"HTTPBearer", "APIKeyHeader"} <= set(document["components"]["securitySchemes"])
    assert "HTTPValidationError" not in json.dumps(document)
    paths = document["paths"]
    assert {"/v1/search", "/v1/indexes", "/v1/embeddings", "/v1/models", "/v1/rerank", "/v2/rerank", "/livez"} <= {
        *paths
    }
    for path, methods in paths.items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["tags"], where
            assert operation["summary"], where
            assert operation["description"], where
            if "requestBody" in operation:
                assert _has_example(document, operation["requestBody"]["content"]), where
            good = [reply for status, reply in operation["responses"].items() if status < "300" and status != "204"]
            assert all(_has_example(document, reply["content"]) for reply in good), where
            bad = {status: reply for status, reply in operation["responses"].items() if status >= "400"}
            assert {"400", "405", "413", "422", "500"} <= set(bad), where
            if path.startswith("/v1"):
                assert {"401", "403", "429", "503"} <= set(bad), where
            for status, reply in bad.items():
                for code, one in reply["content"]["application/json"]["examples"].items():
                    assert CODES[code][0] == int(status)
                    assert set(one["value"]["error"]) == {"code", "message", "where"}
    _require_references(document, document)


def _has_example(document: Any, content: Any) -> bool:
    for kind, body in content.items():
        if kind.startswith("image/"):
            continue
        schema = body.get("schema", {})
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        if not ({"example", "examples"} & set(body) or "examples" in schema):
            return False
    return bool(content)


def _require_references(document: Any, part: Any) -> None:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            kind, name = part["$ref"].split("/")[-2:]
            assert name in document["components"][kind], part["$ref"]
        for one in part.values():
            _require_references(document, one)
    elif isinstance(part, list):
        for one in part:
            _require_references(document, one)
