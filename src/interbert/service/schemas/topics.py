"""Requests and answers about topics and their pages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from interbert.service.schemas.common import Moment, Reply, Request

TOPIC_ID = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$"
"""Letters, digits, and . _ - inside."""
ProductId = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Wording = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
_WINTER: dict[str, Any] = {
    "texts": ["winter sweaters", "冬季毛衣"],
    "where": "stock > 0",
    "top_k": 20,
    "min_probability": 0.5,
    "diversify_by": ["brand"],
    "pinned": ["1163"],
    "valid_to": "2027-03-01T00:00:00Z",
}


class TopicRequest(Request):
    """A topic: what its page is about, and how it is made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"texts": ["red summer dress"]}, _WINTER]})

    texts: list[Wording] = Field(
        min_length=1,
        max_length=20,
        description="One topic in several wordings and languages; their evidence is averaged.",
    )
    where: str | None = Field(None, description="A filter that every product must pass: `stock > 0`.")
    top_k: int = Field(20, ge=1, description="Products of the page, at most.")
    min_probability: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="Products below are left out; when not given, the page has those that its expected F1 is best "
        "with. Needs a model that was taught topics.",
    )
    diversity: float | None = Field(
        None, ge=0.0, le=1.0, description="0 orders by probability alone, 1 by novelty alone; a little when not given."
    )
    diversify_by: list[Name] = Field(
        default_factory=list, max_length=10, description="Columns, such as brand, whose values should not repeat."
    )
    pinned: list[ProductId] = Field(
        default_factory=list, max_length=100, description="Products at the top, in this order, however probable."
    )
    hidden: list[ProductId] = Field(default_factory=list, max_length=1000, description="Products that are not shown.")
    valid_from: Moment | None = Field(None, description="Before this moment the page is empty.")
    valid_to: Moment | None = Field(None, description="From this moment on the page is empty.")
    published: bool = Field(True, description="Without, the page is empty; see it by /v1/topics/preview.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for name in ("pinned", "hidden", "diversify_by"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} names one twice")
        both = set(self.pinned) & set(self.hidden)
        if both:
            raise ValueError(f"the product {sorted(both)[0]!r} is pinned and hidden")
        if len(self.pinned) > self.top_k:
            raise ValueError(f"{len(self.pinned)} products are pinned, which is more than top_k")
        if self.valid_from is not None and self.valid_to is not None and self.valid_from >= self.valid_to:
            raise ValueError("valid_from must be before valid_to")
        return self


class SavedTopicRequest(TopicRequest):
    """A topic to save."""

    expected_revision: int | None = Field(
        None,
        ge=0,
        description="Save only if the topic has this revision; 0: only if there is none. The header If-Match says the "
        "same. Without either the last one to save wins.",
    )


class NewTopicRequest(TopicRequest):
    """A topic to make."""

    id: str | None = Field(None, pattern=TOPIC_ID, description="Of the topic; made when it is left out.")


class TopicReply(Reply):
    """A topic as it is saved."""

    id: str
    index: str
    texts: list[str]
    where: str | None
    top_k: int
    min_probability: float | None
    diversity: float | None
    diversify_by: list[str]
    pinned: list[str]
    hidden: list[str]
    valid_from: datetime | None
    valid_to: datetime | None
    published: bool
    active: bool = Field(description="Published, and within its valid time.")
    revision: int = Field(description="1 when it is made, one more with every change.")
    updated_at: datetime | None


class TopicsReply(Reply):
    """Topics of an index, by id."""

    topics: list[TopicReply]
    total: int = Field(description="Topics of the index in all.")
    next_offset: int | None = Field(description="`offset` of the page after this one; null on the last.")


class ItemReply(Reply):
    """A product of a page."""

    product_id: str
    image_id: str = Field(description="Of its images the one that fits best.")
    rank: int = Field(description="1 is at the top.")
    probability: float | None = Field(
        description="That it belongs to the topic; null without what is taught of topics."
    )
    pinned: bool
    texts: list[str]
    metadata: dict[str, Any] = Field(description="The catalogue's columns.")
    similar: list[str] = Field(description="Ids of images of near-duplicates that this one stands for.")


class ItemsReply(Reply):
    """A topic's page."""

    topic_id: str
    index: str
    active: bool = Field(description="False: not published, or outside of its valid time; the page is empty then.")
    items: list[ItemReply]
    next_offset: int | None = Field(description="`offset` of the items after these; null after the last.")
    notes: list[str] = Field(
        description="What to know: pinned products that cannot be shown, why a page is empty, that "
        "perhaps nothing on it fits."
    )
    revision: int = Field(description="Of the topic that the page was made for.")
    index_version: str = Field(description="The version of the index that the page is right for.")
    made_at: datetime = Field(description="When the page came to be as it is.")


class PreviewItem(ItemReply):
    """A product of a page that is not saved."""

    why: str = Field(description="Why it is there.")


class PreviewReply(Reply):
    """The page of a topic that is not saved."""

    items: list[PreviewItem]
    notes: list[str]
    active: bool = Field(description="Whether it would be shown now.")
    index: str
    index_version: str


class ChangeReply(Reply):
    """A product that came to a page, left it or moved on it."""

    at: datetime
    product_id: str
    what: Literal["entered", "left", "moved"]
    why: str


class ChangesReply(Reply):
    """The log of a topic's page, newest first."""

    topic_id: str
    index: str
    changes: list[ChangeReply]


class TopicChangeReply(ChangeReply):
    """A change on the page of a topic."""

    topic_id: str


class AllChangesReply(Reply):
    """The logs of all topics' pages, newest first."""

    index: str
    since: datetime
    until: datetime | None
    changes: list[TopicChangeReply]
    total: int = Field(description="Changes of that time in all.")
    next_offset: int | None = Field(description="`offset` of the changes after these; null after the last.")


TOPIC: dict[str, Any] = {
    "id": "winter",
    "index": "shop",
    **_WINTER,
    "diversity": None,
    "hidden": [],
    "valid_from": None,
    "published": True,
    "active": True,
    "revision": 1,
    "updated_at": "2026-11-29T12:00:00Z",
}
_ITEM = {
    "product_id": "1163",
    "image_id": "1163",
    "rank": 1,
    "probability": 0.83,
    "pinned": True,
    "texts": ["Wool sweater"],
    "metadata": {"price": 39.0, "stock": 4},
    "similar": [],
}
ITEMS: dict[str, Any] = {
    "topic_id": "winter",
    "index": "shop",
    "active": True,
    "items": [_ITEM],
    "next_offset": None,
    "notes": ["The pinned product '77' is not in the index."],
    "revision": 1,
    "index_version": "products_0001_ab12cd34@17",
    "made_at": "2026-11-29T12:00:01Z",
}
PREVIEW: dict[str, Any] = {
    "items": [_ITEM | {"why": "pinned by the topic, probability 0.83"}],
    "notes": [],
    "active": True,
    "index": "shop",
    "index_version": "products_0001_ab12cd34@17",
}
CHANGES: dict[str, Any] = {
    "topic_id": "winter",
    "index": "shop",
    "changes": [
        {
            "at": "2026-11-29T12:00:01Z",
            "product_id": "1501",
            "what": "left",
            "why": "it no longer fulfils the filter stock > 0",
        }
    ],
}
ALL_CHANGES: dict[str, Any] = {
    "index": "shop",
    "since": "2026-11-29T00:00:00Z",
    "until": None,
    "changes": [change | {"topic_id": "winter"} for change in CHANGES["changes"]],
    "total": 1,
    "next_offset": None,
}
