"""A folder of one file per image: ``ID.npz`` with named arrays, or ``ID.npy`` with features and ``ID_info.npy``.

``.npz`` as bottom-up-attention.pytorch and UNITER write them (``x, bbox, num_bbox, image_h, image_w``;
``features, norm_bb, soft_labels``). ``.npy`` as MMF writes them: an array [N, F] and beside it a pickled dictionary
(``bbox, image_width, image_height, objects, cls_prob``), or one pickled dictionary with everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from interbert.errors import RegionError, SourceError
from interbert.regions.importers.fields import RecordSize, text_of
from interbert.regions.importers.named import NamedSource
from interbert.regions.importers.numpy_files import read_npy, read_npz
from interbert.regions.importers.rows import ForeignRow
from interbert.regions.importers.sizes import SizeIndex

_INFO = "_info.npy"


class NpyFolder(NamedSource):
    """A folder, with folders in it.

    Args:
        source: folder.
        feature_size: floats of a region; None takes the files'.
        num_classes: classes with background, where files have object ids alone.
        sizes: images' sizes, where files have none.

    Raises:
        SourceError: it is no folder, holds no such files, or none of the first can be read.
    """

    unit = "files"

    def __init__(
        self,
        source: str,
        feature_size: int | None = None,
        num_classes: int | None = None,
        sizes: SizeIndex | None = None,
    ) -> None:
        self.name = source
        self._folder = Path(source).expanduser()
        if not self._folder.is_dir():
            raise SourceError(f"{source}: there is no such folder.")
        self.total = sum(1 for _ in self._files())
        if not self.total:
            raise SourceError(f"{source}: the folder holds no .npz and no .npy files.")
        self.settle(feature_size, num_classes, sizes)

    def _files(self) -> Iterator[Path]:
        """Every image's file, in the order of names; a folder's names are in memory, not the tree's."""
        for folder, folders, names in os.walk(self._folder):
            folders.sort()
            for name in sorted(names):
                if name.lower().endswith((".npz", ".npy")) and not name.endswith(_INFO):
                    yield Path(folder, name)

    def records(self) -> Iterator[tuple[ForeignRow | None, str, str, Callable[[], Mapping[str, Any]]]]:
        """Every record in order."""
        for file in self._files():
            where = str(file)
            try:
                name = text_of(file.relative_to(self._folder).with_suffix("").as_posix(), "its name", where)
            except RegionError:
                name = ""
            yield None, where, name, lambda file=file, name=name: _fields(file, name)  # type: ignore[misc]


def _fields(file: Path, name: str) -> Mapping[str, Any]:
    where = str(file)
    if not name:
        raise RegionError(f"{where!r}: its name is no text.")
    if file.suffix.lower() == ".npz":
        arrays = dict(read_npz(file, where))
        info = arrays.get("info")
        return {**_named(info), **arrays} if isinstance(info, dict) else arrays
    size = RecordSize(where)
    value = read_npy(file, where, size)
    if isinstance(value, dict):
        return _named(value)
    if not isinstance(value, np.ndarray):
        raise RegionError(f"{where}: holds a {type(value).__name__}, not an array or named arrays.")
    beside = file.with_name(file.stem + _INFO)
    if not beside.is_file():
        raise RegionError(f"{where}: has no boxes: {beside.name} is not beside it.")
    info = read_npy(beside, str(beside), size)
    if not isinstance(info, dict):
        raise RegionError(f"{beside}: holds a {type(info).__name__}, not a dictionary.")
    return {**_named(info), "features": value}


def _named(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): one for key, one in value.items()}
