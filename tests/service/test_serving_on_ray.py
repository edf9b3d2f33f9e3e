"""`interbert serve --ray`: two replicas on a cluster of this machine, one of them killed under load."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from starlette.testclient import TestClient
from tests.conftest import AT_LENGTH
from tests.service.test_serve import asked

from interbert.cli import serving_on_ray
from interbert.cli.main import main
from interbert.cli.serving_on_ray import Replicas
from interbert.errors import ConfigError, UsageError
from interbert.service.metrics import Metrics
from interbert.service.state import State

QUERIES = ("a red circle", "blue square", "白纸上的绿色三角形", "black triangle on white paper")
CLIENTS = 4


class Load(threading.Thread):
    """A client that searches until it is told to stop, and asks once more what was not answered."""

    def __init__(self, url: str, place: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url, self.place, self.stopped = url, place, stop
        self.answers: list[tuple[str, list[tuple[str, float]]]] = []
        self.unanswered: list[float] = []
        """When a request was not answered."""
        self.failed: list[object] = []

    def run(self) -> None:
        while not self.stopped.is_set():
            text = QUERIES[(len(self.answers) + self.place) % len(QUERIES)]
            found = self.ask(text)
            if not isinstance(found, list):
                self.unanswered.append(time.monotonic())
                found = self.ask(text)
            if isinstance(found, list):
                self.answers.append((text, found))
            else:
                self.failed.append(found)

    def ask(self, text: str) -> list[tuple[str, float]] | object:
        try:
            status, reply = asked(f"{self.url}/v1/search", {"text": text, "top_k": 5})
        except (OSError, ValueError) as error:  # no answer, or no JSON: it is the proxy's
            return error
        return ranking(reply) if status == 200 else (status, reply)


def ranking(reply: dict[str, Any]) -> list[tuple[str, float]]:
    return [(one["product_id"], round(one["probability"], 4)) for one in reply["results"]]


class Command:
    """`interbert serve --ray=local` of two replicas, as a process of its own."""

    def __init__(self, index: Path, folder: Path) -> None:
        self.log = folder / "log"
        words = ["--ray=local", "--ray-replicas", "2", "--port", "0", "--state", str(folder / "state")]
        words += ["--precision", "fp32", "--queues.threads", "1", "--queues.deadline-ms", "60000"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "interbert", "serve", f"shop={index}", *words],
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:"), self.log.read_text()
        self.url = line.split()[1]

    def replicas(self) -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in found if "ray::ServeReplica" in " ".join(one.cmdline())]

    def replica_names(self) -> set[str]:
        """Of those that answer now."""
        names = set()
        for _ in range(10):
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as reply:
                names |= set(re.findall(r'replica="(\w+)"', reply.read().decode()))
        return names


@pytest.fixture
def command(built: Path, tmp_path: Path) -> Iterator[Command]:
    pytest.importorskip("ray.serve")
    started = Command(built, tmp_path)
    family = psutil.Process(started.process.pid).children(recursive=True)
    yield started
    started.process.kill()
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


@AT_LENGTH
def test_a_replica_is_killed_under_load(command: Command, client: TestClient, tmp_path: Path) -> None:
    expected = {text: ranking(client.post("/v1/search", json={"text": text, "top_k": 5}).json()) for text in QUERIES}
    before, stop = command.replica_names(), threading.Event()
    assert len(before) == 2
    clients = [Load(command.url, place, stop) for place in range(CLIENTS)]
    for one in clients:
        one.start()
    time.sleep(1)
    command.replicas()[0].kill()
    killed, after = time.monotonic(), before
    while len(after := command.replica_names()) < 2 or after == before:
        assert time.monotonic() < killed + 120, command.log.read_text()
        time.sleep(0.2)
    time.sleep(1)
    stop.set()
    for one in clients:
        one.join(60)
    assert len(after & before) == 1
    assert not [failed for one in clients for failed in one.failed]
    unanswered = [moment - killed for one in clients for moment in one.unanswered]
    answers = [answer for one in clients for answer in one.answers]
    print(f"\n{len(answers)} answers; {len(unanswered)} asked again, {unanswered} s after the kill")
    assert len(unanswered) <= CLIENTS  # those at the killed replica
    assert len(answers) > 4 * CLIENTS
    assert all(found == expected[text] for text, found in answers)
    family = psutil.Process(command.process.pid).children(recursive=True)
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(timeout=60) == 0
    assert command.process.stdout is not None
    assert command.process.stdout.read() == ""
    log = command.log.read_text()
    assert "requests are accepted for 1 seconds" in log
    assert "Traceback" not in log
    assert "red circle" not in log
    _, left = psutil.wait_procs(family, timeout=20)
    assert not left
    state = State.open(f"sqlite:///{tmp_path / 'state' / 'interbert.db'}")
    assert {one.text for one in state.events.popular("shop", 1, 10)} == set(QUERIES)
    state.close()


def test_numbers_of_replicas(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "none", "--ray-replicas", "2"]) == 2
    assert "--ray-replicas 2 needs --ray" in capfd.readouterr().err
    assert (Replicas.of("2"), Replicas.of("1-4")) == (Replicas(2, 2), Replicas(1, 4))
    for wrong in ("0", "4-1", "-1", "two", "1-", "0-3", ""):
        with pytest.raises(ConfigError, match="--ray-replicas"):
            Replicas.of(wrong)


@pytest.mark.parametrize("missing", ["ray", "ray.serve"])
def test_without_ray_serve_one_line_says_what_to_install(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if missing == "ray.serve":
        ray = pytest.importorskip("ray")
        monkeypatch.delattr(ray, "serve", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["serve", "none", "--state", str(tmp_path), "--ray"]) == 2
    name = {"ray": "ray", "ray.serve": "ray[serve]"}[missing]
    assert capfd.readouterr() == (
        "",
        f"interbert: {name} is not installed. Install it with: pip install 'interbert[ray]'\n",
    )


def test_a_cluster_that_is_in_use_or_too_small() -> None:
    status = SimpleNamespace(proxies={}, applications={"other": None})
    with pytest.raises(UsageError, match="runs on this cluster already"):
        serving_on_ray.require_free(SimpleNamespace(status=lambda: status))
    cluster = SimpleNamespace(cluster_resources=lambda: {"CPU": 4.0})
    assert serving_on_ray.cores_of_each(cluster, Replicas(2, 2), 0) == 2
    assert serving_on_ray.cores_of_each(cluster, Replicas(1, 8), 0) == 1
    assert serving_on_ray.cores_of_each(cluster, Replicas(2, 4), 2) == 2
    with pytest.raises(UsageError, match="2 replicas of 3 cores each do not fit on a cluster of 4"):
        serving_on_ray.cores_of_each(cluster, Replicas(2, 4), 3)


def test_a_replica_that_cannot_start_is_one_line() -> None:
    report = "Traceback ...\nRuntimeError: interbert refuses: none is no index. Make one: interbert index build\n"
    told = SimpleNamespace(message="Deploying failed", deployments={"interbert": SimpleNamespace(message=report)})

    def run(*_: object, **__: object) -> None:
        raise RuntimeError("Deploying application interbert failed")

    pytest.importorskip("ray")
    applications = {"interbert": told}
    serve = SimpleNamespace(start=lambda **_: None, run=run, status=lambda: SimpleNamespace(applications=applications))
    with pytest.raises(UsageError, match=r"^none is no index. Make one: interbert index build$"):
        serving_on_ray.deploy(serve, None, {}, {})
    applications.clear()
    with pytest.raises(UsageError, match=r"Ray Serve does not start \(Deploying application interbert failed\)"):
        serving_on_ray.deploy(serve, None, {}, {})


def test_numbers_of_a_replica_have_its_name() -> None:
    metrics = Metrics()
    metrics.requests.labels("/v1/search", "POST", "200").inc()
    metrics.replica = "abc"
    line = 'interbert_requests_total{method="POST",replica="abc",route="/v1/search",status="200"} 1.0'
    assert line in metrics.text().decode().splitlines()
