"""Real processes that need not import torch and transformers again: forks of a server that has imported them.

Such a process is killed, interrupted, limited and left like any other, and starts with the state of a fresh import: the
server computes nothing. Where the import, the interpreter's end or a variable that is read at its start is what a test
is about, the test starts an interpreter of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest import mock

import numpy
import torch

PRELOADED = [
    "interbert.auto_classes",
    "interbert.cli.parser",
    "interbert.extraction.extract",
    "interbert.extraction.grid",
    "interbert.training.finetune",
    "interbert.training.pretrain",
    "interbert.search.build",
    "interbert.topics.fit",
    "torch.utils.tensorboard",
]
"""Modules of the server. Not lance, whose threads a fork loses; of these, only pyarrow's memory has one, and heals."""


class Fork:
    """``python -c SCRIPT WORDS`` in a fork; in use like ``subprocess.Popen`` with both outputs as texts.

    Args:
        script: what it runs as ``__main__``.
        words: its ``sys.argv[1:]``.
        more: variables of its environment, beside this process's own.
    """

    def __init__(self, script: str, *words: object, **more: str) -> None:
        self._files = [tempfile.NamedTemporaryFile() for _ in range(2)]  # noqa: SIM115 - they live as long as this
        names = [file.name for file in self._files]
        given = (script, [str(word) for word in words], dict(os.environ) | more, *names)
        self._process = _server().Process(target=_run, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code; the negative number of the signal that ended it; None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        return self._process.exitcode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it printed and its errors, after its end.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        if self.returncode is None:
            self.kill()
            raise subprocess.TimeoutExpired("a fork", timeout, *self._texts())
        return self._texts()

    def wait(self, timeout: float = 300) -> int | None:
        self.communicate(timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def _texts(self) -> tuple[str, str]:
        output, errors = (Path(file.name).read_text(encoding="utf-8") for file in self._files)
        return output, errors


COMMAND = "from interbert.cli.main import console; console()"
"""The command ``interbert``."""


def together(script: str, words: list[str], processes: int) -> list[tuple[int | None, str, str]]:
    """Exit code, output and errors of processes of one group that run a script, started as torchrun does."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    forks = [Fork(script, *words, RANK=str(rank), LOCAL_RANK=str(rank), **group) for rank in range(processes)]
    try:
        texts = [fork.communicate() for fork in forks]
        return [(fork.returncode, *both) for fork, both in zip(forks, texts, strict=True)]
    finally:
        for fork in forks:
            fork.kill()


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with mock.patch.dict(os.environ, OMP_NUM_THREADS="1"):  # read once, when torch is loaded
        forkserver.ensure_running()
    return context


def _run(script: str, words: list[str], environment: dict[str, str], output: str, errors: str) -> None:
    os.setsid()
    for descriptor, name in ((1, output), (2, errors)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    torch.seed()  # as in a fresh process; else what two forks draw unseeded would agree
    numpy.random.seed()
    sys.argv = ["-c", *words]
    exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
