"""A running service, and clients that write products and remember what was acknowledged.

No program: benchmarks/service_faults.py and benchmarks/service_replicas.py use it.
"""

from __future__ import annotations

import base64
import io
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

BULK = 40
"""Products of a write that is answered 202."""
NAMES = ("plain", "a/b", "it's", "%2F", "红 #1")
_START_SECONDS = 300


class Process(Protocol):
    """A service, as `subprocess.Popen` has it."""

    returncode: int | None
    pid: int

    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, signal: int) -> None: ...
    def poll(self) -> int | None: ...


Start = Callable[[Sequence[str]], Process]
"""Starts `interbert` with these words."""


def interpreter(words: Sequence[str]) -> Process:
    """`interbert` in an interpreter of its own."""
    command = [sys.executable, "-m", "interbert", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Service:
    """A running service."""

    def __init__(self, index: Path, state: Path, start: Start, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        words = ["serve", f"shop={index}", "--port", str(self.port), "--state", str(state)]
        self.process = start([*words, *options])

    def call(self, method: str, path: str, body: Any = None, media: str = "application/json") -> tuple[int, Any]:
        """Status and JSON of a request.

        Raises:
            OSError: there was no answer.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": media}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")
        except ValueError as error:  # half an answer
            raise OSError(str(error)) from error

    def wait_ready(self) -> None:
        """Wait until requests are answered."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        code = self.process.poll()
        if code is None:
            self.kill()
        raise SystemExit(f"the service does not start (exit code {code})")

    def wait_tasks(self) -> None:
        """Wait until everything that was acknowledged is applied."""
        while any(one["finished_at"] is None for one in self.call("GET", "/v1/tasks?limit=100")[1]["tasks"]):
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)


def picture(number: int) -> str:
    """A small image, another one for every number."""
    out = io.BytesIO()
    Image.new("RGB", (48, 48), ((37 * number) % 256, (101 * number) % 256, (number // 7) % 256)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


class Client(threading.Thread):
    """Writes products of its own, one request after the other, until the service is gone, or :attr:`ended` is set.

    Attributes:
        expected: price of each product that was acknowledged last; None: it was removed.
        pending: what the request without an answer would make of its products.
    """

    def __init__(self, number: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.number, self._random, self._made = number, random.Random(seed), 0
        self.expected: dict[str, float | None] = {}
        self.pending: dict[str, float | None] = {}
        self.acknowledged = self.answered_202 = 0
        self.refused: list[str] = []
        self._service: Service | None = None
        self.ended = threading.Event()

    def begin(self, service: Service) -> Client:
        """A thread that goes on with what this one knows."""
        other = Client(self.number, self._random.randrange(2**32))
        other._made, other.expected, other._service = self._made, self.expected, service
        other.start()
        return other

    def run(self) -> None:
        assert self._service is not None
        while not self.ended.is_set():
            try:
                self._write(self._service)
            except OSError:
                return

    def _write(self, service: Service) -> None:
        """One request."""
        there = [name for name, price in self.expected.items() if price is not None]
        price = round(self._random.uniform(1, 1000), 3)
        kind = self._random.choice(
            ["add", "add", "bulk", "patch", "patch", "patch many", "delete"] if there else ["add"]
        )
        if kind in ("add", "bulk"):
            names = [self._new_name() for _ in range(1 if kind == "add" else BULK)]
            products = [{"product_id": name, "image": picture(self._made), "price": price} for name in names]
            self.pending = dict.fromkeys(names, price)
            answer = self._send(service, "POST", products)
        elif kind == "patch many":
            names = self._random.sample(there, min(len(there), BULK))
            self.pending = dict.fromkeys(names, price)
            answer = self._send(service, "PATCH", [{"product_id": name, "price": price} for name in names])
        else:
            name = self._random.choice(there)
            path = f"/v1/products/{urllib.parse.quote(name, safe='')}"
            self.pending = {name: price if kind == "patch" else None}
            answer = service.call("PATCH", path, {"price": price}) if kind == "patch" else service.call("DELETE", path)
        self._note(*answer)

    def _send(self, service: Service, method: str, products: list[dict[str, Any]]) -> tuple[int, Any]:
        lines = "\n".join(json.dumps(one) for one in products).encode()
        return service.call(method, "/v1/products", lines, "application/x-ndjson")

    def _new_name(self) -> str:
        self._made += 1
        return f"client {self.number} {NAMES[self._made % len(NAMES)]} {self._made}"

    def _note(self, status: int, reply: Any) -> None:
        rejected = [one for one in (reply or {}).get("results") or [] if one["status"] == "rejected"]
        if status not in (200, 202) or rejected:
            self.refused.append(f"{status}: {rejected[:1] or reply}")
            return
        self.acknowledged += len(self.pending)
        self.answered_202 += status == 202
        self.expected |= self.pending
        self.pending = {}
