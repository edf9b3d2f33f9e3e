"""The service's parts: indexes with their queues, writers and topic pages; the database; keys; numbers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from fastapi.concurrency import run_in_threadpool
from PIL import Image

from interbert.errors import InterBertError, UsageError, first_line
from interbert.search.query import Part, Query
from interbert.service.access import Access, Principal
from interbert.service.cursors import SECRET, Cursors
from interbert.service.errors import CODES, ServiceError
from interbert.service.experiments import Experiment
from interbert.service.images import IMAGE_SLOTS
from interbert.service.metrics import Metrics
from interbert.service.seen_queries import SeenQueries
from interbert.service.settings import Limits, Queues
from interbert.service.slots import Slots
from interbert.utils.redaction import without_credentials

if TYPE_CHECKING:
    from interbert.search.engine import SearchEngine
    from interbert.search.rewriting import QueryRewriter
    from interbert.service.pipeline import Pipeline
    from interbert.service.rebuilding import Rebuilds
    from interbert.service.state import State
    from interbert.service.topic_pages import TopicPages
    from interbert.service.wordings import SynonymsFile
    from interbert.service.writes import ProductWriter

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[\w.-]{1,100}")
_PING_SECONDS = 2.0
_DAY = 86_400.0
_WARM_SEARCHES, _WARM_SECONDS = 8, 600.0
"""Searches of each index before the service is ready, and their deadline: the first waits for compiled kernels."""
_WATCH_SECONDS = 1.0


@dataclass
class ServedIndex:
    """An index that is served."""

    name: str
    path: str
    engine: SearchEngine
    pipeline: Pipeline
    writer: ProductWriter | None = None
    topics: TopicPages | None = None
    rewriter: QueryRewriter | None = None
    """Of the words of searches; None searches as typed."""
    version: str = ""
    """As of the last look, for the numbers of versions and reloads."""


@dataclass(frozen=True)
class Settings:
    """What is neither a limit nor a queue."""

    folder: Path
    """Of the state: SQLite's file, and bodies of writes while they come."""
    loopback: bool = True
    """Whether only this machine can send requests: without keys the service is open then."""
    cors_origins: tuple[str, ...] = ()
    event_days: int = 90
    """Days that events are kept."""
    synonyms: SynonymsFile | None = None
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
    """By the name of the index whose searches are shared out."""


