"""Topic pages of a served index: made by one thread, kept in the database, made anew when products or topics change.

One replica of the service at a time makes the passes; pages of topics that were changed just now any makes. A pass
looks at the topics whose evidence changed (:mod:`interbert.service.page_upkeep`). All work of the model is done by one
thread, a page at a time, so that a preview waits for one page and not for a pass.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from interbert.errors import InterBertError
from interbert.search.engine import SearchEngine
from interbert.service.errors import ServiceError
from interbert.service.leases import Lease
from interbert.service.metrics import Metrics
from interbert.service.page_making import MadePage, closed, made_page, require_possible
from interbert.service.page_upkeep import PageUpkeep, Pass
from interbert.service.state import State
from interbert.service.state.records import Change, Page, TopicRow

T = TypeVar("T")
_SECONDS = 1.0
"""Between two looks at the index's version and at the topics."""
_WAITING = 8
"""Previews that wait at once; more are refused."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShownPage:
    """A topic's page as it is answered."""

    topic: TopicRow
    closed: str | None
    """Why the page is empty: not published, or outside of the valid time."""
    page: Page
    index_version: str
    """The newest that the page is known to be right for."""
    notes: list[str]


class TopicPages:
    """Pages of one index's topics. Threads may share it.

    Args:
        index_name: as the service calls it.
        engine: of the index.
        state: where topics and pages are kept.
        metrics: counts pages by what became of them.
        seconds: between two looks for changes.
        clock: the time.
    """

    def __init__(
        self,
        index_name: str,
        engine: SearchEngine,
        state: State,
        metrics: Metrics,
        seconds: float = _SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._name, self._state, self._seconds, self._clock = index_name, state, seconds, clock
        self._upkeep = PageUpkeep(index_name, engine, state, metrics, clock)
        self._model = ThreadPoolExecutor(1, thread_name_prefix=f"topics-{index_name}")
        self._waiting = threading.BoundedSemaphore(_WAITING)
        self._lease = Lease(state, "topic pages", index_name)
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to keep pages up to date."""
        self._thread = threading.Thread(target=self._keep, name=f"topic-pages-{self._name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the page that is being made."""
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._model.shutdown(cancel_futures=True)

    def tell(self) -> None:
        """Look for changes at once: a topic was written."""
        self._wake.set()

    def check(self, topic: TopicRow) -> None:
        """Check that a page can be made of a topic, before it is saved.

        Raises:
            FilterError: the filter is wrong at a character that is named.
            ServiceError: ``invalid`` with the field, or ``overloaded``.
            InterBertError: the index cannot be read, or its model cannot make topic pages.
        """
        self._soon(lambda: require_possible(self._upkeep.current()[0], topic))

    def preview(self, topic: TopicRow) -> tuple[MadePage, str]:
        """The page that a topic would have if it was its time, and the index's version; nothing is stored.

        Raises:
            As :meth:`check`.
        """

        def made() -> tuple[MadePage, str]:
            recommender, version = self._upkeep.current()
            return made_page(recommender, topic), version

        return self._soon(made)

    def items(self, topic_id: str) -> ShownPage:
        """A topic's page; of a topic that was changed just now, it is made now.

        Raises:
            ServiceError: ``not_found``, ``state_unavailable``; ``invalid`` or ``overloaded`` when there is no page yet.
            InterBertError: there is no page yet, and none can be made now.
        """
        topic = self._state.topics.get(self._name, topic_id)
        why = closed(topic, self._clock())
        page = self._state.topics.page(self._name, topic_id)
        if page is None or (page.revision, page.closed) != (topic.revision, why):
            page = self._made_now(topic, page)
        problem, seen = self._upkeep.problems.get(topic_id), self._upkeep.seen.get(topic_id)
        notes = [*page.notes, *([] if problem is None else [f"The page is not made anew: {problem}"])]
        known = problem is None and seen is not None
        return ShownPage(topic, why, page, seen.version if known and seen else page.index_version, notes)

    def changes(self, topic_id: str, limit: int) -> Sequence[Change]:
        """The log of a topic's page, newest first.

        Raises:
            ServiceError: ``not_found``, ``state_unavailable``.
        """
        self._state.topics.get(self._name, topic_id)
        return self._state.topics.changes(self._name, topic_id, limit)

    def refresh(self) -> Pass:
        """Make the pages anew whose evidence changed, those first whose topics changed.

        Raises:
            ServiceError: ``state_unavailable``.
            VectorIndexError: the index cannot be read now.
            UsageError: the index's model cannot make topic pages.
        """
        done, upkeep = Pass(), self._upkeep
        topics = self._state.topics.list(self._name)
        upkeep.forget_others({topic.id for topic in topics})
        basis = self._model.submit(upkeep.basis).result()
        changed = []
        for topic in topics:
            evidence, seen = upkeep.evidence(topic, basis), upkeep.seen.get(topic.id)
            if evidence != seen:
                changed.append((seen is not None and seen.topic == evidence.topic, topic.id, topic))
        done.untouched = len(topics) - len(changed)
        for _, _, topic in sorted(changed, key=lambda one: one[:2]):
            if self._ending.is_set():
                break
            try:
                self._model.submit(upkeep.look, topic, done).result()
            except ServiceError as error:
                if error.code != "not_found":  # it was deleted meanwhile
                    raise
        return done

    def _made_now(self, topic: TopicRow, page: Page | None) -> Page:
        """The page of a topic that was changed just now; the one before while no page can be made."""
        try:
            self._soon(lambda: self._upkeep.look(topic, Pass()))
        except (ServiceError, InterBertError):
            if page is None:
                raise
        made = self._state.topics.page(self._name, topic.id) or page
        if made is None:
            raise ServiceError("invalid", self._upkeep.problems.get(topic.id, "The topic has no page yet."))
        return made

    def _soon(self, work: Callable[[], T]) -> T:
        """Do something with the model, after the page that is being made."""
        if not self._waiting.acquire(blocking=False):
            raise ServiceError("overloaded", "Too many topic pages are asked for at once. Try again.", retry_after=1.0)
        try:
            return self._model.submit(work).result()
        except RuntimeError as error:  # the executor takes nothing any more
            if self._ending.is_set():
                raise ServiceError("draining", "The service is about to stop.") from error
            raise
        finally:
            self._waiting.release()

    def _keep(self) -> None:
        """Passes until the end, unless another replica makes them.

        After a long one comes a pause of as long, which leaves time for searches.
        """
        told = ""
        while not self._ending.is_set():
            self._wake.clear()
            began = time.monotonic()
            try:
                if self._lease.claim():
                    self.refresh()
                told = ""
            except Exception as error:
                if str(error) != told:  # once, not every second
                    expected = isinstance(error, InterBertError | ServiceError)
                    _log.warning("topic pages of %s are not made anew: %s", self._name, error, exc_info=not expected)
                told = str(error)
            self._wake.wait(max(self._seconds, time.monotonic() - began))
        self._lease.release()
