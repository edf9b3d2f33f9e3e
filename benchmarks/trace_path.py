"""Which files of ``src`` ``interbert pretrain`` touches from ``main()`` to the first loss of training.

    python benchmarks/trace_path.py STORE OUT --init-from BERT --training.max-steps 1

The words are those of ``interbert pretrain``, run in this process. A file is touched when a function or method of it is
called; files that are imported, but of which nothing is called, count apart. Code in worker processes and other threads
is not seen. The last line is JSON.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import interbert
from interbert.cli.main import main as run_command

ROOT = Path(interbert.__file__).parent
_LOSS = "compute_loss"
"""Method of the trainer that gives the loss of a step."""


class Trace:
    """Files of ``src`` whose code runs, until the first loss: a profile function of Python."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.touched: set[str] = set()
        self.reached = False
        self._paths: dict[str, str | None] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note the file of a call; end at the return from the loss."""
        if event not in ("call", "return"):
            return
        path = self._path(frame.f_code.co_filename)
        if path is None:
            return
        name = frame.f_code.co_name
        if event == "call":
            self.loaded.add(path)
            if not _only_defines(frame):
                self.touched.add(path)
        elif name == _LOSS and path.startswith("training/"):
            self.reached = True
            sys.setprofile(None)

    def _path(self, file: str) -> str | None:
        if file not in self._paths:
            inside = file.startswith(f"{ROOT}/")
            self._paths[file] = str(Path(file).relative_to(ROOT)) if inside else None
        return self._paths[file]


def _only_defines(frame: FrameType) -> bool:
    """Whether a call is part of an import: a module's body, or what it calls at once (a class's body, a decorator)."""
    place: FrameType | None = frame
    while place is not None and place.f_code.co_filename == frame.f_code.co_filename:
        if place.f_code.co_name == "<module>":
            return True
        place = place.f_back
    return False


def trace_pretrain(words: Sequence[str]) -> Trace:
    """Run ``interbert pretrain`` with these words and follow it to its first loss.

    Raises:
        RuntimeError: it failed, or came to no loss.
    """
    trace = Trace()
    sys.setprofile(trace)
    try:
        code = run_command(["pretrain", *words])
    finally:
        sys.setprofile(None)
    if code or not trace.reached:
        raise RuntimeError(f"interbert pretrain ended with {code} before its first loss")
    return trace


def main() -> None:
    """Trace and print."""
    trace = trace_pretrain(sys.argv[1:])
    folders = defaultdict(list)
    for path in sorted(trace.loaded):
        folders[str(Path(path).parent)].append(Path(path).name + ("" if path in trace.touched else " (imported only)"))
    for folder, names in folders.items():
        print(f"{folder} ({len(names)}): {', '.join(names)}")
    print(f"{len(trace.touched)} files of src are touched; with those that are imported only, {len(trace.loaded)}")
    print(json.dumps({"touched": len(trace.touched), "loaded": len(trace.loaded)}))


if __name__ == "__main__":
    main()
