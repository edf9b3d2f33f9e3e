"""deploy/'s own install commands in empty virtual environments, and its own start commands there, on a small index."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests import deployed
from tests.conftest import AT_LENGTH
from tests.deployed import ROOT
from tests.service.test_serve import asked

ARGUMENTS = {
    name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
    for name, value in deployed.compose()["services"]["service"]["build"]["args"].items()
}
"""Of the image, as compose.yaml builds it where nothing else is said."""


class Machine:
    """A folder that stands for a machine: its paths are below it, its environment has nothing of this one's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = Path(sys.base_prefix) / "bin"
        self.environment = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        self.environment |= {"PATH": f"{self.bin}:{self.python}:/usr/bin:/bin", "HOME": str(root), "LANG": "C.UTF-8"}
        with socket.create_server(("127.0.0.1", 0)) as sock:
            self.port = sock.getsockname()[1]

    @property
    def bin(self) -> Path:
        return self.root / "opt/interbert/bin"

    def here(self, words: str) -> str:
        """A command whose paths and port are this machine's."""
        words = re.sub(r"(?<![\w.])/(opt/interbert|data|var/lib/interbert)\b", rf"{self.root}/\1", words)
        return re.sub(r"\b8000\b", str(self.port), words)

    def run(self, line: str, folder: Path, more: Mapping[str, str] | None = None) -> str:
        """Output of a line of the shell; it has to end well."""
        done = subprocess.run(
            ["sh", "-ec", self.here(line)],
            cwd=folder,
            env=self.environment | (more or {}),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (line, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def serve(self, words: Sequence[str], checks: Sequence[str] | None) -> None:
        """Start a service, ask it, and stop it."""
        command = [self.here(word) for word in words]
        log = self.root / "log"
        process = subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=log.open("wb"), text=True
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready http://"), log.read_text()
            url = f"http://127.0.0.1:{self.port}"
            assert asked(f"{url}/readyz")[0] == 200
            if checks is not None:
                subprocess.run([self.here(word) for word in checks], env=self.environment, check=True)
            assert asked(f"{url}/v1/search", {"text": "a red circle"})[0] == (200 if checks is None else 401)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 0
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@AT_LENGTH
def test_the_image(machine: Machine, built: Path) -> None:
    source = machine.root / "source"
    source.mkdir()
    final = [place for place, (name, _) in enumerate(deployed.instructions()) if name == "FROM"][1]
    for name, arguments in deployed.instructions()[:final]:
        if name == "RUN":
            machine.run(arguments, source, ARGUMENTS)
        elif name == "COPY":
            *files, target = arguments.split()
            for file in files:
                copy = shutil.copytree if (ROOT / file).is_dir() else shutil.copy
                copy(ROOT / file, source / target if target != "./" else source / file)
    shutil.rmtree(source)  # of this stage, only the environment goes into the image
    (machine.root / "data").mkdir()
    shutil.copytree(built, machine.root / "data/index")
    machine.run("interbert keys create shop --state /data/state", machine.root)  # others reach 0.0.0.0
    entry, *words = deployed.container_start()
    machine.serve([str(machine.bin / entry), *words], deployed.health_check())


@AT_LENGTH
def test_the_unit(machine: Machine, built: Path) -> None:
    source = machine.root / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=lambda folder, names: (
            set(names) - {"src", "pyproject.toml", "README.md", "LICENSE"} if Path(folder) == ROOT else ()
        ),
    )
    for line in deployed.unit_install():
        machine.run(line, source)
    shutil.rmtree(source)
    folder = machine.root / "var/lib/interbert"
    folder.mkdir(parents=True)
    shutil.copytree(built, folder / "index")
    machine.serve(deployed.unit_start(), None)
