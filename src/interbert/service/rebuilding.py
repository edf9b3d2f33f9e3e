"""A rebuild of an index from the source that the operator chose at the start: a task, done by a process of its own.

The process is `interbert index build --rebuild`: searches go on with the index as it is until the new build is
complete. A rebuild that ends before it is complete, with the service or without, goes on where it was when it is asked
for again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from interbert.errors import BusyError, CheckpointError, UsageError, shortened, writing
from interbert.search.index_model import model_fingerprint, model_folder
from interbert.search.manifest import Manifest
from interbert.service.errors import ServiceError
from interbert.service.leases import rebuild_lease
from interbert.service.state.records import REBUILD
from interbert.utils.files import atomic_write, only_writer
from interbert.utils.redaction import published

if TYPE_CHECKING:
    from interbert.service.service import ServedIndex
    from interbert.service.state import State, Task

_log = logging.getLogger(__name__)
STOPPED = "The service ended before the rebuild was complete. Ask for it again: it goes on where it was."
_NICENESS = 15
"""Of the process: searches come first."""
_PAUSE_SECONDS, _ENDING_SECONDS = 0.5, 30.0


class Rebuilds:
    """Rebuilds indexes, each at most once at a time. Threads may share it.

    Args:
        sources: name of an index -> what it is built from: a file, a folder or a Hub id.
        state: of tasks.
        folder: where the options of a rebuild are kept while it runs.
        command: that builds, before ``--config FILE``; this interpreter's own when not given.
    """

    def __init__(
        self, sources: Mapping[str, str], state: State, folder: Path, command: tuple[str, ...] | None = None
    ) -> None:
        self.sources = dict(sources)
        self._state, self._folder = state, folder
        self._command = command or (sys.executable, "-m", "interbert", "index", "build")
        self._running: dict[str, tuple[subprocess.Popen[str], threading.Thread]] = {}
        self._lock = threading.Lock()
        self._ending = False

    def start(self) -> None:
        """Say of rebuilds that a killed service left that they have ended; those of replicas that live go on."""
        for file in self._folder.glob("*.json"):
            with contextlib.suppress(BusyError), only_writer(file):
                self._end_left(file.stem)

    def _end_left(self, task_id: str) -> None:
        """End the task of a rebuild that nobody waits for any more; the next start tries what fails now."""
        try:
            self._state.tasks.finish(task_id, "failed", {"error": STOPPED})
        except ServiceError as error:
            if error.code != "not_found":  # forgotten meanwhile
                _log.warning("the end of a rebuild cannot be kept yet: %s", error.message)
                return
        self._forget(task_id)

    def stop(self) -> None:
        """End the processes; their tasks say that they have failed, and why."""
        self._ending = True
        with self._lock:
            running = list(self._running.values())
        for process, _ in running:
            process.terminate()
        for process, thread in running:
            thread.join(_ENDING_SECONDS)
            if thread.is_alive():
                process.kill()
                thread.join()

    def begin(self, served: ServedIndex, manifest: Manifest, key_id: str | None = None) -> Task:
        """Begin to rebuild an index; returns the task.

        Args:
            served: the index.
            manifest: of the build that is searched; the new one has its columns and its model.
            key_id: who asks.

        Raises:
            ServiceError: ``invalid``, no source was chosen at the start; ``conflict``, it is being rebuilt;
                ``draining``; ``storage_full`` or ``state_unavailable``: nothing was begun.
        """
        if served.name not in self.sources:
            message = f"No source was chosen at the start. Start with: --rebuild-source {served.name}=SOURCE"
            raise ServiceError("invalid", message, "name")
        with self._lock:
            if self._ending:
                raise ServiceError("draining", "The service is about to stop.")
            lease = rebuild_lease(self._state, served.name)
            if served.name in self._running or not lease.claim():  # by another replica
                raise ServiceError("conflict", f"The index {served.name!r} is being rebuilt already.", "name")
            try:
                task = self._state.tasks.create(REBUILD, served.name, (), key_id=key_id)
                self._state.tasks.progress(task.id, 0)
                self._launch(task.id, served, manifest)
            except BaseException:
                lease.release()
                raise
            return self._state.tasks.get(task.id)

    def _launch(self, task_id: str, served: ServedIndex, manifest: Manifest) -> None:
        """Start the process and the thread that waits for it; a task that cannot be begun has failed."""
        source, file = self.sources[served.name], self._folder / f"{task_id}.json"
        held = contextlib.ExitStack()  # by it other replicas know that this one lives
        try:
            held.enter_context(only_writer(file))
            with writing(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                atomic_write(file, json.dumps(build_options(served.path, manifest, source)))
            process = _started([*self._command, "--config", str(file)])
        except Exception:
            with held:
                self._state.tasks.finish(task_id, "failed", {"error": "The rebuild could not be begun."})
                self._forget(task_id)
            raise
        words = (task_id, served, process, held)
        thread = threading.Thread(target=self._wait, args=words, name=f"rebuild {served.name}")
        self._running[served.name] = process, thread
        _log.info("index %s is being rebuilt", served.name)
        thread.start()

    def _wait(
        self, task_id: str, served: ServedIndex, process: subprocess.Popen[str], held: contextlib.ExitStack
    ) -> None:
        """Wait for a process, keep what came of it, and let go of what is held."""
        try:
            _, said = process.communicate()
            result = {} if process.returncode == 0 else {"error": self._reason(served, process.returncode, said)}
            ended: Literal["succeeded", "failed"] = "failed" if result else "succeeded"
            _log.info("the rebuild of index %s has %s%s", served.name, ended, f": {said[-2000:]}" if result else "")
            if self._kept(lambda: self._state.tasks.finish(task_id, ended, result)):
                self._forget(task_id)
        finally:
            held.close()
            with self._lock:
                self._running.pop(served.name, None)
                rebuild_lease(self._state, served.name).release()

    def _forget(self, task_id: str) -> None:
        """Remove the file of a rebuild."""
        (self._folder / f"{task_id}.json").unlink(missing_ok=True)

    def _reason(self, served: ServedIndex, code: int, said: str) -> str:
        """Why a process failed: the last line that it said, with names in the place of this machine's folders."""
        if self._ending:
            return STOPPED
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        if code < 0 or not lines:
            return f"The rebuild was ended from outside (exit code {code}). Ask for it again: it goes on where it was."
        last = lines[-1].replace(self.sources[served.name], "the source").replace(served.path, served.name)
        return shortened(str(published(last)), 500)

    def _kept(self, call: Callable[[], object]) -> bool:
        """Whether a call of the database was done, which is tried until the service ends."""
        while True:
            try:
                call()
                return True
            except ServiceError as error:
                _log.warning("the end of a rebuild cannot be kept yet: %s", error.message)
            if self._ending:
                return False
            threading.Event().wait(_PAUSE_SECONDS)


