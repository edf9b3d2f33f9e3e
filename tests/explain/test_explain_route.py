"""POST /v1/explain: products by stored tokens, images, errors, and no more at a time than may be."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.conftest import draw
from tests.service.conftest import (  # noqa: F401  fixtures
    built,
    client,
    data_uri,
    make_model,
    model,
    priced,
)

from interbert.explain import explain
from interbert.search.engine import SearchEngine
from interbert.service.errors import ServiceError
from interbert.service.explaining import Explanations, stored_tokens
from interbert.service.metrics import Metrics


def test_a_product(client: TestClient, built: Path) -> None:  # noqa: F811
    response = client.post("/v1/explain", json={"text": "a red circle", "product_id": "red-circle"})
    assert response.status_code == 200, response.text
    told = response.json()
    searched = client.post("/v1/search", json={"text": "a red circle", "top_k": 24}).json()
    match = next(one for one in searched["results"] if one["product_id"] == "red-circle")
    assert told["probability"] == pytest.approx(match["probability"], abs=1e-3)  # vectors of the index are float16
    assert told["index_version"] == searched["index_version"]
    assert (told["index"], told["image_id"]) == ("shop", "red-circle")
    encoder = SearchEngine.open(built, bf16=False).encoder
    own = explain(encoder.model, encoder.processor, "a red circle", draw("red", "circle"))
    assert told["score"] == pytest.approx(own.logit_difference, abs=0.02)
    assert [one["text"] for one in told["words"]] == ["a", "red", "circle"]
    assert [one["box"] for one in told["regions"]] == [pytest.approx(one.box, abs=1e-6) for one in own.regions]
    assert sum(one["score_without"] is not None for one in told["regions"]) == 3


def test_an_image(client: TestClient) -> None:  # noqa: F811
    asked = {"text": "a blue square", "image": data_uri("blue", "square"), "index": "other"}
    told = client.post("/v1/explain", json=asked).json()
    assert (told["index"], told["image_id"]) == ("other", None)
    assert told["dual_score"] is not None
    assert len(told["regions"]) == 5


@pytest.mark.parametrize(
    ("asked", "status", "code", "where"),
    [
        ({"text": "red", "product_id": "none"}, 404, "not_found", "product_id"),
        ({"text": "red"}, 422, "invalid", "body"),
        ({"text": "red", "product_id": "red-circle", "image": "data:"}, 422, "invalid", "body"),
        ({"text": "red", "image": "https://elsewhere.example/a.png"}, 422, "bad_image", "image"),
        ({"text": " ", "product_id": "red-circle"}, 422, "invalid", None),
        ({"text": "r" * 2000, "product_id": "red-circle"}, 422, "invalid", "text"),
        ({"text": "red", "product_id": "red-circle", "index": "none"}, 404, "not_found", "index"),
    ],
)
def test_errors_of_the_route(
    client: TestClient,  # noqa: F811
    asked: dict[str, str],
    status: int,
    code: str,
    where: str | None,
) -> None:
    response = client.post("/v1/explain", json=asked)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code), response.text
    assert response.json()["error"]["where"] == where


def test_boxes_of_other_extractors_are_not_known(built: Path) -> None:  # noqa: F811
    engine = SearchEngine.open(built, bf16=False)
    assert stored_tokens(engine.index, engine.encoder, "red-circle") is not None  # type: ignore[arg-type]
    engine.encoder._extractor = object()  # type: ignore[assignment]
    assert stored_tokens(engine.index, engine.encoder, "red-circle") is None  # type: ignore[arg-type]


def test_more_than_may_wait_are_refused() -> None:
    hold = threading.Event()

    async def many() -> list[object]:
        explanations = Explanations(Metrics(), waiting=1)
        tasks = [asyncio.create_task(explanations.compute(hold.wait)) for _ in range(4)]
        await asyncio.sleep(0.05)
        hold.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await explanations.stop()
        return list(found)

    found = asyncio.run(many())
    assert [getattr(one, "code", one) for one in found] == [True, True, "overloaded", "overloaded"]
    assert isinstance(found[2], ServiceError)
