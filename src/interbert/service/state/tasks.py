"""Writes that go on after their answer: a kill leaves them here, and the next start goes on with them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal, cast

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from interbert.errors import shortened
from interbert.service.errors import ServiceError
from interbert.service.state.column_types import now
from interbert.service.state.database import Store, changed, reading, writing
from interbert.service.state.models import AuditModel, TaskErrorModel, TaskLinesModel, TaskModel
from interbert.service.state.records import LISTED_ERRORS, REBUILD, Task, TaskError, TaskState

_ROWS = 500
"""Values of one statement; databases allow some thousands."""
_UNFINISHED = ("waiting", "running")


class TaskStore(Store):
    """Tasks, in the order in which they were made."""

    @writing
    def create(
        self,
        session: Session,
        kind: str,
        index: str,
        parts: Iterable[bytes],
        total: int | None = None,
        key_id: str | None = None,
        also: str | None = None,
    ) -> Task:
        """Keep a task with its lines, and note who asked for it; when this returns, it is on the disk.

        Args:
            session: given by the store.
            kind: what is to be done.
            index: name of the index.
            parts: its lines, some whole ones a part; read again when another wrote at the same moment.
            total: lines.
            key_id: who asked for it.
            also: name of another index that gets the same task, before this one: both are kept, or none. Tasks of the
                two come in one order.
        """
        if also is not None:
            if session.get_bind().dialect.name == "postgresql":  # SQLite lets one write at a time
                session.execute(select(func.pg_advisory_xact_lock(func.hashtext(index))))
            _add(session, kind, also, parts, total, key_id)
        return _record(session, _add(session, kind, index, parts, total, key_id))

    @reading
    def lines(self, session: Session, task_id: str, part: int) -> bytes | None:
        """A part of a task's lines, from 0; None after the last, and of a task that is finished.

        Raises:
            ServiceError: ``not_found``.
        """
        number = _row(session, task_id).number
        return session.scalar(
            select(TaskLinesModel.lines).where(TaskLinesModel.task_number == number, TaskLinesModel.part == part)
        )

    @reading
    def get(self, session: Session, task_id: str) -> Task:
        """A task.

        Raises:
            ServiceError: ``not_found``.
        """
        return _record(session, _row(session, task_id))

    @reading
    def next(self, session: Session, index: str) -> Task | None:
        """The oldest write of an index that is not finished, begun or not; None when all are."""
        row = session.scalar(
            select(TaskModel)
            .where(TaskModel.index_name == index, TaskModel.state.in_(_UNFINISHED))
            .where(TaskModel.kind != REBUILD)
            .order_by(TaskModel.number)
            .limit(1)
        )
        return None if row is None else _record(session, row)

    @writing
    def progress(self, session: Session, task_id: str, done: int) -> None:
        """Note that so many lines are finished; the task runs from the first such note on.

        Raises:
            ServiceError: ``not_found``.
        """
        row = _row(session, task_id, lock=True)
        if row.finished_at is None:
            row.done = done
        if row.state == "waiting":
            row.state = "running"

    @writing
    def add_errors(self, session: Session, task_id: str, errors: Sequence[tuple[int, str | None, str]]) -> None:
        """Note lines that were not done, each (line from 1, product id, reason).

        A line that is noted again, as after a kill, has its last reason.

        Raises:
            ServiceError: ``not_found``.
        """
        number = _row(session, task_id, lock=True).number
        rows = list({line: (line, product, reason) for line, product, reason in errors}.values())
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            lines = [line for line, _, _ in part]
            session.execute(
                delete(TaskErrorModel).where(TaskErrorModel.task_number == number, TaskErrorModel.line.in_(lines))
            )
            session.execute(
                insert(TaskErrorModel),
                [
                    {"task_number": number, "line": line, "product_id": product, "reason": reason}
                    for line, product, reason in part
                ],
            )

    @writing
    def finish(
        self, session: Session, task_id: str, state: Literal["succeeded", "failed"], result: dict[str, Any]
    ) -> Task:
        """End a task, with what came of it, and remove its lines; one that is finished stays as it is.

        Raises:
            ServiceError: ``not_found``.
        """
        row = _row(session, task_id, lock=True)
        if row.finished_at is not None:
            return _record(session, row)
        session.execute(delete(TaskLinesModel).where(TaskLinesModel.task_number == row.number))
        row.state, row.result, row.finished_at = state, result, now()
        session.flush()
        return _record(session, row)

    @reading
    def list(self, session: Session, index: str | None = None, limit: int = 100) -> Sequence[Task]:
        """Tasks of an index, or of all, newest first."""
        query = select(TaskModel).order_by(TaskModel.number.desc()).limit(limit)
        if index is not None:
            query = query.where(TaskModel.index_name == index)
        return [_record(session, row) for row in session.scalars(query)]

    @reading
    def unfinished(self, session: Session, indexes: Sequence[str], limit: int = 100) -> Sequence[Task]:
        """Tasks of these indexes that wait or run, oldest first."""
        query = (
            select(TaskModel)
            .where(TaskModel.index_name.in_(indexes), TaskModel.state.in_(_UNFINISHED))
            .order_by(TaskModel.number)
            .limit(limit)
        )
        return [_record(session, row) for row in session.scalars(query)]

    @writing
    def expire(self, session: Session, days: float) -> int:
        """Forget tasks that were finished before so many days; returns how many."""
        before = now() - timedelta(days=days)
        return changed(session, delete(TaskModel).where(TaskModel.finished_at < before))


def _add(
    session: Session, kind: str, index: str, parts: Iterable[bytes], total: int | None, key_id: str | None
) -> TaskModel:
    """A new task's row, with its lines and who asked for it."""
    row = TaskModel(
        id=secrets.token_hex(16),
        kind=kind,
        index_name=index,
        state="waiting",
        total=total,
        done=0,
        key_id=key_id,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    for place, lines in enumerate(parts):  # one by one: all of them may be hundreds of MiB
        session.execute(insert(TaskLinesModel).values(task_number=row.number, part=place, lines=lines))
    session.add(AuditModel(at=now(), key_id=key_id, index_name=index, action=kind, what=row.id, count=total or 0))
    return row


def _row(session: Session, task_id: str, lock: bool = False) -> TaskModel:
    query = select(TaskModel).where(TaskModel.id == task_id)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise ServiceError("not_found", f"there is no task {shortened(task_id)!r}.")
    return row


def _record(session: Session, row: TaskModel) -> Task:
    of_task = TaskErrorModel.task_number == row.number
    errors = session.scalars(select(TaskErrorModel).where(of_task).order_by(TaskErrorModel.line).limit(LISTED_ERRORS))
    return Task(
        id=row.id,
        kind=row.kind,
        index=row.index_name,
        state=cast(TaskState, row.state),
        total=row.total,
        done=row.done,
        errors=[TaskError(one.line, one.product_id, one.reason) for one in errors],
        error_count=session.scalar(select(func.count()).where(of_task)) or 0,
        result=row.result,
        key_id=row.key_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
