"""A service of a tiny index: the application in this process, or behind a port of loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from tests.conftest import draw, file_bytes
from tests.search.conftest import built, make_model, model, priced  # noqa: F401  fixtures
from tests.service.browser import browser, browser_page  # noqa: F401  fixtures

from interbert.errors import BusyError
from interbert.search.engine import SearchEngine
from interbert.search.rewriting import QueryRewriter
from interbert.service.app import create_app
from interbert.service.metrics import Metrics
from interbert.service.pipeline import Pipeline
from interbert.service.service import ServedIndex, Service, Settings
from interbert.service.settings import Limits, Queues
from interbert.service.state import State
from interbert.service.wordings import SynonymsFile
from interbert.service.writes import ProductWriter
from interbert.utils.files import only_writer


def data_uri(colour: str, shape: str) -> str:
    return "data:image/png;base64," + base64.b64encode(file_bytes(draw(colour, shape))).decode()


def make_service(
    index: Path,
    folder: Path,
    limits: Limits | None = None,
    queues: Queues | None = None,
    names: tuple[str, ...] = ("shop",),
    writers: bool = False,
    **settings: object,
) -> Service:
    """A service that is not started; its indexes are one engine under several names, with writers where asked for."""
    folder.mkdir(exist_ok=True)
    metrics, queues = Metrics(), queues or Queues(deadline_ms=60_000.0)
    engine = SearchEngine.open(index, bf16=False)
    file = settings.get("synonyms")
    rewriter = QueryRewriter(engine, file.synonyms if isinstance(file, SynonymsFile) else None)
    indexes = {
        name: ServedIndex(name, str(index), engine, Pipeline(engine, queues, metrics), rewriter=rewriter)
        for name in names
    }
    state = State.open(f"sqlite:///{folder / 'interbert.db'}")
    for name, served in indexes.items() if writers else ():
        served.writer = ProductWriter(index, engine, state, folder / "spool" / name, metrics)
    return Service(indexes, state, metrics, limits or Limits(), queues, Settings(folder, **settings))  # type: ignore[arg-type]


MakeClient = Callable[..., TestClient]


@pytest.fixture
def make_client(built: Path, tmp_path: Path) -> Iterator[MakeClient]:  # noqa: F811
    """Makes clients of services of their own, by the keywords of :func:`make_service`; ``start=False``: cold ones."""
    clients: list[TestClient] = []

    def make(index: Path = built, start: bool = True, **keywords: object) -> TestClient:
        service = make_service(index, tmp_path / f"state{len(clients)}", **keywords)  # type: ignore[arg-type]
        client = TestClient(create_app(service), raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        if start:
            client.portal.call(service.start)
        return client

    yield make
    for client in clients:
        service = client.app.state.service
        client.portal.call(service.drain)
        client.__exit__(None, None, None)
        service.close()


@pytest.fixture(scope="module")
def client(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:  # noqa: F811
    """A client of a service that tests of a module share, and change nothing of."""
    service = make_service(built, tmp_path_factory.mktemp("state"), names=("shop", "other"))
    with TestClient(create_app(service), raise_server_exceptions=False) as client:
        client.portal.call(service.start)
        yield client
        client.portal.call(service.drain)
    service.close()


@contextlib.contextmanager
def serving(service: Service, app: ASGIApp | None = None) -> Iterator[str]:
    """Address of a service on loopback, while a thread serves it; ``app`` is what answers instead of its own."""
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app or create_app(service), lifespan="off", log_config=None, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)

    async def serve() -> None:
        await service.start()
        await server.serve([sock])
        await service.drain()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        service.close()


@pytest.fixture(scope="module")
def url(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: F811
    """Address of a service on loopback, for clients that bring their own HTTP."""
    with serving(make_service(built, tmp_path_factory.mktemp("state"))) as address:
        yield address


@pytest.fixture
def index_copy(built: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A copy of the index to change."""
    return Path(shutil.copytree(built, tmp_path / "index"))


@contextlib.contextmanager
def held(index: Path) -> Iterator[None]:
    """The index as another command holds it, once the service's own writer lets go of it."""
    ends = time.monotonic() + 60
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(only_writer(index))
                break
            except BusyError:  # the upkeep that follows a start
                assert time.monotonic() < ends
                time.sleep(0.05)
        yield
