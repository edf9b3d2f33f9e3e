"""What shoppers searched for and did: personal data, which is kept for some days and erased on demand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, case, delete, func, insert, select
from sqlalchemy.orm import Session

from interbert.data.pairs import normal_text
from interbert.service.state.column_types import now
from interbert.service.state.database import Store, changed, reading, writing
from interbert.service.state.judgements import judge
from interbert.service.state.models import EventModel, QueryModel
from interbert.service.state.records import Event, Judgements, QueryCount, RankClicks, SeenQuery, VariantUse
from interbert.service.state.variants import variant_use

_ROWS = 500
"""Values of one statement; databases allow some thousands."""
_RANKS = 50


class EventStore(Store):
    """Searches and events. ``days`` in every method are the last days, up to now."""

    @writing
    def queries_seen(
        self,
        session: Session,
        queries: Sequence[tuple[str, str, str | None, int, float | None, str | None] | SeenQuery],
    ) -> None:
        """Keep searches that were answered, each as :class:`SeenQuery` has it.

        Of a query that is seen again, as with its second page, the largest number of results is kept.
        """
        seen: dict[str, SeenQuery] = {}
        for one in (SeenQuery(*query) for query in queries):
            other = seen.get(one.query_id, one)
            seen[one.query_id] = other._replace(results=max(one.results, other.results))
        ids = list(seen)
        for start in range(0, len(ids), _ROWS):
            part = QueryModel.id.in_(ids[start : start + _ROWS])
            for row in session.scalars(select(QueryModel).where(part).order_by(QueryModel.id).with_for_update()):
                row.results = max(row.results, seen.pop(row.id).results)
        at = now()
        rows = [_query_values(one) | {"at": at} for one in seen.values()]
        if rows:
            session.execute(insert(QueryModel), rows)

    @writing
    def add(self, session: Session, events: Sequence[Event]) -> None:
        """Keep events, all or none; when this returns, they are on the disk."""
        latest = now()
        rows = [vars(event) | {"at": latest if event.at is None else min(_aware(event.at), latest)} for event in events]
        if rows:
            session.execute(insert(EventModel), rows)

    @reading
    def known_queries(self, session: Session, query_ids: Sequence[str]) -> set[str]:
        """Those of these searches that are kept."""
        known: set[str] = set()
        for start in range(0, len(query_ids), _ROWS):
            known.update(
                session.scalars(select(QueryModel.id).where(QueryModel.id.in_(query_ids[start : start + _ROWS])))
            )
        return known

    def erase(self, client_id: str) -> int:
        """Delete every search and event of a client; returns how many.

        The searches go as a whole, for their texts may be personal too. In SQLite the deleted bytes are overwritten.
        """
        count = self._erase(client_id)
        self.database.forget_deleted()
        return count

    @writing
    def _erase(self, session: Session, client_id: str) -> int:
        return sum(changed(session, delete(table).where(table.client_id == client_id)) for table in _TABLES)

    @writing
    def expire(self, session: Session, days: float) -> int:
        """Delete searches and events that are older than so many days; returns how many."""
        return sum(changed(session, delete(table).where(table.at < _since(days))) for table in _TABLES)

    @reading
    def popular(self, session: Session, index: str, days: float = 30, limit: int = 100) -> Sequence[QueryCount]:
        """Queries that were asked most often, with a text."""
        return _counts(session, _grouped(index, days), limit)

    @reading
    def without_results(self, session: Session, index: str, days: float = 30, limit: int = 100) -> Sequence[QueryCount]:
        """Queries that found nothing most often."""
        return _counts(session, _grouped(index, days).where(QueryModel.results == 0), limit)

    @reading
    def click_through_by_rank(
        self, session: Session, index: str, days: float = 30, limit: int = _RANKS
    ) -> Sequence[RankClicks]:
        """Clicks and impressions of ranks 1, 2, ... to ``limit``.

        A search shows a result at each rank up to its number of results; its clicks on one rank count once.
        """
        recent = (QueryModel.index_name == index, QueryModel.at >= _since(days))
        lengths = session.execute(
            select(QueryModel.results, func.count()).where(*recent).group_by(QueryModel.results)
        ).all()
        clicks = session.execute(
            select(EventModel.rank, func.count(EventModel.query_id.distinct()))
            .join(QueryModel, QueryModel.id == EventModel.query_id)
            # what was not shown, by the service's own count, was not clicked
            .where(*recent, EventModel.kind == "click", EventModel.rank <= QueryModel.results)
            .group_by(EventModel.rank)
        ).all()
        clicked = {row.rank: row[1] for row in clicks}
        ranks = range(1, min(limit, max((results for results, _ in lengths), default=0)) + 1)
        shown = {rank: sum(count for results, count in lengths if results >= rank) for rank in ranks}
        return [RankClicks(rank, shown[rank], clicked.get(rank, 0)) for rank in ranks]

    @reading
    def variants(self, session: Session, index: str, days: float = 30) -> list[VariantUse]:
        """Searches of each variant of an experiment, by name."""
        return variant_use(session, index, _since(days))

    @reading
    def judgements(
        self, session: Session, index: str | None = None, days: float | None = None, min_searches: int = 1
    ) -> Judgements:
        """Judgements of products for queries, as :mod:`interbert.service.state.judgements` makes them.

        Args:
            session: given by the store.
            index: name of the index; None: all.
            days: the last days alone; None: all that is kept.
            min_searches: searches that have to say the same about a query and a product.
        """
        return judge(session, index, None if days is None else _since(days), min_searches)


_TABLES: tuple[type[EventModel] | type[QueryModel], ...] = (EventModel, QueryModel)
"""Everything that holds a client's id."""


def _since(days: float) -> Any:
    return now() - timedelta(days=days)


def _aware(at: Any) -> Any:
    return at if at.tzinfo is not None else at.replace(tzinfo=now().tzinfo)


def _query_values(query: SeenQuery) -> dict[str, Any]:
    return {
        "id": query.query_id,
        "index_name": query.index_name,
        "text": query.text,
        "normal_text": (normal_text(query.text) or None) if query.text else None,
        "results": query.results,
        "probability_best": query.probability_best,
        "client_id": query.client_id,
        "variant": query.variant,
        "took_ms": query.took_ms,
    }


def _grouped(index: str, days: float) -> Select[str | None, int, Any]:
    empty = func.sum(case((QueryModel.results == 0, 1), else_=0))
    return (
        select(func.max(QueryModel.text), func.count(), empty)
        .where(QueryModel.index_name == index, QueryModel.at >= _since(days), QueryModel.normal_text.is_not(None))
        .group_by(QueryModel.normal_text)
        .order_by(func.count().desc(), QueryModel.normal_text)
    )


def _counts(session: Session, query: Select[str | None, int, Any], limit: int) -> list[QueryCount]:
    return [QueryCount(text or "", count, int(empty)) for text, count, empty in session.execute(query.limit(limit))]
