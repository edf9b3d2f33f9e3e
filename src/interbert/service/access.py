"""Who may do what: keys with rights, the indexes they name, and so many requests a minute."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.state.records import Right

if TYPE_CHECKING:
    from interbert.service.state import Key, State

_FRESH = 3.0
"""Seconds that a verified key is believed: one that is revoked ends within them."""
_KEPT = 60.0
"""Seconds that it is believed while the database cannot be asked."""
_MOST = 4096
"""Keys that are remembered; those that were used longest ago are asked for again."""


@dataclass(frozen=True)
class Principal:
    """Who sends a request."""

    key_id: str | None
    """None where no keys are needed."""
    rights: frozenset[str]
    indexes: frozenset[str] | None = None
    """Names of the indexes it may use; None: all."""

    def may_use(self, index: str) -> bool:
        """Whether the key names an index."""
        return self.indexes is None or index in self.indexes

    def require_index(self, index: str) -> None:
        """Check that the key names an index.

        Raises:
            ServiceError: ``forbidden``.
        """
        if not self.may_use(index):
            raise ServiceError("forbidden", f"The key may not use the index {index!r}.", "index")


EVERYONE = Principal(None, frozenset({"search", "write", "admin"}))
"""A request where no keys are needed."""


class _Bucket:
    """So many requests a minute, all of them at once if need be."""

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute, self._left, self._at = per_minute, float(per_minute), now

    def take(self, now: float) -> float:
        """Take one request; returns the seconds to wait for it, 0 when it may be answered."""
        self._left = min(self.per_minute, self._left + (now - self._at) * self.per_minute / 60)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) * 60 / self.per_minute


@dataclass
class _Known:
    key: Key
    asked: float


class Access:
    """Verifies keys, with a short memory, so that the database is not asked for each request.

    Args:
        state: where the keys are.
        metrics: counts refusals.
        loopback: whether requests need no key as long as none was made.
        clock: seconds.
    """

    def __init__(
        self, state: State, metrics: Metrics, loopback: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state, self._metrics, self._clock = state, metrics, clock
        self._open, self._open_asked = loopback, -_FRESH
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._buckets: dict[str, _Bucket] = {}

    async def principal(self, secret: str | None) -> Principal:
        """Whose secret it is.

        Raises:
            ServiceError: ``unauthorized``, or ``state_unavailable`` for a key that is not remembered.
        """
        if await self._needs_no_key():
            return EVERYONE
        if not secret:
            raise self._refused("unauthorized", "A key is needed: send Authorization: Bearer ib_..., or X-API-Key.")
        key = await self._verified(secret)
        if key is None or (key.expires_at is not None and key.expires_at <= datetime.now(UTC)):
            raise self._refused("unauthorized", "The key is not known, or was revoked, or has expired.")
        self._take(key)
        return Principal(key.id, frozenset(key.rights), key.indexes)

    def require(self, principal: Principal, right: Right) -> None:
        """Check a right; ``admin`` has all.

        Raises:
            ServiceError: ``forbidden``.
        """
        if right not in principal.rights and "admin" not in principal.rights:
            raise self._refused("forbidden", f"The key has not the right {right!r}.")

    async def _needs_no_key(self) -> bool:
        """Whether no key was made yet; once one is seen, keys are needed until the process ends."""
        now = self._clock()
        if self._open and now - self._open_asked >= _FRESH:
            self._open_asked = now
            with contextlib.suppress(ServiceError):  # else as it was when the database could be asked
                self._open = not await run_in_threadpool(self._state.keys.any)
        return self._open

    async def _verified(self, secret: str) -> Key | None:
        """The key of a secret, remembered by its digest: no secret stays in memory."""
        digest, now = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest(), self._clock()
        known = self._known.get(digest)
        if known is not None and now - known.asked < _FRESH:
            return known.key
        try:
            key = await run_in_threadpool(self._state.keys.verify, secret)
        except ServiceError:
            if known is not None and now - known.asked < _KEPT:
                return known.key
            raise
        self._known.pop(digest, None)
        if key is not None:
            self._known[digest] = _Known(key, now)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return key

    def _take(self, key: Key) -> None:
        """Count a request of a key with a rate.

        Raises:
            ServiceError: ``rate_limited``.
        """
        if key.rate_per_minute is None:
            return
        now = self._clock()
        bucket = self._buckets.get(key.id)
        if bucket is None or bucket.per_minute != key.rate_per_minute:
            bucket = self._buckets[key.id] = _Bucket(key.rate_per_minute, now)
        seconds = bucket.take(now)
        if seconds:
            self._metrics.rejections.labels("rate").inc()
            message = f"The key has used up its {key.rate_per_minute} requests a minute. Try again later."
            raise ServiceError("rate_limited", message, retry_after=seconds)

    def _refused(self, code: str, message: str) -> ServiceError:
        self._metrics.rejections.labels(code).inc()
        return ServiceError(code, message)


_bearer = HTTPBearer(auto_error=False, description="A key of `interbert keys create`: `Bearer ib_...`.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key of `interbert keys create`: `ib_...`.")


def require(right: Right) -> Callable[..., Awaitable[Principal]]:
    """A dependency of a route: the key has a right.

    Example::

        @router.post("/v1/search")
        async def search(request: Request, principal: Annotated[Principal, Depends(require("search"))]): ...
    """

    async def principal(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        header: Annotated[str | None, Depends(_header)],
    ) -> Principal:
        access: Access = request.app.state.service.access
        found = await access.principal(bearer.credentials if bearer else header)
        request.state.key_id = found.key_id
        access.require(found, right)
        return found

    return principal
