"""Requests and answers of search, and what the service says of its indexes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from interbert.service.schemas.common import PIXEL, Reply, Request

Weight = Annotated[float, Field(ge=0.0, le=1000.0)]
_IMAGE = "An image as a data URI: `data:image/jpeg;base64,...`. The service fetches no URLs."
_ONE = "one of text, image and product_id"


class QueryPart(Request):
    """A part of a query: a text, an image, or a product whose images results should look like."""

    text: str | None = Field(default=None, description="What the image should show.")
    image: str | None = Field(default=None, description=_IMAGE)
    product_id: str | None = Field(default=None, description="Id of a product of the index.")
    weight: Weight = Field(default=1.0, description="What the part counts beside the others.")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(one is not None for one in (self.text, self.image, self.product_id)) != 1:
            raise ValueError(f"give exactly {_ONE}")
        return self


class SearchRequest(Request):
    """A search: a text, an image, a text and an image, a product, or several parts with weights."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "red summer dress", "top_k": 5},
                {"text": "running shoes", "where": "price < 50", "sort": "price", "facets": ["colour"], "top_k": 20},
                {"image": PIXEL, "top_k": 10},
                {"queries": [{"text": "in blue", "weight": 1.0}, {"product_id": "1163", "weight": 0.5}]},
            ]
        }
    )

    text: str | None = Field(default=None, description="What the image should show.")
    image: str | None = Field(default=None, description=_IMAGE)
    product_id: str | None = Field(default=None, description="Results should look like this product.")
    queries: list[QueryPart] | None = Field(
        default=None, min_length=1, max_length=16, description="Several parts instead."
    )
    index: str | None = Field(
        default=None, description="Name of the index; the first one that is served when left out."
    )
    where: str | None = Field(default=None, description="A filter: `price < 50 and colour != 'black'`.")
    top_k: int = Field(default=10, ge=1, description="Results of a page.")
    candidates: int = Field(
        default=32, ge=1, description="Products recalled for the joint model; at least `2 * top_k` are."
    )
    rerank: bool = Field(
        default=True, description="Score candidates by the joint model; false keeps the order of recall."
    )
    read_all: bool = Field(
        default=False,
        description="Read every candidate jointly, also those too far below to come first; else they get estimates.",
    )
    full_text: bool = Field(default=True, description="Let the words of titles find candidates, and count.")
    spelling: bool = Field(
        default=True, description="Correct wrong letters by the words of titles; the answer says what was changed."
    )
    image_weight: float = Field(
        default=0.5, ge=0.0, le=1.0, description="With a text: what the image or product counts."
    )
    min_probability: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Leave out what matches less probably."
    )
    sort: str | None = Field(default=None, max_length=200, description="A column, `price`; descending `-price`.")
    facets: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list, max_length=16, description="Columns whose values are counted over all results."
    )
    cursor: str | None = Field(
        default=None, max_length=20_000, description="`next_cursor` of the page before, same request."
    )
    deadline_ms: float | None = Field(
        None, gt=0.0, le=600_000.0, description="Answer in recall's order, `degraded`, when scoring takes longer."
    )
    client_id: str | None = Field(
        default=None, max_length=200, description="Whose search it is, for events; can be erased."
    )

    def parts(self, uploaded: bool = False) -> list[QueryPart]:
        """The parts of the query, with weights; an uploaded image is that of the field ``image``.

        Raises:
            ValueError: there is none, or both ``queries`` and single ones.
        """
        image = "" if uploaded else self.image
        looks = [{"image": image}] if image is not None else []
        looks += [{"product_id": self.product_id}] if self.product_id is not None else []
        if self.queries is not None:
            if self.text is not None or looks:
                raise ValueError("give queries, or text, image and product_id beside them, not both")
            return self.queries
        if self.text is None and not looks:
            raise ValueError("give a text, an image, a product_id, or queries")
        both = self.text is not None and bool(looks)
        text = [] if self.text is None else [QueryPart(text=self.text, weight=1 - self.image_weight if both else 1.0)]
        each = (self.image_weight if both else 1.0) / max(len(looks), 1)
        return [*text, *(QueryPart(**one, weight=each) for one in looks)]


