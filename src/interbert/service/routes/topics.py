"""Topics of an index, the pages that are made of them, and what changed on those."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from interbert.service.access import Principal, require
from interbert.service.errors import ServiceError
from interbert.service.schemas.common import Moment, errors, example
from interbert.service.schemas.topics import (
    ALL_CHANGES,
    CHANGES,
    ITEMS,
    PREVIEW,
    TOPIC,
    TOPIC_ID,
    AllChangesReply,
    ChangesReply,
    ItemsReply,
    NewTopicRequest,
    PreviewReply,
    SavedTopicRequest,
    TopicChangeReply,
    TopicReply,
    TopicRequest,
    TopicsReply,
)
from interbert.service.topic_requests import (
    changes_reply,
    expected_revision,
    items_reply,
    pages_of,
    preview_reply,
    require_limits,
    topic_reply,
    topic_row,
)

router = APIRouter(tags=["topics"])

Reader = Annotated[Principal, Depends(require("search"))]
Writer = Annotated[Principal, Depends(require("write"))]
TopicId = Annotated[str, Path(pattern=TOPIC_ID, description="Of the topic.", examples=["winter"])]
IndexName = Annotated[
    str | None, Query(alias="index", max_length=100, description="Of the index; the first one when left out.")
]
IfMatch = Annotated[
    str | None,
    Header(max_length=100, description='The revision that the topic must have, as its ETag has it: `"3"`; `*`: any.'),
]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="So many are left out before these.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="So many at most.")]
Since = Annotated[Moment | None, Query(description="Changes from this moment on; of the last 24 hours when left out.")]
Until = Annotated[Moment | None, Query(description="Changes before this moment; up to now when left out.")]
_READING = errors("not_found", "index_unavailable")
_SAVING = errors("bad_filter", "not_found", "conflict", "overloaded", "index_unavailable")


@router.get(
    "/v1/topics",
    summary="The topics of an index",
    response_model=TopicsReply,
    responses=example({"topics": [TOPIC], "total": 1, "next_offset": None}, "Topics, by id.") | errors("not_found"),
)
async def topics(
    request: Request, principal: Reader, index: IndexName = None, offset: Offset = 0, limit: Limit = 100
) -> TopicsReply:
    """Topics as they are saved, published or not; their pages are at `/v1/topics/{topic_id}/items`."""
    service, served, _ = pages_of(request, index, principal)
    found = await run_in_threadpool(service.state.topics.list, served.name)
    after = offset + limit
    return TopicsReply(
        topics=[topic_reply(served.name, row) for row in found[offset:after]],
        total=len(found),
        next_offset=after if after < len(found) else None,
    )


@router.post(
    "/v1/topics",
    summary="Make a topic",
    status_code=201,
    response_model=TopicReply,
    responses=example(TOPIC, "The topic was made.", 201) | _SAVING,
)
async def make(
    request: Request, response: Response, topic: NewTopicRequest, principal: Writer, index: IndexName = None
) -> TopicReply:
    """The filter, the columns and the texts are checked first. An id that is in use is a `conflict`."""
    return await _save(request, response, topic.id or uuid.uuid4().hex[:12], topic, principal, index, 0)


@router.post(
    "/v1/topics/preview",
    summary="The page of a topic that is not saved",
    response_model=PreviewReply,
    responses=example(PREVIEW, "The page, and why each product is on it.")
    | errors("bad_filter", "not_found", "overloaded", "index_unavailable"),
)
async def preview(request: Request, topic: TopicRequest, principal: Writer, index: IndexName = None) -> PreviewReply:
    """The page as it would be now if the topic was published and it was its time. Nothing is stored."""
    service, served, pages = pages_of(request, index, principal)
    require_limits(topic, service.limits)
    row = topic_row("preview", topic)
    made, version = await run_in_threadpool(pages.preview, row)
    return preview_reply(served.name, row, made, version)


@router.get(
    "/v1/topics/{topic_id}",
    summary="A topic",
    response_model=TopicReply,
    responses=example(TOPIC, "The topic; its revision is the ETag.") | errors("not_found"),
)
async def topic(
    request: Request, response: Response, topic_id: TopicId, principal: Reader, index: IndexName = None
) -> TopicReply:
    """A topic as it is saved."""
    service, served, _ = pages_of(request, index, principal)
    row = await run_in_threadpool(service.state.topics.get, served.name, topic_id)
    response.headers["ETag"] = f'"{row.revision}"'
    return topic_reply(served.name, row)


@router.put(
    "/v1/topics/{topic_id}",
    summary="Make a topic, or change it",
    response_model=TopicReply,
    responses=example(TOPIC, "The topic was changed.") | example(TOPIC, "The topic was made.", 201) | _SAVING,
)
async def put(
    request: Request,
    response: Response,
    topic_id: TopicId,
    topic: SavedTopicRequest,
    principal: Writer,
    index: IndexName = None,
    if_match: IfMatch = None,
) -> TopicReply:
    """The whole topic is replaced. The filter, the columns and the texts are checked first.

    With `If-Match` or `expected_revision` a topic that was changed meanwhile stays as it is, and the answer is
    `conflict`. The page is made within about a second, or when it is asked for.
    """
    expected = expected_revision(if_match, topic.expected_revision)
    return await _save(request, response, topic_id, topic, principal, index, expected)


@router.delete(
    "/v1/topics/{topic_id}",
    summary="Delete a topic",
    status_code=204,
    response_class=Response,
    responses={**errors("not_found", "conflict"), 204: {"description": "The topic, its page and its log are gone."}},
)
async def delete(
    request: Request, topic_id: TopicId, principal: Writer, index: IndexName = None, if_match: IfMatch = None
) -> Response:
    """Its page and the log of it are deleted with it."""
    service, served, pages = pages_of(request, index, principal)
    expected = expected_revision(if_match, None)
    await run_in_threadpool(service.state.topics.delete, served.name, topic_id, expected)
    pages.tell()
    await run_in_threadpool(service.state.audit.write, principal.key_id, served.name, "topic deleted", topic_id, 1)
    return Response(status_code=204)


@router.get(
    "/v1/topics/{topic_id}/items",
    summary="A topic's page",
    response_model=ItemsReply,
    responses=example(ITEMS, "The page.") | _READING | errors("overloaded"),
)
async def items(
    request: Request,
    topic_id: TopicId,
    principal: Reader,
    index: IndexName = None,
    offset: Offset = 0,
    limit: Limit = 200,
) -> ItemsReply:
    """The stored page, which follows the products of the index by itself.

    A topic that is not published, or outside of its valid time, answers with an empty page: `active` is false, and
    `notes` says why. While an index is built anew the page before is answered, with its `index_version`.
    """
    _, served, pages = pages_of(request, index, principal)
    shown = await run_in_threadpool(pages.items, topic_id)
    return items_reply(served.name, shown, offset, limit)


@router.get(
    "/v1/topics/{topic_id}/changes",
    summary="What changed on a topic's page, and why",
    response_model=ChangesReply,
    responses=example(CHANGES, "Newest first.") | errors("not_found"),
)
async def changes(
    request: Request, topic_id: TopicId, principal: Reader, index: IndexName = None, limit: Limit = 100
) -> ChangesReply:
    """Products that entered the page, left it or moved on it, each with a sentence that says why.

    The newest 1000 are kept. Products that have another rank only because others came or left are not listed.
    """
    _, served, pages = pages_of(request, index, principal)
    return changes_reply(served.name, topic_id, await run_in_threadpool(pages.changes, topic_id, limit))


@router.get(
    "/v1/changes",
    summary="What changed on the pages of all topics, and why",
    response_model=AllChangesReply,
    responses=example(ALL_CHANGES, "Newest first.") | errors("not_found"),
)
async def all_changes(
    request: Request,
    principal: Reader,
    index: IndexName = None,
    since: Since = None,
    until: Until = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> AllChangesReply:
    """As `/v1/topics/{topic_id}/changes`, of all topics of an index and of a time; without `since` of a day."""
    service, served, _ = pages_of(request, index, principal)
    begun = datetime.now(UTC) - timedelta(days=1) if since is None else since
    stored = service.state.topics.all_changes
    found, total = await run_in_threadpool(stored, served.name, begun, until, offset, limit)
    return AllChangesReply(
        index=served.name,
        since=begun,
        until=until,
        changes=[TopicChangeReply(topic_id=topic_id, **vars(change)) for topic_id, change in found],
        total=total,
        next_offset=offset + limit if offset + limit < total else None,
    )


async def _save(
    request: Request,
    response: Response,
    topic_id: str,
    topic: TopicRequest,
    principal: Principal,
    index: str | None,
    expected: int | None,
) -> TopicReply:
    """Check a topic, save it, and have its page made."""
    service, served, pages = pages_of(request, index, principal)
    require_limits(topic, service.limits)
    row = topic_row(topic_id, topic)
    await run_in_threadpool(pages.check, row)
    try:
        saved = await run_in_threadpool(service.state.topics.put, served.name, row, expected)
    except ServiceError as error:
        if error.code == "conflict" and isinstance(topic, NewTopicRequest):
            raise ServiceError(
                "conflict", f"There is a topic {topic_id!r} already. Change it with PUT.", "id"
            ) from error
        raise
    pages.tell()
    await run_in_threadpool(service.state.audit.write, principal.key_id, served.name, "topic saved", topic_id, 1)
    response.status_code = 201 if saved.revision == 1 else 200
    response.headers["ETag"] = f'"{saved.revision}"'
    return topic_reply(served.name, saved)
