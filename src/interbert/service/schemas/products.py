"""Products and their writes, as requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from interbert.service.schemas.common import Reply
from interbert.service.schemas.search import Result

_PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
PRODUCT: dict[str, Any] = {
    "product_id": "1163",
    "image": _PIXEL,
    "texts": ["red cotton summer dress"],
    "price": 39.9,
    "colour": "red",
}
"""A product to write, for examples."""


class ProductRequest(Reply):
    """A product: ids, texts, an image, and the index's columns by their names, here or in `metadata`.

    What is left out stays as it is. The names of the index's own columns of ids, texts and images may be used, too.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [PRODUCT]})

    product_id: str | int = Field(description="Id of the product.")
    image_id: str | int | None = Field(None, description="Id of the image, for products with several.")
    image: str | None = Field(
        None, description="A data URI, or base64. May be left out when the product is in the index. No URL is fetched."
    )
    texts: list[str] | str | None = Field(None, description="Titles and the like.")
    metadata: dict[str, Any] | None = Field(None, description="Columns whose names are those of other fields.")


class ProductsRequest(Reply):
    """Products; each has a status of its own in the answer, whatever is wrong with the others."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"products": [PRODUCT]}]})

    products: list[Any] = Field(min_length=1, description="Each as `ProductRequest`.")


class ColumnsRequest(Reply):
    """Columns and texts of a product; what is left out stays as it is."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"price": 35.5, "stock": 12}]})


class RemovalRequest(Reply):
    """Products to remove."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"product_ids": ["1163", "1164"]}]})

    product_ids: list[Any] = Field(min_length=1, description="Ids, as texts or numbers.")


class LineError(Reply):
    """Why a line was rejected."""

    code: str
    message: str


class LineReply(Reply):
    """What was done to a line."""

    line: int = Field(description="Place among the products, or line of the body, from 1.")
    product_id: str | None
    image_id: str | None = Field(description="Null where all images of the product were meant.")
    status: Literal["added", "replaced", "updated", "unchanged", "removed", "rejected"]
    error: LineError | None


class WriteReply(Reply):
    """What was done."""

    task_id: str | None = Field(description="Null where every line was rejected at once.")
    counts: dict[str, int] = Field(description="Lines by status.")
    results: list[LineReply]


class TaskErrorReply(Reply):
    """A line that was rejected."""

    line: int
    product_id: str | None
    message: str


class TaskReply(Reply):
    """A write, which goes on after its answer."""

    id: str
    kind: str
    index: str
    state: Literal["waiting", "running", "succeeded", "failed"]
    total: int | None = Field(description="Lines.")
    done: int = Field(description="Lines that were worked through.")
    error_count: int = Field(description="Lines that were rejected.")
    errors: list[TaskErrorReply] = Field(description="The first of them.")
    counts: dict[str, int] | None = Field(description="Lines by status, when it is finished.")
    results: list[LineReply] | None = Field(description="Of writes of up to 1,000 lines, when they are finished.")
    error: str | None = Field(description="Why it failed as a whole.")
    note: str | None = Field(description="What it waits for.")
    created_at: datetime
    finished_at: datetime | None


class TasksReply(Reply):
    """Tasks, newest first."""

    tasks: list[TaskReply]


class ImageReply(Reply):
    """An image of a product."""

    image_id: str
    digest: str = Field(description="SHA-256 of its file.")


class ProductReply(Reply):
    """A product of the index."""

    product_id: str
    texts: list[str] = Field(description="Of all its images.")
    metadata: dict[str, Any] = Field(description="The index's columns, of its first image.")
    images: list[ImageReply]
    index: str


class SimilarReply(Reply):
    """Products like one of the index."""

    product_id: str
    results: list[Result]
    index: str
    index_version: str


WRITTEN = {
    "task_id": "0b6f2c5e8d7a4f35b0f2a7c1d9e4b683",
    "counts": {"added": 1},
    "results": [{"line": 1, "product_id": "1163", "image_id": "1163", "status": "added", "error": None}],
}
TASK = {
    "id": "0b6f2c5e8d7a4f35b0f2a7c1d9e4b683",
    "kind": "products.write",
    "index": "shop",
    "state": "running",
    "total": 20_000,
    "done": 2_048,
    "error_count": 1,
    "errors": [{"line": 17, "product_id": "1180", "message": "image is neither a data URI nor base64."}],
    "counts": None,
    "results": None,
    "error": None,
    "note": None,
    "created_at": "2026-01-05T10:00:00Z",
    "finished_at": None,
}
SHOWN = {
    "product_id": "1163",
    "texts": ["red cotton summer dress"],
    "metadata": {"price": 39.9, "colour": "red"},
    "images": [{"image_id": "1163", "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}],
    "index": "shop",
}
"""Answers, for examples."""