def named_sources(words: Sequence[str], indexes: Sequence[str]) -> dict[str, str]:
    """Name of an index -> source, of ``NAME=SOURCE`` words; a single index need not be named.

    Args:
        words: of ``--rebuild-source``.
        indexes: names of those that are served.

    Raises:
        UsageError: an index is not served, has two sources, or is not named among several.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, source = word.partition("=")
        if not (equals and name in indexes) and len(indexes) == 1:
            name, source = indexes[0], word
        if name not in indexes or not source:
            raise UsageError(
                f"serve: --rebuild-source {word[:100]!r} is no NAME=SOURCE of an index that is served: "
                f"{', '.join(indexes)}."
            )
        if name in found:
            raise UsageError(f"serve: the index {name!r} has two sources in --rebuild-source. Give one.")
        found[name] = source
    return found


def build_options(path: str, manifest: Manifest, source: str) -> dict[str, Any]:
    """Options of `interbert index build` that build an index anew as it was built, from a source.

    Args:
        path: of the index.
        manifest: of the build that is searched.
        source: what to build from.
    """
    mapping = manifest.mapping
    named = {
        "image_column": mapping["picture"],
        "image_id_column": mapping["picture_id"],
        "product_id_column": mapping["product_id"],
    }
    return {
        "model": _model(path, manifest),
        "source": source,
        "index": path,
        "text_columns": list(mapping["texts"]),
        "columns": [column.name for column in manifest.columns],
        "token_quantisation": manifest.token_quantisation,
        "mirrored": manifest.mirrored,
        "rebuild": True,
    } | {name: value for name, value in named.items() if value is not None}


def _model(path: str, manifest: Manifest) -> str:
    """The model of an index where it was, or else the index's own copy, which has another name."""
    with contextlib.suppress(CheckpointError):
        if model_fingerprint(manifest.model) == manifest.model_fingerprint:
            return manifest.model
    return str(model_folder(path, manifest.model_fingerprint))


def _started(words: list[str]) -> subprocess.Popen[str]:
    """A process that comes after others, on its own: signals of a terminal reach the service alone."""
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
    return process
