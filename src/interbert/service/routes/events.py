"""What shoppers did with results: taken in, added up, and erased."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from interbert.service.access import Principal, require
from interbert.service.errors import CODES, ServiceError
from interbert.service.schemas.common import ErrorDetail, errors, example, field_path
from interbert.service.schemas.events import (
    CLICK_THROUGH,
    EVENTS,
    EVENTS_BODY,
    QUERIES,
    ClickThroughReply,
    ErasedReply,
    EventRequest,
    EventsReply,
    EventStatus,
    QueriesReply,
    QueryReply,
    RankReply,
)
from interbert.service.service import Service
from interbert.service.state.records import Event, QueryCount

router = APIRouter(tags=["events"])
MODELS = (EventRequest, EventsReply)
"""Of bodies that the routes read themselves."""

IndexName = Annotated[
    str | None, Query(alias="index", max_length=100, description="Of the index; the first one when left out.")
]
Days = Annotated[float, Query(gt=0, le=3650, description="The last days, up to now.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="So many at most.")]


@router.post(
    "/v1/events",
    summary="Tell what shoppers did with results",
    response_model=EventsReply,
    responses=example(EVENTS, "What became of each event.") | errors("state_unavailable", "storage_full"),
    openapi_extra={"requestBody": EVENTS_BODY},
)
async def add(request: Request, principal: Annotated[Principal, Depends(require("search"))]) -> EventsReply:
    """One event, or a list of them. Of a list the right ones are kept, and each wrong one is answered with its error.

    An event whose `query_id` names no recorded search is kept and counted: its search may be recorded later. Events
    become judgements that models are trained on (`interbert events export`).
    """
    service: Service = request.app.state.service
    given = await _body(request)
    if isinstance(given, dict):
        accepted, statuses = _one(given)
    else:
        if len(given) > service.limits.batch:
            message = f"The list has {len(given):,} events, at most {service.limits.batch:,} are read at once."
            raise ServiceError("too_large", message, "body")
        accepted, statuses = _several(given)
    known = service.seen_queries.waiting() | await run_in_threadpool(_kept, service, accepted)
    for status, event in zip([one for one in statuses if one.status == "accepted"], accepted, strict=True):
        status.known_query = None if event.query_id is None else event.query_id in known
    _count(service, accepted, statuses)
    return EventsReply(
        accepted=len(accepted),
        rejected=len(statuses) - len(accepted),
        unknown_queries=sum(status.known_query is False for status in statuses),
        results=statuses,
    )


@router.delete(
    "/v1/events",
    summary="Erase a client's searches and events",
    response_model=ErasedReply,
    responses=example({"erased": 17}, "They are gone.") | errors("state_unavailable"),
)
async def erase(
    request: Request,
    principal: Annotated[Principal, Depends(require("admin"))],
    client_id: Annotated[str, Query(min_length=1, max_length=200, description="Whose searches and events.")],
) -> ErasedReply:
    """Everything that is kept of a client, of all indexes. The audit log says that it was done, not for whom."""
    service: Service = request.app.state.service
    if not await service.seen_queries.flush():  # what is written later would stay
        raise ServiceError("state_unavailable", CODES["state_unavailable"][1])
    erased = await run_in_threadpool(service.state.events.erase, client_id)
    await run_in_threadpool(service.state.audit.write, principal.key_id, None, "events erased", "of a client", erased)
    return ErasedReply(erased=erased)


@router.get(
    "/v1/statistics/queries",
    summary="What shoppers ask for",
    response_model=QueriesReply,
    responses=example(QUERIES, "Popular queries, and queries without results.") | errors("not_found"),
)
async def queries(
    request: Request,
    principal: Annotated[Principal, Depends(require("admin"))],
    index: IndexName = None,
    days: Days = 30,
    limit: Limit = 50,
) -> QueriesReply:
    """The queries that were asked most often, and those that found nothing most often."""
    service: Service = request.app.state.service
    served = service.index(index, principal)
    events = service.state.events
    popular = await run_in_threadpool(events.popular, served.name, days, limit)
    without = await run_in_threadpool(events.without_results, served.name, days, limit)
    return QueriesReply(
        index=served.name,
        days=days,
        popular=[_query(one) for one in popular],
        without_results=[_query(one) for one in without],
    )


@router.get(
    "/v1/statistics/click-through",
    summary="Click-through by rank",
    response_model=ClickThroughReply,
    responses=example(CLICK_THROUGH, "Clicks and impressions of each rank.") | errors("not_found"),
)
async def click_through(
    request: Request,
    principal: Annotated[Principal, Depends(require("admin"))],
    index: IndexName = None,
    days: Days = 30,
    limit: Limit = 50,
) -> ClickThroughReply:
    """How often results of each rank were clicked; several clicks of one search on one rank count once."""
    service: Service = request.app.state.service
    served = service.index(index, principal)
    ranks = await run_in_threadpool(service.state.events.click_through_by_rank, served.name, days, limit)
    rows = [
        RankReply(rank=one.rank, impressions=one.impressions, clicks=one.clicks, click_through=round(one.rate, 6))
        for one in ranks
    ]
    return ClickThroughReply(index=served.name, days=days, ranks=rows)


def _kept(service: Service, events: list[Event]) -> set[str]:
    """Keep events; returns those of their queries that are known."""
    service.state.events.add(events)
    return service.state.events.known_queries([one.query_id for one in events if one.query_id is not None])


async def _body(request: Request) -> dict[str, Any] | list[Any]:
    """A request's JSON: an event, a list, or a list at ``events``.

    Raises:
        ServiceError: ``bad_request``, ``unsupported_media_type``, ``invalid``.
    """
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ServiceError("unsupported_media_type", "Send application/json.", "Content-Type")
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ServiceError(
            "bad_request", "The body is no JSON that can be read, or nests too deeply.", "body"
        ) from error
    if isinstance(given, dict) and list(given) == ["events"]:
        given = given["events"]
    if not isinstance(given, dict | list) or not given:
        raise ServiceError("invalid", "Send an event, or a list of events.", "body")
    return given


def _one(given: dict[str, Any]) -> tuple[list[Event], list[EventStatus]]:
    """A single event, which is right or the request is not."""
    try:
        event = _event(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None
    return [event], [EventStatus(place=0, status="accepted", known_query=None, error=None)]


def _several(given: list[Any]) -> tuple[list[Event], list[EventStatus]]:
    """The events of a list that are right, and what became of each."""
    events: list[Event] = []
    statuses: list[EventStatus] = []
    for place, one in enumerate(given):
        wrong = None
        try:
            events.append(_event(one))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = f"events[{place}]" + (f".{path}" if (path := field_path(first["loc"])) else "")
            wrong = ErrorDetail(code="invalid", message=f"{first['msg'].rstrip('.')}.", where=where)
        status: Any = "rejected" if wrong else "accepted"
        statuses.append(EventStatus(place=place, status=status, known_query=None, error=wrong))
    return events, statuses


def _event(given: Any) -> Event:
    return Event(**EventRequest.model_validate(given).model_dump())


def _count(service: Service, accepted: list[Event], statuses: list[EventStatus]) -> None:
    """Add to the service's numbers."""
    for event in accepted:
        service.metrics.events.labels(event.kind, "accepted").inc()
    service.metrics.events.labels("", "rejected").inc(len(statuses) - len(accepted))
    unknown = sum(status.known_query is False for status in statuses)
    service.metrics.events.labels("", "unknown_query").inc(unknown)


def _query(one: QueryCount) -> QueryReply:
    return QueryReply(text=one.text, searches=one.count, without_results=one.without_results)
