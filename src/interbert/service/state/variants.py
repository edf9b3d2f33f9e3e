"""Searches of each variant of an experiment, added up in the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from interbert.service.state.models import EventModel, QueryModel
from interbert.service.state.records import VariantUse


def variant_use(session: Session, index: str, since: datetime) -> list[VariantUse]:
    """All variants of an index that were searched since a moment, by name."""
    recent = (QueryModel.index_name == index, QueryModel.at >= since, QueryModel.variant.is_not(None))
    clicked = select(EventModel.number).where(EventModel.query_id == QueryModel.id, EventModel.kind == "click").exists()
    clients = (
        select(
            QueryModel.variant,
            func.count().label("searches"),
            func.sum(case((clicked, 1), else_=0)).label("clicked"),
            func.sum(case((QueryModel.results == 0, 1), else_=0)).label("empty"),
        )
        .where(*recent)
        # a search without a client is one of its own
        .group_by(QueryModel.variant, func.coalesce(QueryModel.client_id, QueryModel.id))
        .subquery()
    )
    n, c = clients.c.searches, clients.c.clicked
    sums = [func.count(), func.sum(n), func.sum(c), func.sum(clients.c.empty)]
    sums += [func.sum(n * n), func.sum(c * c), func.sum(n * c)]
    rows = session.execute(select(clients.c.variant, *sums).group_by(clients.c.variant).order_by(clients.c.variant))
    found = [(str(name), [int(value) for value in values]) for name, *values in rows.all()]
    return [
        VariantUse(name, *values, *(_percentile(session, recent, name, share) for share in (0.5, 0.99)))
        for name, values in found
    ]


def _percentile(session: Session, recent: tuple[object, ...], variant: str, share: float) -> float | None:
    """The smallest time that so many of a variant's searches took at most, in milliseconds."""
    timed = (*recent, QueryModel.variant == variant, QueryModel.took_ms.is_not(None))
    count = session.scalar(select(func.count()).select_from(QueryModel).where(*timed)) or 0  # type: ignore[arg-type]
    place = max(-int(-share * count // 1) - 1, 0)
    ordered = select(QueryModel.took_ms).where(*timed).order_by(QueryModel.took_ms)  # type: ignore[arg-type]
    return session.scalar(ordered.offset(place).limit(1))
