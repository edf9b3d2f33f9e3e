"""The process of ``interbert serve``: its socket, its log, its signals, and the one line on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

from interbert.errors import UsageError, first_line
from interbert.service.app import create_app
from interbert.utils.redaction import without_credentials
from interbert.utils.terminal import printable, say

if TYPE_CHECKING:
    from interbert.service.service import Service

_log = logging.getLogger("interbert.service")
_BACKLOG = 2048
KEEP_ALIVE = 30
"""Seconds that a connection without a request stays open."""


class _Line(logging.Formatter):
    """One printable line a message, and a traceback below it where there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Nothing of a request acts on a terminal or begins another line."""
        time = self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z")
        return f"{time} {record.levelname} {printable(without_credentials(record.message))}"


@contextlib.contextmanager
def logging_on_stderr() -> Iterator[None]:
    """While a block runs, what ``interbert`` and uvicorn log goes to standard error, and only there."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    names = ("interbert", "uvicorn", "python_multipart")
    loggers = [logging.getLogger(name) for name in names]
    before = [(one, one.handlers, one.propagate, one.level) for one in loggers]
    for one, level in zip(loggers, (logging.INFO, logging.WARNING, logging.ERROR), strict=True):
        one.handlers, one.propagate = [handler], False
        one.setLevel(level)
    try:
        yield
    finally:
        for one, handlers, propagate, level in before:
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket at an address, which does not listen yet: a port in use is told before models are loaded.

    Raises:
        UsageError: there is no such address, or its port is in use or not this user's.
    """
    name = f"port {port} of {host}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise unusable(name, error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise unusable(name, error) from error
    sock.setblocking(False)
    return sock


def address_of(host: str, port: int) -> str:
    """URL of what listens there."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def unusable(name: str, error: Exception) -> UsageError:
    """Why nothing can listen at an address."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return UsageError(f"serve: {name} is in use. Stop what listens there, or choose another with --port.")
    if number == errno.EACCES:
        return UsageError(f"serve: {name} needs more rights than this user has. Choose one above 1023 with --port.")
    reason = getattr(error, "strerror", None) or first_line(error)
    return UsageError(f"serve: cannot listen on {name} ({reason}). See --host and --port.")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address: all that a name stands for must be loopback."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(str(one).split("%")[0]).is_loopback for one in found)


class _Server(uvicorn.Server):
    """Signals are ours: uvicorn stops accepting as soon as one comes."""

    task: asyncio.Task[None] | None = None
    """While it serves."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def serve_until_signal(service: Service, sock: socket.socket, delay: float, seconds: float) -> None:
    """Serve on a socket until SIGTERM or SIGINT, and finish what was begun.

    Args:
        service: not started yet.
        sock: bound.
        delay: seconds between SIGTERM and the last request that is accepted.
        seconds: that requests then have to end.

    Raises:
        InterBertError: an index or model cannot be used, or the port is in use.
    """
    config = uvicorn.Config(
        create_app(service),
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(int(seconds), 1),
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(service, _Server(config), sock, delay))


async def _serve(service: Service, server: _Server, sock: socket.socket, delay: float) -> None:
    signals: asyncio.Queue[int] = asyncio.Queue()

    def noted(number: int) -> None:
        signals.put_nowait(number)
        server.force_exit = server.should_exit  # a second signal while requests end: at once

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, noted, number)
    stop = asyncio.create_task(signals.get())
    try:
        if await _before(stop, service.start()):
            await _serve_until(stop, service, server, sock)
            if stop.result() == signal.SIGTERM:
                service.draining = True
                _log.info("SIGTERM: not ready any more; requests are accepted for %g seconds", delay)
                await _before(asyncio.create_task(signals.get()), asyncio.sleep(delay))
    finally:
        stop.cancel()
        await _stop(service, server)
    _log.info("stopped; everything that was begun is done")


async def _before(stop: asyncio.Task[int], work: Coroutine[Any, Any, None]) -> bool:
    """Do some work; False when a signal came first, and the work was given up."""
    task = asyncio.create_task(work)
    await asyncio.wait({stop, task}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False


async def _serve_until(stop: asyncio.Task[int], service: Service, server: _Server, sock: socket.socket) -> None:
    """Listen, say so, and wait for a signal.

    Raises:
        UsageError: another process listens there since the socket was bound.
    """
    host, port = sock.getsockname()[:2]
    server.task = asyncio.create_task(server.serve([sock]))
    while not server.started:
        if server.task.done():
            try:
                await server.task
            except OSError as error:
                raise unusable(f"port {port} of {host}", error) from error
        await asyncio.sleep(0.01)
    if not service.settings.loopback:
        _log.info("every request needs a key")
    elif not await asyncio.to_thread(service.state.keys.any):
        _log.warning("no key was made, so every request from this machine is answered: interbert keys create")
    say(f"ready {address_of(host, port)}", flush=True)
    await asyncio.wait({stop, server.task}, return_when=asyncio.FIRST_COMPLETED)
    if server.task.done():
        await server.task


async def _stop(service: Service, server: _Server) -> None:
    """Accept no more, let requests end, then finish what waits behind them."""
    service.draining = True
    server.should_exit = True
    if server.task is not None:
        await asyncio.gather(server.task, return_exceptions=True)
    await service.drain()
