"""Durable writes: every one is a task in the database before it is acknowledged; one replica applies an index's tasks.

Who has the index's lease applies its tasks, in their order, until none is left. A kill at any moment loses nothing: the
replica that takes the lease over applies again, from its first line, the task that was not finished, and what is
written twice is as if it were written once. An index that another command holds, a full disk and a database that went
away are waited for.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from interbert.errors import InterBertError
from interbert.search.index import ProductIndex
from interbert.search.row_changes import maintain
from interbert.service.applying import PASSING, ChunkWriter, Kind, RebuiltError, Tally, mark_of, note_of
from interbert.service.errors import ServiceError
from interbert.service.leases import LeaseLostError, WriteLease
from interbert.service.metrics import Metrics
from interbert.service.settings import Limits
from interbert.service.spool import SpoolFile, chunks
from interbert.service.state import Task
from interbert.service.waiters import Waiters
from interbert.utils.files import only_writer

if TYPE_CHECKING:
    from interbert.search.engine import SearchEngine
    from interbert.service.state import State

_log = logging.getLogger(__name__)
T = TypeVar("T")

_CHUNK_LINES = {"products.write": 256, "products.update": 8192, "products.remove": 8192}
"""Lines that are applied together: images take some seconds, and the end of the service waits for a chunk at work."""
_CHUNK_BYTES = 64 << 20
_IDLE_SECONDS, _PAUSE_SECONDS, _CLAIM_SECONDS = 1.0, 0.5, 0.1
"""Between two looks for tasks, at what passes by itself, and at tasks that another replica applies."""
_MAINTAIN_SECONDS, _MAINTAIN_SHARE = 5.0, 10
"""While writes follow each other the index's own indexes are brought up to date so often, for a tenth of the time."""
_DAY, _KEPT_DAYS = 86_400.0, 30.0
"""Seconds, and days that finished tasks are kept."""
_NICENESS = 10
"""Of the thread that writes, and the threads it starts: searches come first."""


class _Stopped(Exception):  # noqa: N818
    """The service ends."""


