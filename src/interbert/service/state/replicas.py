"""Which processes of the service share this database, and which of them does what only one may do at a time.

A replica counts up a number of its own row once a second. Others watch the number by their own clocks, so that clocks
of machines need not agree: one whose number stays the same for five seconds is gone, its row is removed, and what it
held is free. A replica that comes back from a pause finds its row removed, and goes on under another id.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.orm import Session

from interbert.service.errors import ServiceError
from interbert.service.state.database import Database, Store, changed, reading, writing
from interbert.service.state.models import LeaseModel, ReplicaModel

BEAT_SECONDS = 1.0
GONE_SECONDS = 5.0
"""Without a beat a replica counts as gone."""
_TRUSTED_SECONDS = 3.0
"""For so long after a beat a replica knows by itself that nobody can have taken what it holds."""
_LOOKS = 4
"""At one number at least before a replica is gone: a database that answers late makes nobody look dead."""
_log = logging.getLogger(__name__)


@dataclass
class _Watched:
    """Another replica, as it was seen."""

    beat: int
    since: float
    looks: int = 1


class ReplicaStore(Store):
    """This replica among those of the database. Threads may share it.

    Attributes:
        id: of this replica; another one after others took it for gone.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.id = secrets.token_hex(8)
        self._held: set[str] = set()
        self._watched: dict[str, _Watched] = {}
        self._beaten_at = -float("inf")
        self._lock, self._ending = threading.RLock(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Join the replicas, once; :meth:`claim` does it, too.

        Raises:
            ServiceError: ``state_unavailable``, ``storage_full``.
        """
        with self._lock:
            if self._thread is None:
                self._join()
                self._thread = threading.Thread(target=self._keep_beating, name="replica", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Leave them: what this one holds is free at once."""
        self._ending.set()
        if self._thread is None:
            return
        self._thread.join()
        self._held.clear()
        with contextlib.suppress(ServiceError):  # without a database the others find out by themselves
            self._remove(self.id)

    def claim(self, name: str) -> bool:
        """Hold a name, unless another replica that lives holds it; one that is gone loses it to the first who asks.

        Raises:
            ServiceError: ``state_unavailable``, ``storage_full``.
        """
        self.start()
        if self.holds(name):
            return True
        with self._lock:
            if self._take(name):
                self._held.add(name)
            return name in self._held

    def holds(self, name: str) -> bool:
        """Whether this replica holds a name, now and for two seconds more.

        Raises:
            ServiceError: ``state_unavailable``, ``storage_full``.
        """
        if name in self._held and time.monotonic() - self._beaten_at > _TRUSTED_SECONDS:
            self._look()
        return name in self._held

    def release(self, name: str) -> None:
        """Let go of a name, if this replica holds it."""
        with self._lock:
            if name in self._held:
                self._held.discard(name)
                with contextlib.suppress(ServiceError):  # it is claimed again, or free when this replica ends
                    self._free(name)

    @reading
    def holder(self, session: Session, name: str) -> str | None:
        """Id of the replica that holds a name; None where none that lives does."""
        living = exists().where(ReplicaModel.id == LeaseModel.owner)
        return session.scalar(select(LeaseModel.owner).where(LeaseModel.name == name, living))

    def _keep_beating(self) -> None:
        """The thread."""
        while not self._ending.wait(BEAT_SECONDS):
            try:
                self._look()
            except ServiceError as error:
                _log.warning("the replicas of this database cannot be seen: %s", error.message)
            except Exception:  # whatever it is: a replica without a beat would lose what it holds again and again
                _log.exception("the replicas of this database cannot be seen")

    def _look(self) -> None:
        """Beat, and see whether the others do."""
        with self._lock:
            began = time.monotonic()
            others = self._beat()
            if others is None:
                _log.warning(
                    "this replica did not reach the database for %g seconds and was taken for gone", GONE_SECONDS
                )
                self._join()
                return
            self._beaten_at = began
            self._watch(others)

    def _watch(self, others: Sequence[tuple[str, int]]) -> None:
        at = time.monotonic()
        known, self._watched = self._watched, {}
        for name, beat in others:
            seen = known.get(name)
            if seen is None or seen.beat != beat:
                seen = _Watched(beat, at)
            elif at - seen.since > GONE_SECONDS and seen.looks >= _LOOKS:
                if self._remove(name, beat):
                    _log.warning("replica %s is gone: what it held is free", name)
                continue
            else:
                seen.looks += 1
            self._watched[name] = seen

    def _join(self) -> None:
        self._held.clear()
        self.id = secrets.token_hex(8)
        began = time.monotonic()
        self._insert(self.id)
        self._beaten_at = began

    @writing
    def _insert(self, session: Session, name: str) -> None:
        session.execute(insert(ReplicaModel).values(id=name, beat=0))

    @writing
    def _beat(self, session: Session) -> Sequence[tuple[str, int]] | None:
        """Count up; returns the others' ids and numbers, or None when this replica's row is gone."""
        if not changed(
            session, update(ReplicaModel).where(ReplicaModel.id == self.id).values(beat=ReplicaModel.beat + 1)
        ):
            return None
        others = select(ReplicaModel.id, ReplicaModel.beat).where(ReplicaModel.id != self.id)
        return [(row.id, row.beat) for row in session.execute(others)]

    @writing
    def _remove(self, session: Session, name: str, beat: int | None = None) -> bool:
        """Remove a replica, if its number is still that one."""
        where = [ReplicaModel.id == name] if beat is None else [ReplicaModel.id == name, ReplicaModel.beat == beat]
        return changed(session, delete(ReplicaModel).where(*where)) > 0

    @writing
    def _take(self, session: Session, name: str) -> bool:
        """One UPDATE takes a name from nobody, or from a replica that is gone: of several that try, one succeeds."""
        owner = session.scalar(select(LeaseModel.owner).where(LeaseModel.name == name))
        if owner is None:
            session.execute(insert(LeaseModel).values(name=name, owner=self.id))
            return True
        if owner == self.id:
            return True
        lives = exists().where(ReplicaModel.id == owner)
        free = update(LeaseModel).where(LeaseModel.name == name, LeaseModel.owner == owner, ~lives)
        return changed(session, free.values(owner=self.id)) > 0

    @writing
    def _free(self, session: Session, name: str) -> None:
        mine = update(LeaseModel).where(LeaseModel.name == name, LeaseModel.owner == self.id)
        session.execute(mine.values(owner=""))


def lives(session: Session, replica: str) -> bool:
    """Whether a replica is not known to be gone."""
    return session.get(ReplicaModel, replica) is not None