class Result(Reply):
    """A product that was found."""

    product_id: str
    image_id: str = Field(description="Of its images the one that fits best.")
    rank: int = Field(description="1 is best.")
    probability: float | None = Field(description="Of a match of text and image; null where it was not computed.")
    score: float | None = Field(description="What the list is ordered by, comparable within one search only.")
    texts: list[str]
    metadata: dict[str, Any] = Field(description="The catalogue's columns.")
    similar: list[str] = Field(description="Ids of near-duplicates that this one stands for.")


class FacetValue(Reply):
    """A value of a column, and how many results have it."""

    value: Any
    count: int


class Replacement(Reply):
    """Words that others took the place of."""

    typed: str
    searched: str


class Rewrite(Reply):
    """What was searched for a text."""

    typed: str
    searched: str
    corrections: list[Replacement] = Field(description="Wrong letters, corrected by the words of titles.")
    wordings: list[Replacement] = Field(description="Words that neither titles nor model know, and their synonyms.")
    synonyms: list[str] = Field(description="Further wordings that titles were searched for.")


class SearchReply(Reply):
    """A page of results."""

    query_id: str = Field(description="To be sent with events of these results.")
    results: list[Result]
    total: int = Field(description="Results of the ranking in all, over all pages.")
    read: int = Field(description="Candidates that the joint model read; the matches of others are estimates.")
    next_cursor: str | None = Field(description="The page after this one; null on the last.")
    facets: dict[str, list[FacetValue]]
    rewrites: list[Rewrite] = Field(description="Texts that were not searched as typed; `spelling: false` leaves them.")
    index: str
    index_version: str = Field(description="The version of the index that was searched.")
    variant: str | None = Field(description="Of an experiment, the index that answered; null without one.")
    took_ms: float = Field(description="Sum of `timings_ms`.")
    timings_ms: dict[str, float] = Field(description="Milliseconds of each stage, waiting in queues included.")
    degraded: bool = Field(description="True: the order of recall, since the joint model had no time.")


class ColumnReply(Reply):
    """A column that filters, facets and sort may use."""

    name: str
    kind: Literal["text", "integer", "number", "boolean", "date", "list"]
    unit: str


class SourceColumns(Reply):
    """Names that a written product may use besides the API's own: of the columns that the index was built from."""

    product_id: str | None
    image_id: str | None
    image: str | None
    texts: list[str]


class IndexReply(Reply):
    """An index that is served."""

    name: str
    version: str
    images: int
    columns: list[ColumnReply]
    model: str = Field(description="Name of the model directory it was built with.")
    vector_size: int
    source_columns: SourceColumns


class IndexesReply(Reply):
    """All indexes that the key may use."""

    indexes: list[IndexReply]


RESULT = {
    "product_id": "1163",
    "image_id": "1163",
    "rank": 1,
    "probability": 0.93,
    "score": 0.0328,
    "texts": ["red cotton summer dress"],
    "metadata": {"price": 39.9, "colour": "red"},
    "similar": [],
}
"""A result, for examples."""
SEARCHED = {
    "query_id": "0b6f2c5e8d7a4f35b0f2a7c1d9e4b683",
    "results": [RESULT],
    "total": 31,
    "next_cursor": "eyJvIjo1fQ.c2lnbmF0dXJl",
    "facets": {"colour": [{"value": "red", "count": 12}]},
    "rewrites": [
        {
            "typed": "red sumer dress",
            "searched": "red summer dress",
            "corrections": [{"typed": "sumer", "searched": "summer"}],
            "wordings": [],
            "synonyms": [],
        }
    ],
    "index": "shop",
    "index_version": "products_0001_ab12cd34@17",
    "variant": None,
    "took_ms": 41.5,
    "timings_ms": {"wait_encode": 1.0, "encode": 6.5, "recall": 9.0, "wait_joint": 1.0, "joint": 23.0, "page": 1.0},
    "degraded": False,
}
"""A page of results, for examples."""
INDEXES = {
    "indexes": [
        {
            "name": "shop",
            "version": "products_0001_ab12cd34@17",
            "images": 12497,
            "columns": [{"name": "price", "kind": "number", "unit": "$"}],
            "model": "retrieval",
            "vector_size": 385,
            "source_columns": {"product_id": "id", "image_id": None, "image": "image", "texts": ["title"]},
        }
    ]
}
"""The indexes, for examples."""
