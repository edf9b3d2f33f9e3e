"""Answers of requests with an idempotency key: the same request, sent again, gets the same answer and does nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from interbert.service.errors import ServiceError
from interbert.service.state.column_types import now
from interbert.service.state.database import Database, Store, writing
from interbert.service.state.models import IdempotencyModel
from interbert.service.state.replicas import ReplicaStore, lives

KEPT = timedelta(hours=24)
_MOST_WORK = timedelta(minutes=10)
"""A request that is not answered by then is taken for dead."""


class IdempotencyStore(Store):
    """Requests that have a key, by who sent them; ``key_id`` is None where there are no API keys."""

    def __init__(self, database: Database, replicas: ReplicaStore) -> None:
        super().__init__(database)
        self._replicas = replicas

    @writing
    def begin(self, session: Session, key_id: str | None, key: str, request_digest: str) -> tuple[int, Any] | None:
        """Begin a request; None: do it, then :meth:`store` its answer, or :meth:`forget` it when it failed.

        Else what was answered before, (status, JSON value). A request that a replica began and did not answer before it
        was gone died with it, and is done again.

        Raises:
            ServiceError: ``conflict``, the key was used for another request, or the same is being worked on.
        """
        session.execute(delete(IdempotencyModel).where(IdempotencyModel.created_at < now() - KEPT))
        run = self._replicas.id
        row = session.get(IdempotencyModel, (key_id or "", key), with_for_update=True)
        if row is None:
            session.add(
                IdempotencyModel(
                    key_id=key_id or "",
                    idempotency_key=key,
                    request_digest=request_digest,
                    run=run,
                    created_at=now(),
                )
            )
            return None
        if row.request_digest != request_digest:
            raise ServiceError(
                "conflict", "The idempotency key was used for another request. Use a new one.", "Idempotency-Key"
            )
        if row.status is not None:
            return row.status, row.body
        if (row.run == run or lives(session, row.run)) and now() - row.created_at < _MOST_WORK:
            raise ServiceError(
                "conflict",
                "The same request is being worked on. Send it again to get its answer.",
                "Idempotency-Key",
                retry_after=1.0,
            )
        row.run, row.created_at = run, now()
        return None

    @writing
    def store(self, session: Session, key_id: str | None, key: str, status: int, body: Any) -> None:
        """Keep the answer of a request that was begun, for 24 hours."""
        row = session.get(IdempotencyModel, (key_id or "", key), with_for_update=True)
        if row is not None:
            row.status, row.body = status, body

    @writing
    def forget(self, session: Session, key_id: str | None, key: str) -> None:
        """A request that was begun came to nothing; the same key may be used again."""
        session.execute(
            delete(IdempotencyModel).where(
                IdempotencyModel.key_id == (key_id or ""),
                IdempotencyModel.idempotency_key == key,
                IdempotencyModel.status.is_(None),
            )
        )
