"""What the stores take and give: plain values, apart from any session of the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

Right = Literal["search", "write", "admin"]
RIGHTS: tuple[Right, ...] = ("search", "write", "admin")
"""search: read products and topics; write: change products and topics; admin: the audit log and events."""
TaskState = Literal["waiting", "running", "succeeded", "failed"]
EventKind = Literal["view", "click", "cart", "purchase"]
EVENT_KINDS: tuple[EventKind, ...] = ("view", "click", "cart", "purchase")


@dataclass(frozen=True)
class Key:
    """A key of the API, without its secret."""

    id: str
    """Public: the middle of ``ib_<id>_<secret>``."""
    name: str
    """Who has it, for people."""
    rights: frozenset[Right]
    indexes: frozenset[str] | None
    """Names of the indexes that it may use; None: all."""
    expires_at: datetime | None
    rate_per_minute: int | None
    """Requests of a minute; None: no rate of its own."""
    created_at: datetime
    revoked_at: datetime | None


class TaskError(NamedTuple):
    """A line of a write that was not done."""

    line: int
    """From 1."""
    id: str | None
    """Of the product, where the line names one."""
    reason: str


@dataclass(frozen=True)
class Task:
    """A write that goes on after its answer."""

    id: str
    kind: str
    index: str
    state: TaskState
    total: int | None
    """Lines."""
    done: int
    """Lines finished, with or without an error."""
    errors: list[TaskError]
    """In the order of lines, the first :data:`LISTED_ERRORS` of them."""
    error_count: int
    result: dict[str, Any] | None
    key_id: str | None
    created_at: datetime
    finished_at: datetime | None


REBUILD = "index.rebuild"
"""Kind of a task that writes no lines: a process of its own does it."""
LISTED_ERRORS = 1000
"""Errors of a task that are listed; all are counted."""


@dataclass(frozen=True)
class AuditEntry:
    """Who changed what."""

    at: datetime
    key_id: str | None
    index: str | None
    action: str
    what: str
    count: int


@dataclass(frozen=True)
class TopicRow:
    """A topic: what is searched for, and how its page is made."""

    id: str
    texts: list[str]
    """Wordings of it."""
    where: str | None = None
    """Filter of products."""
    top_k: int = 20
    min_probability: float | None = None
    diversity: float | None = None
    diversify_by: list[str] = field(default_factory=list)
    """Columns whose values should not repeat."""
    pinned: list[str] = field(default_factory=list)
    """Ids of products that come first."""
    hidden: list[str] = field(default_factory=list)
    """Ids of products that never come."""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    published: bool = False
    revision: int = 0
    """Set by the store: 1 when made, one more with every change."""
    updated_at: datetime | None = None
    """Set by the store."""


@dataclass(frozen=True)
class Change:
    """A product that came to a topic's page, left it or moved on it."""

    at: datetime
    product_id: str
    what: Literal["entered", "left", "moved"]
    why: str
    """A sentence."""


@dataclass(frozen=True)
class Page:
    """The products of a topic, as they were last computed."""

    topic_id: str
    index_version: str
    revision: int
    """Of the topic that it was made for."""
    items: list[dict[str, Any]]
    updated_at: datetime
    notes: list[str] = field(default_factory=list)
    """What the topic's owner should know of it."""
    closed: str | None = None
    """Why it is empty, where that is for no lack of products."""
    evidence: str = ""
    """What it was made from, to know when nothing changed."""


class SeenQuery(NamedTuple):
    """A search that was answered."""

    query_id: str
    index_name: str
    text: str | None
    """None for a search by image or product alone."""
    results: int
    """Results shown; of several pages of one query the largest number counts."""
    probability_best: float | None = None
    client_id: str | None = None
    variant: str | None = None
    """Of an experiment, the index that answered."""
    took_ms: float | None = None


@dataclass(frozen=True)
class Event:
    """What a shopper did with a product."""

    kind: EventKind
    """view: the product was shown to the shopper's eyes; click, cart, purchase."""
    product_id: str
    query_id: str | None = None
    """Of the search whose results had the product."""
    rank: int | None = None
    """Place among those results, from 1."""
    client_id: str | None = None
    at: datetime | None = None
    """Now when not given; a time to come counts as now, so that retention holds."""


@dataclass(frozen=True)
class QueryCount:
    """A query that was asked."""

    text: str
    """One of its spellings: queries that differ by case and spaces alone are one."""
    count: int
    """Searches."""
    without_results: int
    """Of these, how many found nothing."""


@dataclass(frozen=True)
class RankClicks:
    """How often results of a rank are clicked."""

    rank: int
    impressions: int
    """Searches that showed a result at this rank."""
    clicks: int
    """Of these, those with a click on it."""

    @property
    def rate(self) -> float:
        """Clicks per impression."""
        return self.clicks / self.impressions


@dataclass(frozen=True)
class VariantUse:
    """Searches of a variant of an experiment."""

    variant: str
    clients: int
    """Searches without a client are one each."""
    searches: int
    clicked: int
    """Searches with a click."""
    without_results: int
    searches_squared: int
    """Sum over clients, like the two below."""
    clicked_squared: int
    clicked_by_searches: int
    p50_ms: float | None
    p99_ms: float | None


class Judgement(NamedTuple):
    """How right a product is for a query, by what shoppers did."""

    query: str
    product_id: str
    grade: int
    """3 bought, 2 put into the cart, 1 clicked, 0 passed over."""
    searches: int
    """Searches that say so."""


@dataclass(frozen=True)
class Judgements:
    """All judgements, and what gave none."""

    rows: list[Judgement]
    left_out: dict[str, int]
    """Reason -> count, of reasons that occurred."""
