"""Every command, curl call and example of docs/serving.md and docs/shop_tutorial.md runs on a tiny shop."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from tests.conftest import draw
from tests.documented import blocks, commands, run
from tests.search.conftest import priced_rows, write_table

from interbert.cli.main import main
from interbert.cli.parser import parse_options
from interbert.cli.serve import Options
from interbert.service.app import create_app
from interbert.service.errors import CODES
from interbert.service.metrics import Metrics
from interbert.service.schemas.events import EventRequest
from interbert.service.schemas.search import SearchReply, SearchRequest
from interbert.service.schemas.topics import TopicRequest
from interbert.service.service import Service
from interbert.service.settings import Limits, Queues

ROOT = Path(__file__).parents[2]
SERVING = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "shop_tutorial.md").read_text(encoding="utf-8")
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
TRAINING = ("extract", "pretrain", "finetune", "evaluate")
"""Verbs of the tutorial that other tests run: those of the quickstart, and test_clicks_to_model."""
ADDRESS = "http://127.0.0.1:8000"


class Reader:
    """Does what a reader does: types the commands of a document, one after the other, beside a service."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.capsys, self.monkeypatch = folder, capsys, monkeypatch
        self.variables: dict[str, str] = {}
        self.answers: list[Any] = []
        """JSON of the curl calls."""
        self._stop = threading.Event()
        self._serving: threading.Thread | None = None
        self._address = ""
        (folder / ".curlrc").write_text("fail-with-body\nmax-time = 60\n")

    def type(self, line: str) -> None:
        """Run a line of a document; it has to end well."""
        if line.startswith("interbert serve "):
            self.serve(line)
        elif match := re.fullmatch(r"(\w+)=\$\((interbert .*?) \| tail -n 1\)", line):
            self.capsys.readouterr()
            run(match[2], self.capsys)
            self.variables[match[1]] = self.capsys.readouterr().out.splitlines()[-1]
        elif line.startswith("interbert "):
            if "events export" in line:
                time.sleep(1.5)  # searches are recorded each second
            run(line, self.capsys)
            if "--rebuild" in line:
                time.sleep(1.5)  # an open index looks for builds once a second
        elif match := re.fullmatch(r"(\w+)=(.*)", line):
            self.variables[match[1]] = self.shell(f'{line}\nprintf %s "${match[1]}"')
        else:
            said = self.shell(line)
            if line.startswith("curl ") and said.startswith("{"):
                self.answers.append(json.loads(said))

    def shell(self, line: str) -> str:
        """Output of a line of bash."""
        here = {"CURL_HOME": str(self.folder), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        line = line.replace(ADDRESS, self._address or ADDRESS)
        done = subprocess.run(["bash", "-ec", line], env=os.environ | self.variables | here, capture_output=True)
        assert done.returncode == 0, (line, done.stdout[-500:], done.stderr[-500:])
        return done.stdout.decode("utf-8", "replace")

    def serve(self, line: str) -> None:
        """Run the line that serves, on a free port, in a thread of this process."""
        ready = threading.Event()

        def until_stopped(service: Service, sock: socket.socket, *_: float) -> None:
            config = uvicorn.Config(create_app(service), lifespan="off", log_config=None, timeout_graceful_shutdown=5)
            server = uvicorn.Server(config)

            async def serve() -> None:
                await service.start()
                task = asyncio.create_task(server.serve([sock]))
                while not server.started:
                    await asyncio.sleep(0.01)
                self._address = f"http://127.0.0.1:{sock.getsockname()[1]}"
                ready.set()
                await asyncio.to_thread(self._stop.wait)
                server.should_exit = True
                await task
                await service.drain()

            asyncio.run(serve())

        self.monkeypatch.setattr("interbert.cli.serving.serve_until_signal", until_stopped)
        words = [*shlex.split(line)[1:], "--port", "0", "--precision", "fp32", "--queues.deadline-ms", "60000"]
        self._serving = threading.Thread(target=main, args=(words,))
        self._serving.start()
        while not ready.wait(0.05):
            assert self._serving.is_alive(), self.capsys.readouterr().err

    def python(self, code: str) -> None:
        """Run an example in Python."""
        self.monkeypatch.setenv("KEY", self.variables["KEY"])
        exec(compile(code.replace(ADDRESS, self._address), "example", "exec"), {})

    def close(self) -> None:
        """Stop the service."""
        self._stop.set()
        if self._serving is not None:
            self._serving.join(timeout=60)


@pytest.fixture
def reader(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    """A reader in a folder with a catalogue, a photo and a model."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("curl or bash is not installed")
    monkeypatch.chdir(tmp_path)
    rows = [row | {"id": str(1001 + place)} for place, row in enumerate(priced_rows())]
    write_table(tmp_path / "catalogue.parquet", rows)
    shutil.copytree(model, tmp_path / "models" / "retrieval")
    shutil.copytree(model, tmp_path / "models" / "shop")
    draw("red", "circle").save(tmp_path / "photo.jpg")
    found = Reader(tmp_path, capsys, monkeypatch)
    yield found
    found.close()


BUILD = "interbert index build models/retrieval catalogue.parquet indexes/shop --text-columns title,title_zh"


def test_the_guide(reader: Reader) -> None:
    reader.type(BUILD)
    for line in commands(SERVING):
        reader.type(line)
    first, answers = reader.answers[0], reader.answers
    assert first.keys() == SearchReply.model_fields.keys()
    assert len(first["results"]) == 5
    assert not first["degraded"]
    statuses = [one["status"] for answer in answers if answer.get("task_id") for one in answer["results"]]
    assert statuses == ["added", "updated", "updated", "rejected", "removed"]
    (erased,) = (answer["erased"] for answer in answers if "erased" in answer)
    assert erased == 3
    assert (reader.folder / "clicks.tsv").read_text().count("\n") == 3
    assert (reader.folder / "thumbnail.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (reader.folder / "restored" / "interbert.db").stat().st_size > 0
    reader.capsys.readouterr()
    for code in blocks("python", SERVING):
        reader.python(code)
    assert reader.capsys.readouterr().out.split()[0] == "2"


def test_the_tutorial(reader: Reader) -> None:
    typed = commands(TUTORIAL)
    trained = [line for line in typed if line.split()[:1] == ["interbert"] and line.split()[1] in TRAINING]
    *known, clicks = trained
    assert set(known) <= set(commands(QUICKSTART))
    assert clicks in (ROOT / "docs" / "retrieval.md").read_text(encoding="utf-8")
    for line in typed:
        if line not in trained:
            reader.type(line)
    before, after = (one["index_version"].split("@")[0] for one in (reader.answers[1], reader.answers[-1]))
    assert before < after
    (page,) = (answer for answer in reader.answers if "topic_id" in answer and "items" in answer)
    assert page["items"][0]["product_id"] == "1003"
    assert (reader.folder / "clicks.tsv").exists()


def rows_of(*header: str) -> dict[str, tuple[str, ...]]:
    """Rows of the guide's tables with such a header, by the name in their first cell."""
    found: dict[str, tuple[str, ...]] = {}
    lines = iter(SERVING.splitlines())
    for line in lines:
        if [cell.strip() for cell in line.strip("|").split("|")][: len(header)] == list(header):
            for row in lines:
                if not row.startswith("|"):
                    break
                name, *cells = (cell.strip() for cell in row.strip("|").split(" | "))
                found |= {one: tuple(cells) for one in re.findall(r"`(.+?)`", name)}
    return found


def test_errors_of_the_guide_are_those_of_the_service() -> None:
    assert rows_of("code", "status") == {code: (str(status), text) for code, (status, text) in CODES.items()}


def test_limits_and_queues_of_the_guide_have_the_defaults_of_the_service() -> None:
    told = {name: cells[0] for name, cells in rows_of("option", "default").items()}
    settings = (("limits", Limits()), ("queues", Queues()))
    assert told == {
        f"--{group}.{one.name.replace('_', '-')}": f"{getattr(values, one.name):g}"
        for group, values in settings
        for one in dataclasses.fields(values)
    }


def test_metrics_of_the_guide_are_those_of_the_service() -> None:
    known = {collector._name: tuple(collector._labelnames) for collector in Metrics().registry._collector_to_names}
    assert {
        name: tuple(re.findall(r"`(.+?)`", cells[0])) for name, cells in rows_of("metric", "labels").items()
    } == known


def test_fields_and_options_of_the_guide_are_all_of_them() -> None:
    told = rows_of("field")
    for model in (SearchRequest, SearchReply, TopicRequest):
        assert model.model_fields.keys() <= told.keys()
    assert all(f"`{name}`" in SERVING for name in EventRequest.model_fields)
    options = {one.name for one in dataclasses.fields(Options)} - {"index", "limits", "queues"}
    assert {f"--{name.replace('_', '-')}" for name in options} <= rows_of("option").keys()


def test_the_file_of_options_is_read(tmp_path: Path) -> None:
    (text,) = blocks("yaml", SERVING)
    (tmp_path / "serve.yaml").write_text(text)
    options = parse_options("serve", "", Options, ["--config", str(tmp_path / "serve.yaml")])
    assert isinstance(options, Options)
    assert (options.index, options.limits.top_k, options.queues.deadline_ms) == (["shop=indexes/shop"], 100, 1500.0)
    assert options.cors_origin == yaml.safe_load(text)["cors_origin"]


def test_json_of_the_guide_is_json_and_links_lead_somewhere() -> None:
    for block in blocks("json", SERVING):
        assert json.loads(block)
    for text in (SERVING, TUTORIAL):
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (ROOT / "docs" / target).exists(), target
