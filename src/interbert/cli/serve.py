"""Search and topic pages over HTTP, while products and topics change.

INDEX is an index of `interbert index build`, or NAME=INDEX; several are served side by side, and requests name theirs.
`ready http://HOST:PORT` is printed once everything is warm; everything else goes to standard error. SIGTERM lets a load
balancer notice, answers what was begun, and ends; topics, keys, events and tasks are in --state, or in --database.

    interbert serve indexes/shop --state state
    interbert serve indexes/shop --state state --ray --ray-replicas 2
    interbert serve shop=indexes/shop toys=indexes/toys --host 0.0.0.0 --port 80 --state state
    interbert serve shop=indexes/shop next=indexes/next --experiment shop:0.1=next --state state
    interbert keys create storefront --state state
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from interbert.service.settings import Limits, Queues

if TYPE_CHECKING:
    from interbert.service.metrics import Metrics
    from interbert.service.service import ServedIndex, Service, Settings
    from interbert.service.state import State


@dataclass
class Options:
    """Options of ``interbert serve``."""

    index: list[str]
    """Indexes, as INDEX or NAME=INDEX; requests that name none get the first."""
    host: str = "127.0.0.1"
    """Address to listen on. One that other machines reach needs a key first: interbert keys create."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    state: str = "state"
    """Folder of the state: the database, and writes that are not finished."""
    database: str | None = None
    """URL of the database of topics, keys, events and tasks; SQLite in --state when not given."""
    limits: Limits = field(default_factory=Limits)
    queues: Queues = field(default_factory=Queues)
    cors_origin: list[str] = field(default_factory=list)
    """Origins whose pages may use the API, such as https://shop.example; may be given several times."""
    event_days: int = 90
    """Days that searches and events are kept."""
    drain_delay: float = 1.0
    """Seconds between SIGTERM, from which on /readyz says no, and the last request that is accepted."""
    drain_seconds: float = 30.0
    """Seconds that requests have to end after that."""
    joint_runtime: Literal["auto", "torch", "openvino"] = "auto"
    """Who computes the joint pass. auto: OpenVINO on a CPU, torch on a GPU; in bf16 they round differently."""
    recall_from: Literal["disk", "memory"] = "disk"
    """Where the vectors of an index of more than 20,000 images are compared. memory: by faiss, faster, for some hundred
    bytes an image."""
    rebuild_source: list[str] = field(default_factory=list)
    """What an index can be built anew from over HTTP, as NAME=SOURCE, or SOURCE of a single index; may be given several
    times. Nobody can rebuild over HTTP when not given."""
    synonyms: str | None = None
    """File of synonyms, as of `interbert search --synonyms`; read again when it changes."""
    experiment: list[str] = field(default_factory=list)
    """INDEX:SHARE=OTHER, as shop:0.1=next: a share of INDEX's clients is answered by OTHER, which is served, too."""
    spelling: bool = True
    """Correct wrong letters by the words of titles, unless a request says no."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the CPU or GPU multiplies it in hardware; fp32: the same on every machine."""
    ray: bool | str = False
    """Serve from replicas on a Ray cluster: --ray finds it, and takes this machine without one; --ray=ADDRESS, such as
    auto or ray://head:10001, names it; --ray=local starts one for this command alone."""
    ray_replicas: int | str = 1
    """With --ray: replicas, such as 2, or MIN-MAX, such as 1-4, for as many as the requests need."""


def run(options: Options) -> None:
    """Open everything, listen, and serve until a signal."""
    from interbert.cli.serving import bound_socket, logging_on_stderr, serve_until_signal

    _check(options)
    if options.ray:
        from interbert.cli.serving_on_ray import serve_on_ray

        serve_on_ray(options)
        return
    with logging_on_stderr():
        sock = bound_socket(options.host, options.port)
        with sock:
            service = opened_service(options)
            try:
                serve_until_signal(service, sock, options.drain_delay, options.drain_seconds)
            finally:
                service.close()


