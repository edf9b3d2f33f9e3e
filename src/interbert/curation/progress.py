"""How far a build has come: a folder inside the output that a killed build goes on with, and that ends with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError, UsageError, writing
from interbert.utils.bounded_files import reading
from interbert.utils.files import atomic_write, is_part, replacing

WORK = ".build"
MANIFEST = "manifest.json"
_STATE, _CHUNKS = "state.json", "chunks"
_REMEDY = "Remove the folder .build in it, and run the same command again."


class BuildProgress:
    """Files of the stages that are done.

    Args:
        out: folder of the data set.

    Raises:
        StorageError: it cannot be made.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / WORK
        self.chunks = self.folder / _CHUNKS

    def begin(self, asked: Mapping[str, Any]) -> bool:
        """Begin, or go on with what was begun for the same; whether all is done.

        Args:
            asked: the recipe and the source, as JSON has them.

        Raises:
            UsageError: the folder was begun for something else, or holds other files.
        """
        out = self.out
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out}: is no folder. Name another.")
        done = out / MANIFEST
        state = self.folder / _STATE
        if done.is_file():
            self._require_same(self._read(done), asked)
            self._tidy()
            return not self.folder.exists()
        if state.is_file():
            self._require_same(self._read(state), asked)
        elif out.is_dir() and any(not is_part(file) and file != self.folder for file in out.iterdir()):
            raise UsageError(f"{out}: holds files, and no data set of this command. Name an empty or a new folder.")
        with writing(out):
            self.chunks.mkdir(parents=True, exist_ok=True)
        self._tidy()
        if not state.is_file():
            atomic_write(state, json.dumps(asked, ensure_ascii=False, indent=1))
        return False

    def _read(self, file: Path) -> Any:
        with reading(file, _REMEDY):
            return json.loads(file.read_text(encoding="utf-8"))

    def _require_same(self, before: Any, asked: Mapping[str, Any]) -> None:
        if not isinstance(before, dict):
            raise DataError(f"{self.out}: holds what this command did not write. Name another folder.")
        changed = _differences({name: before.get(name) for name in asked}, asked)
        if changed:
            raise UsageError(
                f"{self.out}: was made with another {', '.join(changed[:8])}. Give the same, name another folder, "
                "or remove this one."
            )

    def _tidy(self) -> None:
        """Remove what a killed process left of the files that it was writing."""
        for folder in (self.out, self.folder, self.chunks, self.out / "samples"):
            for file in folder.iterdir() if folder.is_dir() else ():
                if is_part(file):
                    file.unlink(missing_ok=True)

    def json(self, name: str, make: Callable[[], Any]) -> Any:
        """What a stage made as JSON, made when it is not there."""
        file = self.folder / f"{name}.json"
        if not file.is_file():
            atomic_write(file, json.dumps(make(), ensure_ascii=False))
        return self._read(file)

    def array(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What a stage made as an array, made when it is not there."""
        file = self.folder / f"{name}.npy"
        if not file.is_file():
            made = make()
            with replacing(file) as part, part.open("wb") as stream:
                np.save(stream, made, allow_pickle=False)
        with reading(file, _REMEDY):
            found: NDArray[Any] = np.load(file, allow_pickle=False)
            return found

    def end(self) -> None:
        """Remove the folder: the data set is whole."""
        with writing(self.folder):
            shutil.rmtree(self.folder)


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Names of what differs, such as ``recipe.splits.seed``."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return [one for key in keys for one in _differences(before.get(key), now.get(key), f"{name}.{key}".strip("."))]
    return [] if before == now else [name]
