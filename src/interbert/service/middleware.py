"""What every request passes: it is counted and logged, its body has a limit, an unexpected error has one shape."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("interbert.service.access")
_GONE = 499
"""Status in numbers and log of a request whose client left; nobody receives it."""
_BODY_SECONDS = 60.0
"""In which something of a body has to come."""
_REST_SECONDS = 5.0
"""For which the rest of a body is read that was answered before its end."""
_UNKNOWN = "(unknown path)"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def error_response(error: ServiceError) -> JSONResponse:
    """An error as it is sent."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    if error.code == "too_large":
        headers["Connection"] = "close"  # the rest of the body is not read
    error.message, error.where = _encodable(error.message), error.where and _encodable(error.where)
    return JSONResponse(error.body(), error.status, headers)


def _encodable(text: str) -> str:
    """A text whose halves of surrogate pairs, which JSON may hold and UTF-8 may not, are question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


class ErrorAnswer(HTTPException):
    """A service's error where only HTTP errors pass: FastAPI makes others that occur while it reads a body a 400."""

    def __init__(self, error: ServiceError) -> None:
        super().__init__(error.status, error.message)
        self.error = error


class Observed:
    """Counts, times and logs requests; answers an unexpected error with ``internal``, and logs it once.

    The log has the route's template, never a query, a text or a key.

    Args:
        app: what answers.
        metrics: counted in.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            status = _GONE
        except Exception:
            _log.exception("%s %s: an error of the service", scope["method"], route_of(scope))
            if status:  # half an answer is sent: the server closes the connection
                raise
            await error_response(ServiceError("internal", "An error of the service; its log says more."))(
                scope, receive, sending
            )
        finally:
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        key = scope.get("state", {}).get("key_id") or "-"
        _access_log.info("%s %s %d %.1f ms key %s", method, route, status, 1000 * seconds, key)


def route_of(scope: Scope) -> str:
    """The template of a request's path, such as ``/v1/products/{id}``: paths themselves may be many, and private."""
    return str(getattr(scope.get("route"), "path", _UNKNOWN))


class _Body:
    """A request's body on its way: limited and timed; the rest is read when the answer came before its end.

    A client that still sends when the connection is closed may never see the answer: the reset overtakes it.

    Args:
        receive, send: of the server.
        most: bytes.
        refuse: makes the error of a body with more.
        waits: the client sends its body only after it was told to (``Expect: 100-continue``).
    """

    def __init__(
        self, receive: Receive, send: Send, most: int, refuse: Callable[[], ServiceError], waits: bool
    ) -> None:
        self._receive, self._send, self._most, self._refuse = receive, send, most, refuse
        self._read, self._ended = 0, waits

    async def receive(self) -> Message:
        """A part of it.

        Raises:
            ErrorAnswer: ``too_large``, or ``timeout`` when nothing came for a minute.
        """
        try:
            async with asyncio.timeout(None if self._ended else _BODY_SECONDS):
                message = await self._receive()
        except TimeoutError:
            self._ended = True
            message_ = f"Nothing of the body came for {_BODY_SECONDS:g} seconds. Send it again, in one go."
            raise ErrorAnswer(ServiceError("timeout", message_, "body")) from None
        self._ended = not message.get("more_body", False)
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            raise ErrorAnswer(self._refuse())
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer; before it ends, what still comes of the body is thrown away for some seconds."""
        if message["type"] == "http.response.body" and not message.get("more_body", False) and not self._ended:
            await self._send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REST_SECONDS):
                    while (await self._receive()).get("more_body", False):
                        pass
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)


class BodyLimit:
    """Refuses a body that is too large, by its declared length or while it arrives, or that stops coming.

    Args:
        app: what reads it.
        metrics: counts refusals.
        most: bytes of a request of a (method, path).
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, most: Callable[[str, str], int]) -> None:
        self._app, self._metrics, self._most = app, metrics, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most, headers = self._most(scope["method"], scope["path"]), dict(scope["headers"])
        body = _Body(receive, send, most, lambda: self._too_large(most), b"expect" in headers)
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and len(declared) < 20 and int(declared) > most:
            await error_response(self._too_large(most))(scope, body.receive, body.send)
            return
        await self._app(scope, body.receive, body.send)

    def _too_large(self, most: int) -> ServiceError:
        self._metrics.rejections.labels("too_large").inc()
        return ServiceError("too_large", f"The body has more than {most / 2**20:g} MiB. Send less at a time.", "body")
