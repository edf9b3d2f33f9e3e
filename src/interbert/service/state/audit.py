"""The log of who changed what."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from interbert.service.state.column_types import now
from interbert.service.state.database import Store, reading, writing
from interbert.service.state.models import AuditModel
from interbert.service.state.records import AuditEntry


class AuditStore(Store):
    """Entries are added and never changed."""

    @writing
    def write(
        self, session: Session, key_id: str | None, index: str | None, action: str, what: str, count: int = 1
    ) -> None:
        """Note a change.

        Args:
            session: given by the store.
            key_id: who; None where there are no keys.
            index: where; None for what belongs to none.
            action: a verb, as ``products.add``.
            what: ids, or a sentence.
            count: how many.
        """
        session.add(AuditModel(at=now(), key_id=key_id, index_name=index, action=action, what=what, count=count))

    @reading
    def list(self, session: Session, limit: int = 100) -> Sequence[AuditEntry]:
        """Entries, newest first."""
        rows = session.scalars(select(AuditModel).order_by(AuditModel.number.desc()).limit(limit))
        return [AuditEntry(row.at, row.key_id, row.index_name, row.action, row.what, row.count) for row in rows]
