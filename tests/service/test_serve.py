"""`interbert serve` as a process, and what it refuses in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interbert.cli.main import main
from interbert.cli.serve import Options, opened_state
from interbert.cli.serving import is_loopback
from interbert.errors import StorageError, UsageError
from interbert.service.errors import ServiceError
from interbert.service.service import named_indexes
from interbert.service.state import State


def asked(url: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_process_serves_until_sigterm_and_drains(built: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "interbert", "serve", f"shop={built}", "--port", "0", "--drain-delay", "2"]
    process = subprocess.Popen(
        [*command, "--state", str(tmp_path / "state"), "--precision", "fp32"],
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "log").open("wb"),
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:"), (tmp_path / "log").read_text()
        url = line.split()[1]
        assert asked(f"{url}/readyz") == (200, {"ready": True, "checks": dict.fromkeys(CHECKS, True)})
        status, reply = asked(f"{url}/v1/search", {"text": "a red circle", "top_k": 5})
        assert (status, len(reply["results"]), reply["degraded"]) == (200, 5, False)
        statuses: list[int] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                statuses.append(asked(f"{url}/v1/search", {"text": "blue square"})[0])

        thread = threading.Thread(target=ask)
        thread.start()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        status, reply = asked(f"{url}/readyz")
        assert (status, reply["error"]["code"], reply["checks"]["accepting"]) == (503, "draining", False)
        assert asked(f"{url}/livez")[0] == 200
        stop.set()
        thread.join()
        assert process.wait(timeout=60) == 0
        assert statuses
        assert set(statuses) == {200}
        assert process.stdout.read() == ""
        log = (tmp_path / "log").read_text()
        assert "every request from this machine is answered" in log
        assert "index shop: pairs are scored jointly by openvino" in log
        assert "red circle" not in log
        assert "Traceback" not in log
    finally:
        process.kill()
        process.wait()
    state = State.open(f"sqlite:///{tmp_path / 'state' / 'interbert.db'}")
    assert {one.text for one in state.events.popular("shop", 1, 10)} == {"a red circle", "blue square"}
    state.close()


CHECKS = ("models", "index", "state", "accepting")


@pytest.fixture
def refused(
    built: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Runs the verb, which must end with exit code 2 or 1 and one line."""

    def served(*_: object) -> None:
        raise AssertionError("it is served")

    monkeypatch.setattr("interbert.cli.serving.serve_until_signal", served)

    def run(*words: str, index: str | Path = built, state: str | Path | None = None) -> str:
        # OpenVINO stays out of the process of all other tests (see the Makefile)
        always = ["--joint-runtime", "torch", "--state", str(state or tmp_path / "state")]
        code = main(["serve", str(index), *always, *words])
        out, err = capfd.readouterr()
        assert code in (1, 2)
        assert out == ""
        assert err.startswith("interbert: ")
        assert err.count("\n") == 1, err
        return err

    return run


def test_a_port_in_use(refused: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is in use" in refused("--port", str(port))


def test_a_host_that_others_reach_needs_a_key(refused: Callable[..., str]) -> None:
    assert "interbert keys create" in refused("--host", "0.0.0.0", "--port", "0")


def test_a_database_is_named_without_its_password_and_its_loss_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options([], host="0.0.0.0", state=str(tmp_path), database="postgresql://me:pass@db/shop")
    opened = State.open(f"sqlite:///{tmp_path / 'interbert.db'}")
    monkeypatch.setattr(State, "open", lambda url: opened)
    with pytest.raises(UsageError, match=r"NAME --database postgresql://db/shop$"):
        opened_state(options)

    for code, kind in (("state_unavailable", UsageError), ("storage_full", StorageError)):

        def away(code: str = code) -> bool:
            raise ServiceError(code, "The database is away.")

        monkeypatch.setattr(opened.keys, "any", away)
        with pytest.raises(kind, match="The database is away"):
            opened_state(options)
    opened.close()


def test_values_that_are_impossible(refused: Callable[..., str]) -> None:
    assert "--port" in refused("--port", "70000")
    assert "--limits.top-k" in refused("--limits.top-k", "0")
    assert "--queues.waiting" in refused("--queues.waiting", "0")
    assert "cannot listen" in refused("--host", "no.such.host.invalid", "--port", "0")


def test_a_state_folder_that_cannot_be_written(refused: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    assert str(file) in refused("--port", "0", state=file)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "interbert.db").write_bytes(b"no database" * 1000)
    assert "interbert.db" in refused("--port", "0", state=damaged)


def test_an_index_that_is_missing_or_damaged(refused: Callable[..., str], index_copy: Path, tmp_path: Path) -> None:
    assert "interbert index build" in refused("--port", "0", index=tmp_path / "none")
    (config,) = index_copy.glob("models/*/config.json")
    config.write_text("{}")
    assert "not an InterBERT" in refused("--port", "0", index=index_copy)
    (table,) = index_copy.glob("products_*.lance")
    shutil.rmtree(table)
    assert "damaged" in refused("--port", "0", index=index_copy)


def test_names_of_indexes() -> None:
    assert named_indexes(["indexes/shop/"]) == {"shop": "indexes/shop/"}
    assert named_indexes(["a=x", "b=s3://bucket/y?z=1"]) == {"a": "x", "b": "s3://bucket/y?z=1"}
    for wrong in (["a=x", "a=y"], ["a b=x"], ["x/shop", "y/shop"], ["=x"], ["a="], ["a=s3://x/y", "b=s3://x/y/"]):
        with pytest.raises(UsageError):
            named_indexes(wrong)


def test_loopback() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("no.such.host.invalid")


def test_options_of_the_verb(tmp_path: Path) -> None:
    from interbert.cli.parser import parse_options
    from interbert.cli.serve import Options

    def parsed(*words: str) -> Options:
        options = parse_options("serve", "", Options, words)
        assert isinstance(options, Options)
        return options

    several = parsed(
        "a=x", "b=y", "--cors-origin", "https://a.example", "--cors-origin=https://b.example,https://c.example"
    )
    assert several.index == ["a=x", "b=y"]
    assert several.cors_origin == ["https://a.example", "https://b.example", "https://c.example"]
    recipe = tmp_path / "serve.yaml"
    recipe.write_text("port: 9000\nlimits:\n  body_mib: 4.0\ncors_origin: [https://a.example]\n")
    read = parsed("x", "--config", str(recipe), "--queues.deadline-ms", "500")
    assert (read.port, read.limits.body_mib, read.queues.deadline_ms) == (9000, 4.0, 500.0)
    assert read.cors_origin == ["https://a.example"]
