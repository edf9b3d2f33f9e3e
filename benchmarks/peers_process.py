"""A contestant in a process of its own: it says when it is ready, then does a round for every line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO


@dataclass
class Ready:
    """A contestant that has answered everything once."""

    said: dict[str, Any]
    """What to tell about it."""
    calls: Mapping[str, tuple[Callable[[int], Any], int]]
    """Kind of question -> what answers the question of a place, and how many questions a round has."""


def serve(begin: Callable[[], Ready]) -> None:
    """In the process of a contestant: begin, then answer lines of the standard input until it ends."""
    before, started = resident(), time.perf_counter()
    printed = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print would come between the answers
    ready = begin()
    seconds = time.perf_counter() - started
    _tell(printed, {**ready.said, "begin": seconds, "resident": resident() - before})
    for _ in sys.stdin:
        taken: dict[str, list[float]] = {}
        processor: dict[str, float] = {}
        for kind, (call, count) in ready.calls.items():
            worked = time.process_time()
            taken[kind] = [_milliseconds(call, place) for place in range(count)]
            processor[kind] = 1e3 * (time.process_time() - worked) / count
        _tell(printed, {"milliseconds": taken, "processor": processor, "resident": resident() - before})


def _tell(printed: TextIO, content: dict[str, Any]) -> None:
    printed.write(json.dumps(content) + "\n")
    printed.flush()


def _milliseconds(call: Callable[[int], Any], place: int) -> float:
    started = time.perf_counter()
    call(place)
    return 1e3 * (time.perf_counter() - started)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def disk_bytes(path: Path) -> int:
    """Bytes of a file, or of a folder without the models of an index."""
    if path.is_file():
        return path.stat().st_size
    files = [file for file in path.rglob("*") if file.is_file() and "models" not in file.relative_to(path).parts]
    return sum(file.stat().st_size for file in files)


@dataclass
class Contestant:
    """A process that serves, as the one that started it sees it."""

    name: str
    process: subprocess.Popen[str]
    ready: dict[str, Any]
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def start(cls, name: str, command: list[str], environ: Mapping[str, str]) -> Contestant:
        """Start it, and wait until it is ready."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(environ))
        return cls(name, process, _answer(name, process))

    def ask(self) -> None:
        """One round."""
        assert self.process.stdin is not None
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        self.rounds.append(_answer(self.name, self.process))

    def stop(self) -> None:
        """End it."""
        self.process.communicate()


def _answer(name: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} ended with exit code {process.wait()}; what it said stands above")
    return dict(json.loads(line))
