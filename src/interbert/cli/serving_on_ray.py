"""The process of ``interbert serve --ray``: it deploys the same application on Ray Serve for as long as it runs.

Replicas open index and database themselves; this process has neither. Ray's proxies listen, hand requests out and start
a replica anew that died. As with one process, one line on standard output says that everything is warm, and SIGTERM
lets requests end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from interbert.cli.ray_replica import REFUSED, Replica
from interbert.cli.serving import KEEP_ALIVE, address_of, bound_socket, logging_on_stderr
from interbert.errors import ConfigError, MissingExtraError, UsageError, first_line
from interbert.utils.ray_cluster import connected, import_ray
from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.cli.serve import Options

_log = logging.getLogger("interbert.service")
_NAME = "interbert"
_STARTS = 1
"""Times that each replica may fail to start before the command gives up; one that has served starts again for ever."""
_HEALTH_SECONDS, _HEALTH_TIMEOUT = 2.0, 30.0
_BEHIND_SECONDS = 15.0
"""Beside ``--drain-seconds``: for the write at work, and searches that are not recorded yet."""
_WATCH_SECONDS = 5.0


class _Stop(KeyboardInterrupt):
    """A signal came."""

    def __init__(self, number: int) -> None:
        self.number = number


@dataclass(frozen=True)
class Replicas:
    """How many there are: ``least``, and up to ``most`` while there is much to do."""

    least: int
    most: int

    @classmethod
    def of(cls, text: str) -> Replicas:
        """Of ``--ray-replicas``.

        Raises:
            ConfigError: it is no N and no MIN-MAX.
        """
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text)
        least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= least <= most:
            raise ConfigError(f"serve: --ray-replicas {text[:40]!r} is no number such as 2 and no range such as 1-4.")
        return cls(least, most)


def serve_on_ray(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, and finish what was begun.

    Raises:
        InterBertError: an index or the database cannot be used.
        UsageError: no cluster answers, it has too few cores, another program serves there, the port is in use, or a
            replica cannot start.
        ConfigError: ``--ray-replicas`` is wrong.
        MissingExtraError: Ray Serve is not installed.
    """
    from interbert.cli.serve import opened_state

    replicas = Replicas.of(str(options.ray_replicas))
    serve = _import_serve()
    with bound_socket(options.host, options.port) as sock:
        host, port = sock.getsockname()[:2]
    opened_state(options).close()  # an error of it is told before Ray is started
    address = options.ray if isinstance(options.ray, str) else None
    with logging_on_stderr(), _prints_on_stderr() as ready:
        with connected(address, with_logs=True) as ray, _signals(), contextlib.suppress(_Stop):
            _require_readable(options.index)
            require_free(serve)
            threads = cores_of_each(ray, replicas, options.queues.threads)
            queues = dataclasses.replace(options.queues, threads=threads)
            application = _deployment(serve, dataclasses.replace(options, queues=queues), replicas)
            _serve_until_signal(serve, application, host, port, options.drain_delay, ready)
        _log.info("stopped; everything that was begun is done")


@contextlib.contextmanager
def _prints_on_stderr() -> Iterator[Callable[[str], None]]:
    """While a block runs, what Ray prints goes to standard error; the block gets what prints a line as always."""
    out = sys.stdout

    def as_always(line: str) -> None:
        with contextlib.redirect_stdout(out):
            say(line, flush=True)

    with contextlib.redirect_stdout(sys.stderr):
        yield as_always


def _require_readable(words: Sequence[str]) -> None:
    """Open the indexes, since an error of a replica comes late, and with all that Ray says of it.

    Not before Ray's processes are forked: LanceDB has threads.

    Raises:
        InterBertError: one cannot be read.
    """
    from interbert.search.index import ProductIndex
    from interbert.service.service import named_indexes

    for path in named_indexes(words).values():
        ProductIndex.open(path)


def _import_serve() -> Any:
    # a proxy that begins on a machine with much to do takes longer than Ray's five seconds
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    # every line of every replica, as it is
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    import_ray()
    try:
        from ray import serve
    except ImportError as error:
        raise MissingExtraError.of("ray[serve]", "ray") from error
    return serve


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """While a block runs, signals end it."""

    def stop(number: int, _: FrameType | None) -> None:
        raise _Stop(number)

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def require_free(serve: Any) -> None:
    """Ray Serve has one address a cluster, and this command ends it.

    Raises:
        UsageError: it serves something there.
    """
    status = serve.status()
    if status.proxies or status.applications:
        raise UsageError(
            "serve: Ray Serve runs on this cluster already. End it there (serve shutdown), or choose another cluster "
            "with --ray=ADDRESS; --ray=local starts one for this command alone."
        )


