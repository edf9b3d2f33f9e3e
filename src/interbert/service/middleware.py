"""What every request passes: it is counted and logged, its body has a limit, an unexpected error has one shape."""

from __future__ import annotations

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


class BodyLimit:
    """Refuses a body that is too large, by its declared length or while it arrives.

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
        most, read = self._most(scope["method"], scope["path"]), 0
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and len(declared) < 20 and int(declared) > most:
            await error_response(self._too_large(most))(scope, receive, send)
            return

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise ErrorAnswer(self._too_large(most))
            return message

        await self._app(scope, counting, send)

    def _too_large(self, most: int) -> ServiceError:
        self._metrics.rejections.labels("too_large").inc()
        return ServiceError("too_large", f"The body has more than {most / 2**20:g} MiB. Send less at a time.", "body")
