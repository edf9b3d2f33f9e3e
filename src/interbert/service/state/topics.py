"""Topics, their pages and what came to the pages and left them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from interbert.errors import shortened
from interbert.service.errors import ServiceError
from interbert.service.state.column_types import now
from interbert.service.state.database import Store, reading, writing
from interbert.service.state.models import TopicChangeModel, TopicModel, TopicPageModel
from interbert.service.state.records import Change, Page, TopicRow

KEPT_CHANGES = 1000
"""Newest changes of a topic that are kept."""
_FIELDS = (
    *("texts", "where", "top_k", "min_probability", "diversity", "diversify_by", "pinned", "hidden"),
    *("valid_from", "valid_to", "published"),
)
"""What a client sets of a topic."""


class TopicStore(Store):
    """Topics of each index, by id."""

    @writing
    def put(self, session: Session, index: str, topic: TopicRow, expected_revision: int | None = None) -> TopicRow:
        """Make a topic, or put another in its place; returns it with its revision.

        Args:
            session: given by the store.
            index: name of the index.
            topic: its ``revision`` and ``updated_at`` are not read.
            expected_revision: of the topic that is replaced, 0 where there is none; None: whatever is there.

        Raises:
            ServiceError: ``conflict``, there is another revision.
        """
        row = _find(session, index, topic.id, lock=True)
        _expect(topic.id, 0 if row is None else row.revision, expected_revision)
        if row is None:
            row = TopicModel(index_name=index, id=topic.id, revision=0)
            session.add(row)
        for name in _FIELDS:
            setattr(row, name, getattr(topic, name))
        row.revision += 1
        row.updated_at = now()
        session.flush()
        return _record(row)

    @reading
    def get(self, session: Session, index: str, topic_id: str) -> TopicRow:
        """A topic.

        Raises:
            ServiceError: ``not_found``.
        """
        return _record(_row(session, index, topic_id))

    @reading
    def list(self, session: Session, index: str) -> Sequence[TopicRow]:
        """All topics of an index, by id."""
        return [_record(row) for row in session.scalars(_of_index(index))]

    @writing
    def delete(self, session: Session, index: str, topic_id: str, expected_revision: int | None = None) -> None:
        """Delete a topic with its page and its changes.

        Raises:
            ServiceError: ``not_found``; ``conflict``, there is another revision.
        """
        row = _row(session, index, topic_id, lock=True)
        _expect(topic_id, row.revision, expected_revision)
        session.execute(delete(TopicModel).where(TopicModel.number == row.number))

    @writing
    def save_page(
        self,
        session: Session,
        index: str,
        topic_id: str,
        index_version: str,
        items: Sequence[dict[str, Any]],
        changes: Sequence[Change],
        revision: int | None = None,
        notes: Sequence[str] = (),
        closed: str | None = None,
        evidence: str = "",
        former: Page | None = None,
    ) -> Page:
        """Keep a topic's page in place of the last, and what changed between the two.

        Where another replica has put a page in the place of ``former`` meanwhile, that one stays.

        Args:
            session: given by the store.
            index: name of the index.
            topic_id: of the topic.
            index_version: that was searched.
            items: the page's products, as JSON objects.
            changes: of the page, in their order; the newest 1000 of a topic are kept.
            revision: of the topic that was searched for; its present one when not given.
            notes, closed, evidence: as of :class:`Page`.
            former: the last page as it was read, which ``changes`` begin from; None: there was none.

        Raises:
            ServiceError: ``not_found``, the topic was deleted meanwhile.
        """
        topic = _row(session, index, topic_id, lock=True)
        page = session.get(TopicPageModel, topic.number)
        if page is None:
            page = TopicPageModel(topic_number=topic.number)
            session.add(page)
        elif former is None or former.updated_at != page.updated_at:
            return _page(topic_id, page)
        page.index_version, page.items, page.updated_at = index_version, [*items], now()
        page.revision = topic.revision if revision is None else revision
        page.notes, page.closed, page.evidence = [*notes], closed, evidence
        session.flush()
        if changes:
            session.execute(
                insert(TopicChangeModel), [{"topic_number": topic.number} | vars(change) for change in changes]
            )
            _forget_old_changes(session, topic.number)
        return _page(topic_id, page)

    @reading
    def page(self, session: Session, index: str, topic_id: str) -> Page | None:
        """The last page of a topic; None: none was made, or there is no such topic."""
        query = select(TopicPageModel).join(TopicModel).where(*_is(index, topic_id))
        row = session.scalar(query)
        return None if row is None else _page(topic_id, row)

    @reading
    def changes(self, session: Session, index: str, topic_id: str, limit: int = 100) -> Sequence[Change]:
        """What changed on a topic's page, newest first."""
        rows = session.scalars(
            select(TopicChangeModel)
            .join(TopicModel)
            .where(*_is(index, topic_id))
            .order_by(TopicChangeModel.number.desc())
            .limit(limit)
        )
        return [_change(row) for row in rows]

    @reading
    def all_changes(
        self,
        session: Session,
        index: str,
        since: datetime,
        until: datetime | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[Sequence[tuple[str, Change]], int]:
        """What changed on the pages of all topics of an index, newest first, and how much it is in all.

        Args:
            session: given by the store.
            index: name of the index.
            since: changes of this moment count.
            until: changes of this moment do not count; None: up to now.
            offset, limit: of the part that is returned.

        Returns:
            (id of the topic, change) of the part; the number of all changes of the time.
        """
        chosen = [TopicModel.index_name == index, TopicChangeModel.at >= since]
        if until is not None:
            chosen.append(TopicChangeModel.at < until)
        joined = select(TopicModel.id, TopicChangeModel).join(TopicModel).where(*chosen)
        rows = session.execute(joined.order_by(TopicChangeModel.number.desc()).offset(offset).limit(limit))
        found = [(topic_id, _change(row)) for topic_id, row in rows]
        total = session.scalar(select(func.count()).select_from(TopicChangeModel).join(TopicModel).where(*chosen))
        return found, total or 0


def _change(row: TopicChangeModel) -> Change:
    return Change(row.at, row.product_id, cast(Literal["entered", "left", "moved"], row.what), row.why)


def _is(index: str, topic_id: str) -> tuple[Any, Any]:
    return TopicModel.index_name == index, TopicModel.id == topic_id


def _of_index(index: str) -> Any:
    return select(TopicModel).where(TopicModel.index_name == index).order_by(TopicModel.id)


def _find(session: Session, index: str, topic_id: str, lock: bool = False) -> TopicModel | None:
    query = select(TopicModel).where(*_is(index, topic_id))
    return session.scalar(query.with_for_update() if lock else query)


def _row(session: Session, index: str, topic_id: str, lock: bool = False) -> TopicModel:
    row = _find(session, index, topic_id, lock)
    if row is None:
        raise ServiceError("not_found", f"there is no topic {shortened(topic_id)!r}.")
    return row


def _expect(topic_id: str, revision: int, expected: int | None) -> None:
    if expected is not None and expected != revision:
        there = f"is at revision {revision}" if revision else "does not exist"
        raise ServiceError(
            "conflict",
            f"topic {shortened(topic_id)!r} {there}, not at {expected}. Read it again, and send the change again.",
        )


def _forget_old_changes(session: Session, topic_number: int) -> None:
    of_topic = TopicChangeModel.topic_number == topic_number
    number = TopicChangeModel.number
    last = session.scalar(select(number).where(of_topic).order_by(number.desc()).offset(KEPT_CHANGES).limit(1))
    if last is not None:
        session.execute(delete(TopicChangeModel).where(of_topic, number <= last))


def _record(row: TopicModel) -> TopicRow:
    values = {name: getattr(row, name) for name in _FIELDS}
    return TopicRow(id=row.id, **values, revision=row.revision, updated_at=row.updated_at)


def _page(topic_id: str, row: TopicPageModel) -> Page:
    return Page(
        topic_id, row.index_version, row.revision, row.items, row.updated_at, row.notes, row.closed, row.evidence
    )