class Service:
    """Everything that routes use; at ``request.app.state.service``.

    Args:
        indexes: by name; the first is the one of requests that name none.
        state: the database.
        metrics, limits, queues, settings: of the service.
        rebuilds: builds indexes anew; None where no source was chosen.
    """

    def __init__(
        self,
        indexes: Mapping[str, ServedIndex],
        state: State,
        metrics: Metrics,
        limits: Limits,
        queues: Queues,
        settings: Settings,
        rebuilds: Rebuilds | None = None,
    ) -> None:
        self.indexes = dict(indexes)
        self.state, self.metrics, self.limits, self.queues, self.settings = state, metrics, limits, queues, settings
        self.access = Access(state, metrics, settings.loopback)
        self.cursors = Cursors(state.secrets.get(SECRET))
        self.seen_queries = SeenQueries(state, metrics)
        self.image_slots = Slots(IMAGE_SLOTS, queues.waiting, metrics, "Too many images wait to be read.")
        self.rebuilds = rebuilds
        from interbert.service.explaining import Explanations  # loads torch, which help of `serve` does not need

        self.explanations = Explanations(metrics, queues.explanations)
        self.warm = False
        self.draining = False
        self._background: list[asyncio.Task[None]] = []
        self._noting = threading.Lock()
        self._begun = time.monotonic()

    @property
    def uptime(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._begun

    @property
    def cors_origins(self) -> Sequence[str]:
        """Origins whose pages may use the API."""
        return self.settings.cors_origins

    async def start(self) -> None:
        """Start queues, writers and topic pages, and warm up each index.

        Raises:
            InterBertError: an index or its model cannot be used.
        """
        with contextlib.suppress(ServiceError):  # of a database that is away: whoever needs them tries again
            await run_in_threadpool(self.state.replicas.start)
        for served in self.indexes.values():
            await served.pipeline.start()
            await _warm_up(served)
            if served.rewriter is not None:
                await run_in_threadpool(served.rewriter.refresh)
            if served.writer is not None:
                await run_in_threadpool(served.writer.start)
            if served.topics is not None:
                await run_in_threadpool(served.topics.start)
        if self.rebuilds is not None:
            await run_in_threadpool(self.rebuilds.start)
        self.seen_queries.start()
        self._background = [asyncio.create_task(self._expire_events()), asyncio.create_task(self._watch_versions())]
        self.warm = True

    async def drain(self) -> None:
        """Finish what was begun: queues, the write at work, searches that are not recorded yet."""
        self.draining = True
        for task in self._background:
            task.cancel()
        if self.rebuilds is not None:
            await run_in_threadpool(self.rebuilds.stop)
        await self.explanations.stop()
        for served in self.indexes.values():
            await served.pipeline.drain()
            for part in (served.writer, served.topics):
                if part is not None:
                    await run_in_threadpool(part.stop)
        await self.seen_queries.stop()

    def close(self) -> None:
        """Close the database."""
        self.state.close()

    def index(self, name: str | None = None, principal: Principal | None = None) -> ServedIndex:
        """A served index; without a name the first that the key may use.

        Raises:
            ServiceError: ``not_found``, or ``forbidden``.
        """
        if principal is not None and name is not None:
            principal.require_index(name)
        allowed = [one for one in self.indexes if principal is None or principal.may_use(one)]
        if name is None and allowed:
            return self.indexes[allowed[0]]
        if name is None:
            raise ServiceError("forbidden", "The key names no index that is served here.", "index")
        if name not in self.indexes:
            raise ServiceError(
                "not_found", f"There is no index {name[:60]!r}. There is: {', '.join(allowed)}.", "index"
            )
        return self.indexes[name]

    def answering(self, served: ServedIndex, unit: str, variant: str | None = None) -> ServedIndex:
        """The index that answers a search of another: itself, or the treatment of its experiment.

        Args:
            served: what was asked for.
            unit: client id, or query id without one.
            variant: of the page before, which the next one stays with.

        Raises:
            ServiceError: ``cursor_expired``, the experiment of the page before is over.
        """
        experiment = self.settings.experiments.get(served.name)
        chosen = variant or (served.name if experiment is None else experiment.variant(unit))
        if chosen != served.name and (experiment is None or chosen != experiment.treatment):
            raise ServiceError("cursor_expired", CODES["cursor_expired"][1], "cursor")
        return self.indexes[chosen]

    async def checks(self) -> dict[str, bool]:
        """Whether the service is ready: every value must be true."""
        return {
            "models": self.warm,
            "index": await run_in_threadpool(self.look_at_indexes),
            "state": await self._reaches_state(),
            "accepting": not self.draining,
        }

    async def _reaches_state(self) -> bool:
        try:
            await asyncio.wait_for(run_in_threadpool(self.state.ping), _PING_SECONDS)
        except Exception as error:  # whatever a database raises: it is not there
            _log.warning("the database cannot be reached: %s", first_line(error))
            return False
        return True

    def look_at_indexes(self) -> bool:
        """Bring the numbers of all indexes up to date; False when one of them cannot be read."""
        sound = True
        for served in self.indexes.values():
            try:
                self.note_version(served, served.engine.version)
                rows = len(served.engine.index)
                self.metrics.index_rows.labels(served.name).set(rows)
                indexed = getattr(served.engine.index, "indexed_rows", lambda: 0)()
                self.metrics.unindexed_rows.labels(served.name).set(max(rows - indexed, 0))
            except (InterBertError, OSError, RuntimeError, ValueError) as error:
                _log.error("index %s cannot be read: %s", served.name, first_line(error))
                sound = False
        return sound

    def note_version(self, served: ServedIndex, version: str) -> None:
        """Count a version that was not seen before: another table is a rebuilt index."""
        with self._noting:
            before = served.version
            if version == before:
                return
            served.version = version
            if before:
                self.metrics.index_version.remove(served.name, before)
            if before and before.split("@")[0] != version.split("@")[0]:
                self.metrics.reloads.labels(served.name).inc()
                _log.info("index %s is now %s", served.name, version)
            self.metrics.index_version.labels(served.name, version).set(1)

    async def _watch_versions(self) -> None:
        """Look for rebuilt indexes every second, so that none goes uncounted."""
        while True:
            await run_in_threadpool(self._look_at_synonyms)
            for served in self.indexes.values():
                with contextlib.suppress(InterBertError, OSError, RuntimeError, ValueError):  # /readyz tells of it
                    self.note_version(served, await run_in_threadpool(getattr, served.engine, "version"))
            await asyncio.sleep(_WATCH_SECONDS)

    def _look_at_synonyms(self) -> None:
        file = self.settings.synonyms
        if file is not None and file.changed():
            for served in self.indexes.values():
                if served.rewriter is not None:
                    served.rewriter.synonyms = file.synonyms

    async def _expire_events(self) -> None:
        """Remove events that are older than they may get, once a day."""
        while True:
            try:
                removed = await run_in_threadpool(self.state.events.expire, self.settings.event_days)
                if removed:
                    _log.info("%d events are older than %d days and were removed", removed, self.settings.event_days)
            except ServiceError as error:
                _log.warning("events could not be removed: %s", error.message)
            await asyncio.sleep(_DAY)


async def _warm_up(served: ServedIndex) -> None:
    """An image and searches of texts of several lengths through the whole pipeline.

    Networks are loaded and have their memory, kernels are compiled, and the queues know how long a search takes.
    """
    await run_in_threadpool(served.engine.encoder.scorer.prepare)
    vector = await served.pipeline.image_vector(Image.new("RGB", (256, 256), "white"))
    texts = await run_in_threadpool(_known_texts, served.engine)
    searches: list[tuple[Part, ...]] = [(Part(text=text), Part(vector=vector)) for text in texts]
    if served.engine.encoder.config.rerank_depth is not None:  # of a text alone fewer are read, in smaller batches
        searches += [(Part(text=text),) for text in texts]
    for parts in searches or [(Part(vector=vector),)]:
        await served.pipeline.search(Query(parts=parts), deadline=_WARM_SECONDS)


def _known_texts(engine: SearchEngine) -> list[str]:
    """Texts of the index that the model knows a word of, each with another number of tokens."""
    hits = engine.index.vector_search(np.zeros(engine.encoder.vector_size, np.float32), 4 * _WARM_SEARCHES)
    texts = [text for hit in hits for text in hit.texts if text.strip()]
    ids = engine.encoder.texts_to_ids(texts)
    known = {len(tokens): text for text, tokens in zip(texts, ids, strict=True) if engine.encoder.knows(tokens)}
    return [known[length] for length in sorted(known)][:_WARM_SEARCHES]


def named_indexes(words: Sequence[str]) -> dict[str, str]:
    """Name -> path of ``NAME=INDEX`` words; the name of a single path is that of its folder.

    Raises:
        UsageError: a name is used twice, or is none.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or "/" in name:
            name, path = Path(word.rstrip("/")).name or "index", word
        if not _NAME.fullmatch(name) or not path:
            raise UsageError(f"serve: {word[:100]!r} is no NAME=INDEX. A name has letters, digits, _, . and - alone.")
        if name in found:
            raise UsageError(f"serve: two indexes are called {name!r}. Name them: one=PATH other=PATH.")
        if "://" in path and path.rstrip("/") in {one.rstrip("/") for one in found.values()}:
            raise UsageError(
                f"serve: {without_credentials(path)} has two names, and could be written under both at once. Name it "
                "once."
            )
        found[name] = path
    return found
