"""Embeddings and reranking through the real clients of OpenAI and Cohere, and as Jina's are sent."""

from __future__ import annotations

import base64
from pathlib import Path

import cohere
import numpy as np
import openai
import pytest
from starlette.testclient import TestClient
from tests.service.conftest import data_uri

from interbert.search.engine import SearchEngine

TEXTS = ["a red circle", "blue square on paper"]


@pytest.fixture(scope="module")
def engine(built: Path) -> SearchEngine:
    return SearchEngine.open(built, bf16=False)


def test_openai(url: str, engine: SearchEngine) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    assert [one.id for one in client.models.list()] == ["shop"]
    plain = client.embeddings.create(model="shop", input=TEXTS, encoding_format="float")
    found = client.embeddings.create(model="shop", input=TEXTS)  # the client asks for base64, and decodes it
    _, expected = engine.encoder.texts(TEXTS)
    for reply in (plain, found):
        assert [one.index for one in reply.data] == [0, 1]
        np.testing.assert_allclose([one.embedding for one in reply.data], expected, atol=1e-5)
    assert plain.usage.prompt_tokens == sum(map(len, engine.encoder.processor.texts_to_ids(TEXTS)))
    one = client.embeddings.create(model="shop", input=TEXTS[0], dimensions=len(expected[0]))
    np.testing.assert_allclose(one.data[0].embedding, expected[0], atol=1e-5)


def test_openai_images_beside_texts(url: str, engine: SearchEngine) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    reply = client.embeddings.create(model="shop", input=[data_uri("red", "circle"), TEXTS[0]])
    image, text = (np.array(one.embedding) for one in reply.data)
    stored = engine.index.vector_search(np.asarray(text, np.float32), 24)
    expected = next(hit.vector for hit in stored if hit.product_id == "red-circle")
    np.testing.assert_allclose(image, expected, atol=2e-3)  # the index has float16


def test_openai_errors(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    with pytest.raises(openai.UnprocessableEntityError, match="tokens are not read"):
        client.embeddings.create(model="shop", input=[[1, 2, 3]])
    with pytest.raises(openai.UnprocessableEntityError, match="numbers"):
        client.embeddings.create(model="shop", input="a", dimensions=3)
    with pytest.raises(openai.NotFoundError, match="no index"):
        client.embeddings.create(model="text-embedding-3-small", input="a")
    with pytest.raises(openai.UnprocessableEntityError, match="empty"):
        client.embeddings.create(model="shop", input="")


def test_cohere_v1(url: str, engine: SearchEngine) -> None:
    client = cohere.Client("any", base_url=url)
    documents = ["blue-square", "red-circle", data_uri("red", "circle")]
    reply = client.rerank(query=TEXTS[0], documents=documents, model="shop", return_documents=True)
    assert sorted(one.index for one in reply.results) == [0, 1, 2]
    scores = {one.index: one.relevance_score for one in reply.results}
    assert [one.relevance_score for one in reply.results] == sorted(scores.values(), reverse=True)
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores[1] == pytest.approx(scores[2], abs=0.02)  # the same image, stored and sent
    by_search = {hit.product_id: hit.probability for hit in engine.search(TEXTS[0], top_k=24, full_text=False)}
    assert scores[0] == pytest.approx(by_search["blue-square"], abs=1e-4)
    assert reply.results[0].document.text == documents[reply.results[0].index]


def test_cohere_v2(url: str) -> None:
    client = cohere.ClientV2("any", base_url=url)
    reply = client.rerank(
        query=TEXTS[0], documents=["blue-square", "red-circle", "green-triangle"], model="shop", top_n=2
    )
    assert len(reply.results) == 2
    assert reply.results[0].relevance_score >= reply.results[1].relevance_score
    with pytest.raises(cohere.errors.UnprocessableEntityError):
        client.rerank(query=TEXTS[0], documents=["a text that is no id"], model="shop")


def test_as_jina_sends_it(client: TestClient) -> None:
    body = {
        "model": "shop",
        "query": TEXTS[0],
        "documents": [{"image": data_uri("red", "circle")}, {"product_id": "blue-square"}, {"text": "red-circle"}],
        "top_n": 3,
        "return_documents": True,
    }
    reply = client.post("/v1/rerank", json=body).json()
    assert {one["index"]: one["document"] for one in reply["results"]} == dict(enumerate(body["documents"]))
    assert reply["usage"]["total_tokens"] > 0
    wrong = client.post("/v1/rerank", json=body | {"documents": ["red-circle", {"product_id": "no"}]})
    assert wrong.json()["error"]["where"] == "documents[1]"
    wrong = client.post("/v1/rerank", json=body | {"documents": ["red-circle", {"image": "http://a/b.png"}]})
    assert (wrong.json()["error"]["code"], wrong.json()["error"]["where"]) == ("bad_image", "documents[1]")
    wrong = client.post("/v1/rerank", json=body | {"documents": ["red-circle", {"image": "a", "text": "b"}]})
    assert wrong.json()["error"]["where"] == "documents[1]"


def test_base64_is_little_endian_float32(client: TestClient) -> None:
    body = {"input": TEXTS[0], "encoding_format": "base64"}
    text = client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    plain = client.post("/v1/embeddings", json={"input": TEXTS[0]}).json()["data"][0]["embedding"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(text), "<f4"), plain, atol=1e-6)
