"""A search as stages that many requests share: encode queue, recall, joint queue, page; with deadlines.

Every stage computes in threads of its own, so recall of one batch overlaps with the joint pass of another, and the
event loop never computes. Each batch belongs to one pinned version of the index, which a request keeps to its end.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from interbert.errors import InterBertError, VersionGone
from interbert.search.engine import SearchEngine
from interbert.search.query import Candidates, Encoded, Found, Query
from interbert.search.versions import View
from interbert.service.encoding import Described, ModelRequests, text_tokens
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.queues import BatchQueue
from interbert.service.settings import Queues
from interbert.service.work import Gone, Work

if TYPE_CHECKING:
    from PIL import Image

Float32 = NDArray[np.float32]
_T = TypeVar("_T")

_RECALL_QUERIES = 16
"""Of a batch of recall."""
_JOINT_TOKENS = {"cpu": 2048}
"""Of a joint batch by device, where the setting does not say: a CPU gains nothing by more, and others would wait."""
_JOINT_TOKENS_ELSEWHERE = 65_536
_MOST_THREADS = 8
"""Of batches that are computed at a time on a CPU; with more cores each has more threads of torch."""
_LEAST_PIECE = 256
"""Tokens of a piece of a query's pairs that a thread of its own scores."""
_SHARE = 0.75
"""Of the time until the deadline that a request may take, by the last ones; when it would be longer queues are full."""


_GATHERING_SHARE = 0.25
"""Of the time until the deadline that a request may wait to be encoded with others, while the joint pass is busy."""


@dataclass
class Answer:
    """A page of results."""

    found: Found
    degraded: bool
    """In the order of recall, since the joint pass would have come too late."""
    timings_ms: dict[str, float]
    """Of the stages wait_encode, encode, recall, wait_joint, joint, page that were passed, in this order."""