def cores_of_each(ray: Any, replicas: Replicas, threads: int) -> int:
    """Cores of a replica: those that were asked for, or an equal share of the cluster's.

    Raises:
        UsageError: the cluster has too few.
    """
    have = int(ray.cluster_resources().get("CPU", 0))
    cores = threads or max(have // replicas.most, 1)
    if cores * replicas.least > have:
        raise UsageError(
            f"serve: {replicas.least} replicas of {cores} cores each do not fit on a cluster of {have}. Give fewer "
            "--ray-replicas or --queues.threads, or add machines to it."
        )
    return cores


def _deployment(serve: Any, options: Options, replicas: Replicas) -> Any:
    """The application, bound to its options."""
    waiting = options.queues.waiting
    number: dict[str, Any] = {"num_replicas": replicas.least}
    if replicas.most > replicas.least:
        # a quarter of a queue is more than a batch of each: what waits longer has use of another replica
        scaling = {"min_replicas": replicas.least, "max_replicas": replicas.most}
        number = {"autoscaling_config": scaling | {"target_ongoing_requests": max(waiting // 4, 1)}}
    deployment = serve.deployment(
        serve.ingress()(Replica),
        name=_NAME,
        ray_actor_options={"num_cpus": options.queues.threads},
        # the service itself refuses what is too much, with the time to wait; Ray would let it wait without an end
        max_ongoing_requests=8 * waiting,
        health_check_period_s=_HEALTH_SECONDS,
        health_check_timeout_s=_HEALTH_TIMEOUT,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=options.drain_seconds + _BEHIND_SECONDS,
        max_constructor_retry_count=_STARTS,
        **number,
    )
    return deployment.bind(options)


def _serve_until_signal(
    serve: Any, application: Any, host: str, port: int, delay: float, ready: Callable[[str], None]
) -> None:
    """Deploy, say so, wait for a signal, and take it all away."""
    quiet = {"log_level": "WARNING", "enable_access_log": False}  # each replica's log has a line a request already
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    http = {"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE}
    handle = None
    try:
        handle = deploy(serve, application, http, quiet)
        ready(f"ready {address_of(host, port)}")
        _watch(serve)
    except _Stop as stop:
        if handle is not None and stop.number == signal.SIGTERM:
            handle.broadcast("stop_accepting").results(timeout_s=10)
            _log.info("SIGTERM: not ready any more; requests are accepted for %g seconds", delay)
            time.sleep(delay)
    finally:
        if handle is not None:
            serve.delete(_NAME)  # requests end first
        with contextlib.redirect_stdout(io.StringIO()):  # Ray tells of calls that end with the controller, as they must
            serve.shutdown()


def deploy(serve: Any, application: Any, http: dict[str, Any], logging_config: dict[str, Any]) -> Any:
    """Start Ray Serve and deploy; returns the deployment's handle when every replica is warm.

    Raises:
        UsageError: one cannot start, or Ray Serve itself.
    """
    ray = import_ray()
    try:
        serve.start(proxy_location="EveryNode", http_options=http, logging_config=logging_config)
        return serve.run(application, name=_NAME, route_prefix="/", logging_config=logging_config)
    except (RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
        told = serve.status().applications.get(_NAME)
        messages = [] if told is None else [told.message, *(one.message for one in told.deployments.values())]
        found = re.search(rf"{REFUSED} (.+)", "\n".join(messages))
        raise UsageError(found[1] if found else f"serve: Ray Serve does not start ({first_line(error)}).") from error


def _watch(serve: Any) -> None:
    """Until a signal comes, log what changes about the replicas."""
    seen = ""
    while True:
        deployment = serve.status().applications[_NAME].deployments[_NAME]
        now = f"{deployment.status.value.lower()}, {dict(deployment.replica_states)}"
        if now != seen:
            _log.info("replicas: %s", now)
        seen = now
        time.sleep(_WATCH_SECONDS)
