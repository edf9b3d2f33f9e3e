"""Shapes of OpenAI's embeddings, and of Cohere's and Jina's reranking, as their clients send and read them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from interbert.service.schemas.common import PIXEL, Reply, Request

_MODEL = "Name of an index, whose model is used; the first one that is served when left out."


class EmbeddingsRequest(Request):
    """Texts, and images as data URIs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "shop", "input": "red summer dress"},
                {"model": "shop", "input": ["running shoes", PIXEL], "encoding_format": "base64"},
            ]
        }
    )

    input: str | list[str] = Field(description="A text or several; one that begins with `data:image/` is an image.")
    model: str | None = Field(default=None, max_length=200, description=_MODEL)
    encoding_format: Literal["float", "base64"] = Field(default="float", description="base64: float32, little-endian.")
    dimensions: int | None = Field(default=None, ge=1, description="Only the size that vectors have.")
    user: str | None = Field(default=None, max_length=200, description="Not used.")

    @field_validator("input", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        listed = value if isinstance(value, list) else [value]
        if any(isinstance(one, int | list) for one in listed):
            raise ValueError("tokens are not read, since every model has its own: send texts")
        if not listed or not all(isinstance(one, str) for one in listed):
            raise ValueError("send a text, or a list of one text or more")
        return value

    @property
    def inputs(self) -> list[str]:
        """The texts and data URIs."""
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(Reply):
    """A vector."""

    object: Literal["embedding"] = "embedding"
    index: int = Field(description="Place of the input.")
    embedding: list[float] | str


class Usage(Reply):
    """What was read."""

    prompt_tokens: int = Field(description="Tokens of texts; images count none.")
    total_tokens: int


class EmbeddingsReply(Reply):
    """Vectors in the order of the inputs; the inner product of a text's and an image's is the score that ranks."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class ModelReply(Reply):
    """A model."""

    id: str = Field(description="Name of the index that it belongs to.")
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelsReply(Reply):
    """Models that embed and rerank."""

    object: Literal["list"] = "list"
    data: list[ModelReply]


class Document(Request):
    """What is put in order: an image, or a product of the index."""

    text: str | None = Field(default=None, description="A data URI, or a product's id.")
    image: str | None = Field(default=None, description="An image as a data URI.")
    product_id: str | None = Field(default=None, description="Id of a product of the index.")

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of(self) -> Document:
        if sum(one is not None for one in (self.text, self.image, self.product_id)) != 1:
            raise ValueError("give exactly one of image, product_id and text")
        return self


class RerankRequest(Request):
    """A text, and images or products to put in order by it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "shop", "query": "red summer dress", "documents": ["1163", "1165"], "top_n": 1},
                {"query": "running shoes", "documents": [{"product_id": "1163"}, {"image": PIXEL}]},
            ]
        }
    )

    query: str = Field(min_length=1, description="What the image should show.")
    documents: list[Document] = Field(
        min_length=1,
        description="Images as data URIs, or ids of products; as texts or as objects.",
        json_schema_extra={"items": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/Document"}]}},
    )
    model: str | None = Field(default=None, max_length=200, description=_MODEL)
    top_n: int | None = Field(default=None, ge=1, description="So many results; all when left out.")
    return_documents: bool = Field(default=False, description="Put each document beside its score.")
    rank_fields: list[str] | None = Field(default=None, description="Not used.")
    max_chunks_per_doc: int | None = Field(default=None, description="Not used: documents are no long texts.")
    max_tokens_per_doc: int | None = Field(default=None, description="Not used: documents are no long texts.")
    priority: int | None = Field(default=None, description="Not used.")


class Ranked(Reply):
    """A document in its place."""

    index: int = Field(description="Place of the document in the request.")
    relevance_score: float = Field(description="Probability of a match, 0 to 1.")
    document: dict[str, Any] | None = None


class RerankReply(Reply):
    """Documents, best first."""

    id: str
    model: str
    results: list[Ranked]
    usage: Usage
    meta: dict[str, Any]


EMBEDDED = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.12, -0.53, 0.08]}],
    "model": "shop",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
"""Vectors, for examples."""
MODELS_LISTED = {
    "object": "list",
    "data": [{"id": "shop", "object": "model", "created": 0, "owned_by": "interbert"}],
}
"""Models, for examples."""
RERANKED = {
    "id": "0b6f2c5e8d7a4f35b0f2a7c1d9e4b683",
    "model": "shop",
    "results": [{"index": 1, "relevance_score": 0.93}, {"index": 0, "relevance_score": 0.11}],
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
    "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
}
"""Documents in order, for examples."""
