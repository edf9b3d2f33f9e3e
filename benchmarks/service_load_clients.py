"""Clients of a search service for ``service_load.py``: closed and open loops over raw connections, light on the CPU."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TOP_K = 10
_WARM = 0.25
"""Of a closed loop's time that is not counted."""
_LOST = 0
"""In place of a status, where the connection broke."""


@dataclass(frozen=True)
class Reply:
    """An answer."""

    text: str
    status: int
    seconds: float
    at: float
    """When it came, by the clock of :func:`time.monotonic`."""
    retry_after: float = 0.0
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether it is an answer in the order of the joint model."""
        return self.status == 200 and not self.body.get("degraded", False)


@dataclass
class Load:
    """What came of a loop."""

    replies: list[Reply]
    seconds: float
    """In which they came."""
    lost: int = 0
    """Requests that were not answered when the loop ended."""
    cpu_seconds: float = 0.0
    """Of the server in that time: other work on the machine changes it less than the time that passes."""

    def rate(self) -> float:
        """Full answers per second."""
        return sum(reply.full for reply in self.replies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Milliseconds within which this share of the full answers came; infinite without any."""
        times = [reply.seconds for reply in self.replies if reply.full]
        return 1000 * float(np.percentile(times, percent)) if times else float("inf")

    def degraded_share(self) -> float:
        """Of all answers."""
        answered = [reply for reply in self.replies if reply.status == 200]
        return sum(not reply.full for reply in answered) / len(answered) if answered else 0.0

    def refused(self) -> int:
        """Requests that got a 429."""
        return sum(reply.status == 429 for reply in self.replies)

    def errors(self) -> int:
        """Requests that failed by the service's fault."""
        return sum(reply.status >= 500 or reply.status == _LOST for reply in self.replies)

    def line(self) -> str:
        """As cells of a Markdown table."""
        cpu = self.cpu_seconds / max(1, sum(reply.full for reply in self.replies))
        cells = [
            f"{self.rate():.1f}",
            f"{self.percentile(50):,.0f}",
            f"{self.percentile(99):,.0f}",
            f"{1000 * cpu:.0f}",
        ]
        cells += [f"{self.degraded_share():.1%}", str(self.refused()), str(self.errors()), str(self.lost)]
        return " | ".join(cells)


class Connections:
    """Connections to a port of loopback that are used again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def search(self, text: str, due: float | None = None) -> Reply:
        """Send a search and read its answer; ``due`` is when it should have been sent, by default now."""
        start = time.monotonic() if due is None else due
        body = json.dumps({"text": text, "top_k": TOP_K}).encode()
        head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        try:
            status, headers, content = await self._exchange(
                f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            )
        except (OSError, asyncio.IncompleteReadError, ValueError):
            status, headers, content = _LOST, {}, b"{}"
        now = time.monotonic()
        return Reply(text, status, now - start, now, float(headers.get("retry-after", 0)), json.loads(content))

    async def _exchange(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        while True:
            reused = bool(self._free)
            reader, writer = self._free.pop() if reused else await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                content = await reader.readexactly(int(headers["content-length"]))
            except BaseException as error:
                writer.close()
                if reused and isinstance(error, OSError | asyncio.IncompleteReadError):
                    continue  # the service had closed a connection that was idle
                raise
            self._free.append((reader, writer))
            return int(head[0].split(" ")[1]), headers, content

    def close(self) -> None:
        """Close those that are idle."""
        for _, writer in self._free:
            writer.close()
        self._free.clear()


def closed_loop(port: int, texts: Iterator[str], clients: int, seconds: float, warm: float = _WARM) -> Load:
    """So many clients that send the next request when they have the answer to the one before."""
    return asyncio.run(_closed_loop(port, texts, clients, seconds, warm))


async def _closed_loop(port: int, texts: Iterator[str], clients: int, seconds: float, warm: float) -> Load:
    connections = Connections(port)
    replies: list[Reply] = []
    begun = time.monotonic()

    async def client() -> None:
        while time.monotonic() < begun + seconds:
            reply = await connections.search(next(texts))
            replies.append(reply)
            if not reply.full and reply.status != 200:
                await asyncio.sleep(max(0.1, reply.retry_after) * random.uniform(0.5, 1.0))

    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    _, late = await asyncio.wait(tasks, timeout=3 * seconds + 30)
    await _cancelled(late)
    connections.close()
    first, last = begun + warm * seconds, begun + seconds
    return Load([reply for reply in replies if first <= reply.at < last], last - first, len(late))


def open_loop(port: int, texts: Iterator[str], rate: float, seconds: float) -> Load:
    """Requests that come at random (Poisson), so many per second; time counts from when they are due."""
    return asyncio.run(_open_loop(port, texts, rate, seconds))


async def _open_loop(port: int, texts: Iterator[str], rate: float, seconds: float) -> Load:
    connections = Connections(port)
    tasks: list[asyncio.Task[Reply]] = []
    rng = random.Random(0)
    due = begun = time.monotonic()
    while (due := due + rng.expovariate(rate)) < begun + seconds:
        await asyncio.sleep(due - time.monotonic())
        tasks.append(asyncio.create_task(connections.search(next(texts), due)))
    done, late = await asyncio.wait(tasks, timeout=2 * seconds + 30)
    await _cancelled(late)
    connections.close()
    replies = [task.result() for task in done]
    return Load(replies, max(seconds, *(reply.at - begun for reply in replies), 0.0), len(late))


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def distinct(texts: Sequence[str]) -> Iterator[str]:
    """Texts, each once, in random order; when they are used up, halves of two put together."""
    rng = random.Random(0)
    seen = set(texts)
    yield from rng.sample(sorted(seen), len(seen))
    while True:
        first, second = (rng.choice(texts).split() for _ in range(2))
        made = " ".join(first[: (len(first) + 1) // 2] + second[len(second) // 2 :])
        if made not in seen:
            seen.add(made)
            yield made
