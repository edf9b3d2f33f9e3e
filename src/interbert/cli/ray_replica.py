"""One of the services of ``interbert serve --ray``, in a process that Ray starts and watches."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from interbert.cli.serving import logging_on_stderr
from interbert.errors import InterBertError, first_line
from interbert.utils.environment import keep_freed_memory

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from interbert.cli.serve import Options
    from interbert.service.service import Service

REFUSED = "interbert refuses:"
"""Begins what a replica says that cannot start, to be found in Ray's report."""


class Replica:
    """A service with its own index, models and connections; Ray calls it on the event loop that answers requests.

    Args:
        options: of ``interbert serve``.
    """

    _service: Service | None = None

    async def __init__(self, options: Options) -> None:  # type: ignore[misc]  # Ray awaits it
        from ray import serve

        from interbert.cli.serve import opened_service

        keep_freed_memory()
        self._log = contextlib.ExitStack()
        self._log.enter_context(logging_on_stderr())
        try:
            self._service = await asyncio.to_thread(opened_service, options)
            self._service.metrics.replica = serve.get_replica_context().replica_id.unique_id
            await self._service.start()
        except InterBertError as error:
            raise RuntimeError(f"{REFUSED} {first_line(error)}") from None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application whose requests Ray hands in."""
        from interbert.service.app import create_app

        return _Disconnecting(create_app(self._opened))

    @property
    def _opened(self) -> Service:
        assert self._service is not None
        return self._service

    async def check_health(self) -> None:
        """Whether it must be replaced. A new process brings no database back, so only /readyz tells of that.

        Raises:
            RuntimeError: models or an index cannot be used.
        """
        checks = await self._opened.checks()
        if not (checks["models"] and checks["index"]):
            raise RuntimeError("an index cannot be read")

    async def stop_accepting(self) -> None:
        """From now on /readyz says that it is about to stop."""
        self._opened.draining = True

    async def __del__(self) -> None:
        """Finish what was begun, when Ray has waited for requests to end."""
        service, self._service = self._service, None
        if service is not None:
            await service.drain()
            service.close()
            self._log.close()


class _Disconnecting:
    """Says that the client left as ASGI has it: what waits for a body would else get an error of Ray's.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        from ray.exceptions import RayError

        async def receiving() -> Message:
            try:
                return await receive()
            except RayError:
                return {"type": "http.disconnect"}

        await self._app(scope, receiving, send)
