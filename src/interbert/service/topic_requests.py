"""Between the routes of topics and what is behind them: requests as rows of the database, pages as answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import Request

from interbert.service.access import Principal
from interbert.service.errors import ServiceError, require_length
from interbert.service.page_making import MadePage, closed
from interbert.service.schemas.topics import (
    ChangeReply,
    ChangesReply,
    ItemReply,
    ItemsReply,
    PreviewItem,
    PreviewReply,
    TopicReply,
    TopicRequest,
)
from interbert.service.service import ServedIndex, Service
from interbert.service.settings import Limits
from interbert.service.state.records import Change, TopicRow
from interbert.service.topic_pages import ShownPage, TopicPages

_FIELDS = (
    *("texts", "where", "top_k", "min_probability", "diversity", "diversify_by", "pinned", "hidden"),
    *("valid_from", "valid_to", "published"),
)


def pages_of(request: Request, index: str | None, principal: Principal) -> tuple[Service, ServedIndex, TopicPages]:
    """The service, the index that a request names, and its topic pages.

    Raises:
        ServiceError: ``not_found``, ``forbidden``.
    """
    service: Service = request.app.state.service
    served = service.index(index, principal)
    if served.topics is None:
        raise ServiceError("not_found", f"The index {served.name!r} has no topic pages.", "index")
    return service, served, served.topics


def require_limits(topic: TopicRequest, limits: Limits) -> None:
    """Check a topic against what the service reads.

    Raises:
        ServiceError: ``invalid``.
    """
    for place, text in enumerate(topic.texts):
        require_length(text, limits.query_characters, f"texts[{place}]")
    require_length(topic.where, limits.where_characters, "where")
    if topic.top_k > limits.top_k:
        raise ServiceError("invalid", f"It is {topic.top_k}, and at most {limits.top_k} products are shown.", "top_k")


def topic_row(topic_id: str, topic: TopicRequest) -> TopicRow:
    """A topic as the database keeps it."""
    return TopicRow(topic_id, **{name: getattr(topic, name) for name in _FIELDS})


def expected_revision(if_match: str | None, named: int | None) -> int | None:
    """The revision that a topic must have, of the header or the body; None: whatever it has.

    Raises:
        ServiceError: ``invalid``, the header is none, or both are given and differ.
    """
    if if_match is None or if_match.strip() == "*":
        return named
    found = re.fullmatch(r'\s*(?:W/)?"?([0-9]{1,9})"?\s*', if_match)
    if found is None:
        raise ServiceError("invalid", 'If-Match must be the ETag of a topic, such as "3".', "If-Match")
    revision = int(found.group(1))
    if named is not None and named != revision:
        raise ServiceError("invalid", f"If-Match names revision {revision}, the body {named}.", "expected_revision")
    return revision


def topic_reply(index: str, row: TopicRow) -> TopicReply:
    """A topic as it is answered."""
    values = {name: getattr(row, name) for name in _FIELDS}
    active = closed(row, datetime.now(UTC)) is None
    return TopicReply(id=row.id, index=index, active=active, revision=row.revision, updated_at=row.updated_at, **values)


def items_reply(index: str, shown: ShownPage, offset: int, limit: int) -> ItemsReply:
    """Some of a page's items as they are answered; of a topic that is closed none, whatever is still stored."""
    items = [] if shown.closed is not None else shown.page.items
    after = offset + limit
    return ItemsReply(
        topic_id=shown.topic.id,
        index=index,
        active=shown.closed is None,
        items=[ItemReply(**item) for item in items[offset:after]],
        next_offset=after if after < len(items) else None,
        notes=shown.notes,
        revision=shown.page.revision,
        index_version=shown.index_version,
        made_at=shown.page.updated_at,
    )


def preview_reply(index: str, row: TopicRow, made: MadePage, version: str) -> PreviewReply:
    """The page of a topic that is not saved as it is answered."""
    return PreviewReply(
        items=[PreviewItem(**item, why=_why(item["pinned"], item["probability"])) for item in made.items],
        notes=made.notes,
        active=closed(row, datetime.now(UTC)) is None,
        index=index,
        index_version=version,
    )


def changes_reply(index: str, topic_id: str, changes: Sequence[Change]) -> ChangesReply:
    """A topic's log as it is answered."""
    return ChangesReply(topic_id=topic_id, index=index, changes=[ChangeReply(**vars(change)) for change in changes])


def _why(pinned: bool, probability: float | None) -> str:
    likely = "near to the topic" if probability is None else f"probability {probability:.2f}"
    return f"pinned by the topic, {likely}" if pinned else likely