class ProductWriter:
    """Keeps and applies the writes of an index.

    Args:
        index_path: of the index.
        engine: searches the index; its model encodes what is written.
        state: of tasks.
        spool: folder of bodies of writes while they come; its name is the index's among tasks.
        metrics: counts images written.
        megapixels: images with more are refused.
    """

    def __init__(
        self,
        index_path: str | Path,
        engine: SearchEngine,
        state: State,
        spool: Path,
        metrics: Metrics,
        megapixels: float = Limits.image_megapixels,
    ) -> None:
        self.name = spool.name
        self._path, self._spool, self._state, self._metrics = str(index_path), spool, state, metrics
        self._chunk_writer = ChunkWriter(engine, megapixels)
        self._notes: dict[str, str] = {}
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._waiters = Waiters(state.tasks.get)
        self._thread: threading.Thread | None = None
        self._lease = WriteLease(state, self.name)
        self._unmaintained = True  # a kill may have come between a change and the upkeep of the index
        self._maintained_at, self._maintaining_took = time.monotonic(), 0.0
        self._expired_at: float | None = None

    def start(self) -> None:
        """Go on with the tasks that are not finished, then apply those that come."""
        self._thread = threading.Thread(target=self._run, name=f"write {self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the chunk that is being applied; what is left another replica applies, or the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def spool_file(self) -> SpoolFile:
        """A file to put lines into, for :meth:`submit`.

        Raises:
            ServiceError: ``storage_full``.
        """
        return SpoolFile(self._spool)

    def submit(
        self, kind: Kind, lines: SpoolFile | Iterable[bytes], key_id: str | None = None, also: str | None = None
    ) -> Task:
        """Keep a write; when this returns, it is on the disk, and will be applied.

        Args:
            kind: what is done with the lines.
            lines: JSON, one value each; a file of :meth:`spool_file` has them already.
            key_id: who writes.
            also: name of another index that gets the same write: both, or none.

        Raises:
            ServiceError: ``storage_full`` or ``state_unavailable``: nothing was kept.
        """
        if not isinstance(lines, SpoolFile):
            with self.spool_file() as opened:
                for line in lines:
                    opened.write(line.rstrip(b"\n") + b"\n")
                return self.submit(kind, opened, key_id, also)
        task = self._state.tasks.create(kind, self.name, lines, lines.lines, key_id, also)
        self._wake.set()
        return task

    async def wait(self, task_id: str, seconds: float) -> Task:
        """A task when it is finished, or as it is after so many seconds.

        Raises:
            ServiceError: ``not_found``, ``state_unavailable``.
        """
        return await self._waiters.wait(task_id, seconds)

    def note(self, task_id: str) -> str | None:
        """What a task that this replica applies waits for, in words."""
        return self._notes.get(task_id)

    def _run(self) -> None:
        """The thread."""
        if sys.platform == "linux":  # elsewhere the whole process would get it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        with contextlib.suppress(_Stopped):
            while True:
                self._guarded_step()
        self._lease.release()

    def _guarded_step(self) -> None:
        """A step that no error ends the thread by."""
        try:
            self._step()
        except _Stopped:
            raise
        except Exception:
            _log.exception("the writes of index %s were interrupted", self.name)
            self._stopping.wait(_PAUSE_SECONDS)

    def _step(self) -> None:
        """Apply the next task, or keep up the index and wait for one."""
        self._require_running()
        self._wake.clear()
        if self._next() is None:
            if self._unmaintained and self._claim():
                self._maintain()
            self._lease.release()
            self._forget_old_tasks()
            self._wake.wait(_IDLE_SECONDS)
            return
        task = self._next() if self._claim() else None  # looked at again: another replica may have finished it
        if task is None:
            self._wake.wait(_CLAIM_SECONDS)
            return
        try:
            tally = self._apply(task)
        except RebuiltError:  # the next step takes it again, from its first line
            _log.info("index %s was rebuilt or rolled back: task %s is applied anew", self.name, task.id)
            return
        except LeaseLostError as error:
            _log.warning("task %s of index %s is left: %s", task.id, self.name, error)
            return
        except (_Stopped, ServiceError):
            raise
        except Exception:
            _log.exception("task %s of index %s cannot be applied", task.id, self.name)
            tally = Tally(error="An error of the service; its log says more.")
        self._finish(task, tally)

    def _claim(self) -> bool:
        return self._lasting("", self._lease.claim)

    def _next(self) -> Task | None:
        return self._lasting("", partial(self._state.tasks.next, self.name))

    def _forget_old_tasks(self) -> None:
        """Once a day, tasks that were finished long ago."""
        if self._expired_at is None or time.monotonic() - self._expired_at > _DAY:
            self._expired_at = time.monotonic()
            self._lasting("", partial(self._state.tasks.expire, _KEPT_DAYS))

    def _apply(self, task: Task) -> Tally:
        """Apply all lines of a task, from the first."""
        mark: str | None = None
        tally, done = Tally(), 0
        kind: Kind = task.kind  # type: ignore[assignment]
        self._lasting(task.id, partial(self._state.tasks.progress, task.id, 0))
        for chunk in chunks(self._lines(task), _CHUNK_LINES[kind], _CHUNK_BYTES):
            mark, results = self._holding(task.id, partial(self._chunk_writer.write, kind, chunk, mark))
            self._unmaintained = True
            if errors := tally.add(results):
                self._lasting(task.id, partial(self._state.tasks.add_errors, task.id, errors))
            done += len(chunk.lines)
            self._lasting(task.id, partial(self._state.tasks.progress, task.id, done))
            pause = max(_MAINTAIN_SECONDS, _MAINTAIN_SHARE * self._maintaining_took)
            if time.monotonic() - self._maintained_at > pause:
                self._maintain()
        return tally if done == task.total else Tally(error="Lines of the task are not in the database any more.")

    def _lines(self, task: Task) -> Iterator[bytes]:
        """Parts of a task's lines."""
        for place in itertools.count():
            part = self._lasting(task.id, partial(self._state.tasks.lines, task.id, place))
            if part is None:
                return
            yield part

    def _finish(self, task: Task, tally: Tally) -> None:
        """Keep what came of a task and tell who waits."""
        ended: Literal["succeeded", "failed"] = "failed" if tally.error else "succeeded"
        done = self._lasting(task.id, partial(self._state.tasks.finish, task.id, ended, tally.result()))
        self._notes.pop(task.id, None)
        for result, count in tally.written().items():
            self._metrics.writes.labels(self.name, result).inc(count)
        self._waiters.tell(done)

    def _maintain(self) -> None:
        """Bring the index's own indexes up to date, when something was written since; later, where that fails now."""
        if not self._unmaintained:
            return
        started = time.monotonic()
        try:
            self._hold(maintain)
            self._unmaintained = False
        except PASSING as error:
            _log.info("the upkeep of index %s is put off: %s", self.name, error)
        self._maintained_at = time.monotonic()
        self._maintaining_took = self._maintained_at - started

    def _hold(self, work: Callable[[ProductIndex], T]) -> tuple[str, T]:
        """Do something with the newest build while no other command changes it; returns its mark, too."""
        self._lease.require()
        with only_writer(self._path):
            index = ProductIndex.open(self._path).pinned()
            index.before_commit = self._lease.require
            return mark_of(index), work(index)

    def _holding(self, task_id: str, work: Callable[[ProductIndex], T]) -> tuple[str, T]:
        """As :meth:`_hold`, as soon as that is possible: what passes by itself is waited for."""
        while True:
            self._require_running()
            try:
                done = self._hold(work)
                self._notes.pop(task_id, None)
                return done
            except LeaseLostError:
                raise
            except PASSING as error:
                self._pause(task_id, error)

    def _lasting(self, task_id: str, call: Callable[[], T]) -> T:
        """What a call of the database gives, as soon as it can be reached and has room."""
        while True:
            try:
                return call()
            except ServiceError as error:
                if error.code not in ("state_unavailable", "storage_full", "conflict"):
                    raise
                self._require_running()
                self._pause(task_id, error)

    def _pause(self, task_id: str, error: InterBertError | ServiceError) -> None:
        note = note_of(error)
        if self._notes.get(task_id) != note:
            _log.warning("writes of index %s wait: %s", self.name, error)
        self._notes[task_id] = note
        self._stopping.wait(_PAUSE_SECONDS)
        self._require_running()

    def _require_running(self) -> None:
        if self._stopping.is_set():
            raise _Stopped