class Pipeline:
    """The stages of one index.

    Args:
        engine: of the index.
        queues: sizes of batches, how many requests may wait, and the deadline.
        metrics: of the service.
    """

    def __init__(self, engine: SearchEngine, queues: Queues, metrics: Metrics) -> None:
        self.engine = engine
        self.metrics = metrics
        self._deadline = queues.deadline_ms / 1000
        device = engine.encoder.device_type
        cores = queues.threads or os.cpu_count() or 1
        threads = min(cores, _MOST_THREADS) if device == "cpu" else 1
        joint_tokens = queues.joint_tokens or _JOINT_TOKENS.get(device, _JOINT_TOKENS_ELSEWHERE)

        limits = (queues.waiting, metrics)
        torch_threads = max(1, cores // threads)
        self.joint_queue = BatchQueue("joint", joint_tokens, *limits, threads, torch_threads)
        self.recall_queue = BatchQueue("recall", _RECALL_QUERIES, *limits, 1, torch_threads)
        gathering = (self.joint_queue.is_busy, self._deadline * _GATHERING_SHARE)
        self.encode_queue = BatchQueue("encode", queues.encode_tokens, *limits, 1, torch_threads, *gathering)
        self._thread: ThreadPoolExecutor | None = None
        """For what is short: pages, versions."""
        self._before_joint = 0
        """Requests that will come to the joint queue."""
        self._requests = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._model = ModelRequests(engine, self.encode_queue, self.joint_queue, joint_tokens)

    async def start(self) -> None:
        """Begin to take requests."""
        self._thread = ThreadPoolExecutor(1, "interbert-page")
        for queue in (self.encode_queue, self.recall_queue, self.joint_queue):
            queue.start()

    async def drain(self) -> None:
        """Take no more requests, answer those that were taken, and end."""
        self._draining = True
        while self._requests:
            self._idle.clear()
            await self._idle.wait()
        for queue in (self.encode_queue, self.recall_queue, self.joint_queue):
            await queue.stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown)

    async def search(self, query: Query, *, deadline: float | None = None, gone: Gone | None = None) -> Answer:
        """The page of results of a query.

        Args:
            query: what to search for.
            deadline: seconds from now after which recall's order is the answer; by the settings when not given.
            gone: whether the client left; asked before each stage computes.

        Raises:
            ServiceError: "overloaded" when a queue is full, "draining", "client_left", "internal".
            InterBertError: something is wrong with the query.
        """
        expires = asyncio.get_running_loop().time() + (self._deadline if deadline is None else deadline)
        with self._taken():
            self._require_places(query)
            try:
                answer = await self._searched(query, expires, gone)
            except VersionGone:
                if query.version is not None:
                    raise
                answer = await self._searched(query, expires, gone)  # cleaned up between two stages
        for stage, milliseconds in answer.timings_ms.items():
            self.metrics.stage_seconds.labels(stage).observe(milliseconds / 1000)
        return answer

    async def image_vector(self, image: Image.Image, version: str | None = None) -> Float32:
        """An image as part [D] of a query of the same ``version``.

        Raises:
            ImageError, RegionError: nothing can be made of the image.
            ServiceError: as :meth:`search`.
        """
        with self._taken():
            return await self._model.image_vector(image, version)

    async def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Vectors [n,D] of texts, whose inner products with those of :meth:`encode_images` are recall's scores.

        Raises:
            UsageError: a text is empty, or holds no token that the model knows.
            ServiceError: as :meth:`search`.
        """
        with self._taken():
            return await self._model.encode_texts(await self._pinned(), texts)

    async def encode_images(self, images: Sequence[Image.Image]) -> Float32:
        """Vectors [n,D] of images, as an index has them.

        Raises:
            ImageError, RegionError: nothing can be made of an image; it is named as in ``images[3]``.
            ServiceError: as :meth:`search`.
        """
        with self._taken():
            return await self._model.encode_images(await self._pinned(), images)

    async def score(self, text: str, images: Sequence[Image.Image]) -> list[float]:
        """Probabilities [n] of a match of a text and each image, by the joint model.

        Raises:
            UsageError: as :meth:`encode_texts`.
            ImageError, RegionError: as :meth:`encode_images`.
            ServiceError: as :meth:`search`.
        """
        with self._taken():
            self.joint_queue.require_place(self._before_joint)
            return await self._model.score(await self._pinned(), text, images)

    async def score_described(self, view: View, text: str, described: Sequence[Described]) -> list[float]:
        """Probabilities [n] of a match of a text and images of a version: their vectors and embedded tokens.

        Raises:
            UsageError: as :meth:`encode_texts`.
            ServiceError: as :meth:`search`.
        """
        with self._taken():
            self.joint_queue.require_place(self._before_joint)
            return await self._model.score_described(view, text, described)

    @contextmanager
    def _taken(self) -> Iterator[None]:
        """A request that is answered before the service ends."""
        if self._draining:
            self.metrics.rejections.labels("draining").inc()
            raise ServiceError("draining", "The service is about to stop. Send the request again.", retry_after=1.0)
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self._idle.set()

    def _require_places(self, query: Query) -> None:
        """Refuse a request that would wait too long in its queues together, before anything is computed."""
        stages = [(self.encode_queue, 0), (self.recall_queue, 0)]
        if query.scored:
            stages.append((self.joint_queue, self._before_joint))
        patience = self._deadline * _SHARE - sum(queue.expected_seconds() for queue, _ in stages)
        for queue, ahead in stages:
            queue.require_place(ahead, patience)
            patience -= queue.expected_wait(ahead)

    async def _searched(self, query: Query, expires: float, gone: Gone | None) -> Answer:
        """All stages of one query."""
        key = _key(query)
        self._before_joint += query.scored
        try:
            tokens = sum(text_tokens(text) for text in query.texts) or 1
            encoded = await self.encode_queue.compute(
                Work(query, self._encode, tokens, ("query", query.version), key, patient=query.scored), gone
            )
            view: View = encoded.value[0]
            recalled = await self.recall_queue.compute(Work(encoded.value, self._recall, 1, view.version, key), gone)
        finally:
            self._before_joint -= query.scored
        candidates: Candidates = recalled.value[1]
        timings = {
            "wait_encode": encoded.waited,
            "encode": encoded.seconds,
            "recall": recalled.waited + recalled.seconds,
        }
        scores: Any = None
        degraded = False
        loop = asyncio.get_running_loop()
        came = loop.time()
        if query.scored and candidates.hits:
            try:
                scores, joint_timings = await self._joint_scores(view, candidates, key, gone, expires)
                timings |= joint_timings
            except TimeoutError:
                degraded = True
                self.metrics.degraded.labels("deadline").inc()
                timings["wait_joint"] = loop.time() - came
        began = loop.time()
        found = await self._briefly(lambda: self.engine.page(view, query, candidates, scores))
        timings["page"] = loop.time() - began
        return Answer(found, degraded, {stage: 1000 * seconds for stage, seconds in timings.items()})

    async def _joint_scores(
        self, view: View, candidates: Candidates, key: Hashable, gone: Gone | None, expires: float
    ) -> tuple[Any, dict[str, float]]:
        """Joint scores of a query's candidates, in a piece for each idle thread; and seconds of waiting and computing.

        Raises:
            TimeoutError: they would come too late.
        """
        queue, now = self.joint_queue, asyncio.get_running_loop().time()
        pieces = max(1, min(queue.idle(), _pair_tokens(candidates) // _LEAST_PIECE, len(candidates.read)))
        works = [
            Work((view, piece), self._rerank, _pair_tokens(piece), view.version, (key, place, pieces))
            for place, piece in enumerate(_pieces(candidates, pieces))
        ]
        expected = queue.expected_wait() + queue.expected_seconds(max(work.tokens for work in works))
        if now + expected > expires and not queue.is_idle():
            raise TimeoutError
        done = await asyncio.gather(*(queue.compute(work, gone, expires - now) for work in works))
        timings = {
            "wait_joint": max(one.waited for one in done),
            "joint": max(one.seconds for one in done),
        }
        return np.concatenate([one.value for one in done], axis=1), timings

    def _encode(self, queries: Sequence[Query]) -> list[tuple[View, Encoded] | InterBertError]:
        view = self.engine.pinned(queries[0].version)
        encoded = self.engine.encode(view, queries)
        return [one if isinstance(one, InterBertError) else (view, one) for one in encoded]

    def _recall(self, items: Sequence[tuple[View, Encoded]]) -> list[tuple[View, Candidates] | InterBertError]:
        view = items[0][0]
        recalled = self.engine.recall(view, [encoded for _, encoded in items])
        return [one if isinstance(one, InterBertError) else (view, one) for one in recalled]

    def _rerank(self, items: Sequence[tuple[View, Candidates]]) -> Sequence[Any]:
        return self.engine.rerank(items[0][0], [candidates for _, candidates in items])

    async def _pinned(self) -> View:
        return await self._briefly(self.engine.pinned)

    async def _briefly(self, compute: Callable[[], _T]) -> _T:
        """What takes no queue, away from the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, compute)


def _key(query: Query) -> Hashable:
    """Equal for queries that have one ranking: pages of it are the same work."""
    parts = tuple(
        (part.text, None if part.vector is None else part.vector.tobytes(), part.weight) for part in query.parts
    )
    return replace(query, parts=(), top_k=1, offset=0), parts


def _pieces(candidates: Candidates, pieces: int) -> list[Candidates]:
    """A query's candidates in so many pieces of about as many that are read, in their order."""
    read = np.flatnonzero([hit.tokens is not None for hit in candidates.hits])
    inner = read[np.linspace(0, len(read), pieces + 1).round().astype(int)[1:-1]].tolist()
    bounds = [0, *inner, len(candidates.hits)]
    return [replace(candidates, hits=candidates.hits[start:stop]) for start, stop in itertools.pairwise(bounds)]


def _pair_tokens(candidates: Candidates) -> int:
    """Tokens of the pairs that a query has read jointly."""
    read = candidates.read
    images = sum(len(hit.tokens) for hit in read if hit.tokens is not None)
    return sum(images + len(ids) * len(read) for ids in candidates.encoded.ids) or 1
