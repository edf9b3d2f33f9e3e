"""Requests and answers about what shoppers did with results, and what it adds up to."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from interbert.service.schemas.common import ErrorDetail, Moment, Reply, Request

_CLICK: dict[str, Any] = {
    "kind": "click",
    "query_id": "5f0c2f0c1f5a4d6c8e0b7a3f9d2e1c4b",
    "product_id": "1163",
    "rank": 2,
    "client_id": "c-81",
}


class EventRequest(Request):
    """What a shopper did with a product."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CLICK]})

    kind: Literal["view", "click", "cart", "purchase"] = Field(
        description="view: it was shown to the shopper; cart: it was put into the cart."
    )
    product_id: str = Field(min_length=1, max_length=200)
    query_id: str | None = Field(
        None, min_length=1, max_length=100, description="Of the search that showed the product, as it was answered."
    )
    rank: int | None = Field(None, ge=1, le=1_000_000, description="Where the product was among the results, from 1.")
    client_id: str | None = Field(
        None, min_length=1, max_length=200, description="Whose event it is: a pseudonym, by which it can be erased."
    )
    at: Moment | None = Field(None, description="When it was; now when left out. A time to come counts as now.")


class EventStatus(Reply):
    """What became of one event."""

    place: int = Field(description="Of the event in the request, from 0.")
    status: Literal["accepted", "rejected"]
    known_query: bool | None = Field(
        description="Whether the search is recorded; one of the last seconds may come yet. Null without `query_id`."
    )
    error: ErrorDetail | None


class EventsReply(Reply):
    """What became of each event; accepted ones are on the disk."""

    accepted: int
    rejected: int
    unknown_queries: int = Field(description="Accepted events whose `query_id` names no recorded search.")
    results: list[EventStatus]


class ErasedReply(Reply):
    """What was erased."""

    erased: int = Field(description="Searches and events of the client.")


class QueryReply(Reply):
    """A query that shoppers asked."""

    text: str
    searches: int
    without_results: int = Field(description="Of these, how many found nothing.")


class QueriesReply(Reply):
    """What shoppers asked for; queries that differ by case and spaces alone are one."""

    index: str
    days: float
    popular: list[QueryReply]
    without_results: list[QueryReply]


class RankReply(Reply):
    """How often the results of one rank are clicked."""

    rank: int
    impressions: int = Field(description="Searches that showed a result at this rank.")
    clicks: int = Field(description="Of these, those with a click on it.")
    click_through: float = Field(description="Clicks per impression.")


class ClickThroughReply(Reply):
    """Click-through by rank."""

    index: str
    days: float
    ranks: list[RankReply]


EVENTS: dict[str, Any] = {
    "accepted": 1,
    "rejected": 1,
    "unknown_queries": 0,
    "results": [
        {"place": 0, "status": "accepted", "known_query": True, "error": None},
        {
            "place": 1,
            "status": "rejected",
            "known_query": None,
            "error": {"code": "invalid", "message": "Field required.", "where": "events[1].product_id"},
        },
    ],
}
QUERIES: dict[str, Any] = {
    "index": "shop",
    "days": 30,
    "popular": [{"text": "red dress", "searches": 12, "without_results": 0}],
    "without_results": [{"text": "left-handed scissors", "searches": 2, "without_results": 2}],
}
CLICK_THROUGH: dict[str, Any] = {
    "index": "shop",
    "days": 30,
    "ranks": [{"rank": 1, "impressions": 120, "clicks": 42, "click_through": 0.35}],
}
EVENTS_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/EventRequest"},
                    {
                        "type": "array",
                        "items": {},
                        "minItems": 1,
                        "description": "Each as `EventRequest`; one that is not is rejected by itself.",
                    },
                ]
            },
            "examples": {
                "one": {"summary": "one event", "value": _CLICK},
                "several": {"summary": "several events", "value": [_CLICK, _CLICK | {"kind": "cart"}]},
            },
        }
    },
}