def _check(options: Options) -> None:
    """Check what can be checked before anything is opened.

    Raises:
        ConfigError: a number is impossible.
        UsageError: an option is of no use without another.
        MissingExtraError: what serving needs is not installed.
    """
    import importlib.util

    from interbert.errors import MissingExtraError, UsageError, require_range

    if not options.ray and str(options.ray_replicas) != "1":
        raise UsageError(f"serve: --ray-replicas {options.ray_replicas} needs --ray.")
    for package in ("fastapi", "uvicorn", "sqlalchemy", "alembic", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError.of(package, "serve")
    options.limits.check()
    options.queues.check()
    require_range("serve: --port", options.port, 0, 65536)
    require_range("serve: --event-days", options.event_days, 1)
    require_range("serve: --drain-delay", options.drain_delay, 0, 3600)
    require_range("serve: --drain-seconds", options.drain_seconds, 0, 86_400)


def _served(name: str, path: str, options: Options, state: State, settings: Settings, metrics: Metrics) -> ServedIndex:
    """An index with its model, queues, writer and topic pages.

    Raises:
        VectorIndexError: it is missing or damaged.
        CheckpointError: its model is missing, or another.
    """
    from interbert.search.engine import SearchEngine
    from interbert.search.rewriting import QueryRewriter
    from interbert.service.pipeline import Pipeline
    from interbert.service.service import ServedIndex
    from interbert.service.topic_pages import TopicPages
    from interbert.service.writes import ProductWriter
    from interbert.utils.precision import asks_for_bf16

    bf16 = asks_for_bf16(options.precision)
    engine = SearchEngine.open(path, bf16=bf16, joint_runtime=options.joint_runtime, recall_from=options.recall_from)
    runtime = engine.encoder.scorer.runtime
    reads = engine.encoder.config.reads_jointly
    how = f"pairs are scored jointly by {runtime}" if reads else "its model does not read jointly, and ranks by recall"
    logging.getLogger("interbert.service").info("index %s: %s", name, how)
    return ServedIndex(
        name,
        path,
        engine,
        Pipeline(engine, options.queues, metrics),
        ProductWriter(path, engine, state, settings.folder / "spool" / name, metrics, options.limits.image_megapixels),
        TopicPages(name, engine, state, metrics),
        QueryRewriter(engine, None if settings.synonyms is None else settings.synonyms.synonyms, options.spelling),
    )


@contextlib.contextmanager
def _database_errors() -> Iterator[None]:
    """Errors of the database while the service is opened end the command by one line."""
    from interbert.errors import StorageError, UsageError
    from interbert.service.errors import ServiceError

    try:
        yield
    except ServiceError as error:
        raise (StorageError if error.code == "storage_full" else UsageError)(error.message) from error


@_database_errors()
def opened_state(options: Options) -> State:
    """The database; its folder is made.

    Raises:
        InterBertError: it cannot be used.
        UsageError: others reach the address, and there is no key.
    """
    from pathlib import Path

    from interbert.cli.serving import is_loopback
    from interbert.errors import UsageError, writing
    from interbert.service.state import State, database_url
    from interbert.utils.redaction import without_credentials

    folder = Path(options.state)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    state = State.open(database_url(None if options.database else folder, options.database))
    if not is_loopback(options.host) and not state.keys.any():
        where = (
            f"--database {without_credentials(options.database)}" if options.database else f"--state {options.state}"
        )
        raise UsageError(
            f"serve: {options.host} is not loopback, and there is no key, so anybody could write. Make one first: "
            f"interbert keys create NAME {where}"
        )
    return state


@_database_errors()
def opened_service(options: Options) -> Service:
    """The service: its database, and every index with its model.

    Raises:
        InterBertError: one of them cannot be used.
    """
    from pathlib import Path

    import torch
    from threadpoolctl import threadpool_limits

    from interbert.cli.serving import is_loopback
    from interbert.service.experiments import read_experiments, require_columns
    from interbert.service.metrics import Metrics
    from interbert.service.rebuilding import Rebuilds, named_sources
    from interbert.service.service import Service, Settings, named_indexes
    from interbert.service.wordings import SynonymsFile

    if options.queues.threads:
        torch.set_num_threads(options.queues.threads)
    # numpy's products are small here, and its threads wait by spinning: they took a third of the joint pass's time
    threadpool_limits(1, user_api="blas")
    names = named_indexes(options.index)
    sources = named_sources(options.rebuild_source, list(names))
    experiments = read_experiments(options.experiment, list(names))
    state = opened_state(options)
    metrics = Metrics()
    synonyms = None if options.synonyms is None else SynonymsFile(options.synonyms)
    folder, loopback = Path(options.state), is_loopback(options.host)
    settings = Settings(folder, loopback, tuple(options.cors_origin), options.event_days, synonyms, experiments)
    indexes = {name: _served(name, path, options, state, settings, metrics) for name, path in names.items()}
    for experiment in experiments.values():
        require_columns(indexes[experiment.index], indexes[experiment.treatment])
    rebuilds = Rebuilds(sources, state, folder / "rebuilds")
    return Service(indexes, state, metrics, options.limits, options.queues, settings, rebuilds)
