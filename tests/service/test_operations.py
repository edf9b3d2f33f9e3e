"""What operators see: liveness, readiness, numbers, the page and its headers, CORS."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient
from tests.service.conftest import MakeClient

from interbert.service.errors import ServiceError
from interbert.service.routes.pages import web_files

CHECKS = ("models", "index", "state", "accepting")


def not_ready(client: TestClient) -> tuple[int, str, list[str]]:
    response = client.get("/readyz")
    body = response.json()
    assert set(body["error"]) == {"code", "message", "where"}
    return response.status_code, body["error"]["code"], [name for name, sound in body["checks"].items() if not sound]


def test_ready_when_everything_is(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client(start=False)
    service = client.app.state.service
    assert client.get("/livez").json() == {"alive": True}
    assert not_ready(client) == (503, "index_unavailable", ["models"])
    client.portal.call(service.start)
    assert client.get("/readyz").json() == {"ready": True, "checks": dict.fromkeys(CHECKS, True)}

    def away() -> None:
        raise ServiceError("state_unavailable", "It is away.")

    with monkeypatch.context() as patch:
        patch.setattr(service.state, "ping", away)
        assert not_ready(client) == (503, "state_unavailable", ["state"])
    with monkeypatch.context() as patch:
        patch.setattr(type(service.indexes["shop"].engine), "version", property(_fail))
        assert not_ready(client) == (503, "index_unavailable", ["index"])
    service.draining = True
    assert not_ready(client) == (503, "draining", ["accepting"])
    assert client.get("/livez").status_code == 200


def _fail(_: object) -> None:
    from interbert.errors import VectorIndexError

    raise VectorIndexError("It is damaged.")


def test_numbers(client: TestClient) -> None:
    client.post("/v1/search", json={"text": "red"})
    client.get("/v1/products/secret-name")
    client.get("/private/path")
    text = client.get("/metrics").text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all(name.startswith("interbert_") for name in names)
    for name in (
        *("interbert_requests_total", "interbert_request_seconds", "interbert_stage_seconds"),
        *("interbert_queue_length", "interbert_batch_size", "interbert_rejections_total", "interbert_index_version"),
        *("interbert_index_rows", "interbert_unindexed_rows", "interbert_reloads_total", "interbert_writes_total"),
    ):
        assert name in names, name
    assert 'interbert_index_rows{index="shop"} 24.0' in text
    version = client.app.state.service.indexes["shop"].engine.version
    assert f'interbert_index_version{{index="shop",version="{version}"}} 1.0' in text
    assert 'interbert_requests_total{method="POST",route="/v1/search",status="200"}' in text
    assert 'route="(unknown path)"' in text
    assert "private" not in text
    assert "secret" not in text


def test_a_new_version_takes_the_place_of_the_old(make_client: MakeClient) -> None:
    client = make_client(start=False)
    service = client.app.state.service
    served = service.indexes["shop"]
    for version in ("products_0000_a@1", "products_0000_a@2", "products_0001_b@1"):
        service.note_version(served, version)
    text = service.metrics.text().decode()
    assert text.count("interbert_index_version{") == 1
    assert 'version="products_0001_b@1"' in text
    assert 'interbert_reloads_total{index="shop"} 1.0' in text


def test_the_page_is_strict(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page.text
    assert client.get("/livez").headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in client.get("/livez", headers={"Origin": "https://a.example"}).headers


def test_files_of_the_page(client: TestClient) -> None:
    script = client.get("/web/main.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["content-security-policy"]
    assert script.headers["cache-control"] == "no-cache"
    again = client.get("/web/main.js", headers={"If-None-Match": f'"other", W/{script.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("nothing.js", "..%2Fapp.py", "%2Fetc%2Fpasswd"):
        assert client.get(f"/web/{name}").json()["error"]["code"] == "not_found"
    for name, found in web_files().items():  # it works under any path, offline, and makes no markup of texts
        text = found.data.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"""https?://|["'(]/[a-z]+[/"'.]|innerHTML|insertAdjacentHTML|\beval\(""", text), name


def test_cors_by_setting(make_client: MakeClient) -> None:
    client = make_client(start=False, cors_origins=("https://shop.example",))

    def allowed(origin: str) -> str | None:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        headers["Access-Control-Request-Headers"] = "x-api-key, content-type"
        return client.options("/v1/search", headers=headers).headers.get("access-control-allow-origin")

    assert allowed("https://shop.example") == "https://shop.example"
    assert allowed("https://evil.example") is None
    error = client.post("/v1/search", json={}, headers={"Origin": "https://shop.example"})
    assert error.status_code == 422
    assert error.headers["access-control-allow-origin"] == "https://shop.example"
