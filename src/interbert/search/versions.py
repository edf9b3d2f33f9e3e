"""Versions of an index that searches stay with, so that pages fit together while products and models change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from interbert.errors import CheckpointError, InterBertError, VersionGone
from interbert.search.hits import Index
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.query_encoder import ProductEncoder

if TYPE_CHECKING:
    from interbert.search.memory import RowsInMemory
    from interbert.search.memory_index import MemoryIndex

_VERSIONS = 16
"""Kept open."""
_MODELS = 2
"""Kept in memory."""
IN_MEMORY = "source@1"
"""The only version of the images of a source."""


class View:
    """An index as it was at one version, for good, and its model.

    Attributes:
        index: never changes.
        encoder: of the index's build.
        version: table and version of the table.
        rows: in memory, once that pays (:func:`interbert.search.recall.recall`).
        in_memory: the vectors of a large version, where recall is in memory
            (:mod:`interbert.search.memory_versions`).
        seconds: that the database took for searches of this version.
        lock: of who reads the rows into memory.
    """

    def __init__(self, index: Index, encoder: ProductEncoder, version: str) -> None:
        self.index = index
        self.encoder = encoder
        self.version = version
        self.size = len(index)
        self.rows: RowsInMemory | None = None
        self.in_memory: MemoryIndex | None = None
        self.seconds = 0.0
        self.lock = threading.Lock()


class Versions:
    """Versions of an index, the last used of which are kept open. Threads may share it.

    Args:
        index: opened.
        encoder: the index's model.

    Attributes:
        waits: for the model of a new build; where it is False the build before is searched until a thread has loaded
            the model.
    """

    def __init__(self, index: Index, encoder: ProductEncoder) -> None:
        self._index = index
        self._bf16, self._joint_runtime = encoder.bf16, encoder.joint_runtime
        self._views: OrderedDict[str, View] = OrderedDict()
        self._encoders: dict[str, ProductEncoder] = {}
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self.waits = True
        self._newest: View | None = None
        self._failed: set[str] = set()
        """Builds whose model a thread could not load."""
        self._now = index.pinned()
        if isinstance(self._now, ProductIndex):
            self._encoders[self._now.manifest.model_fingerprint] = encoder
        else:
            self._views[IN_MEMORY] = View(self._now, encoder, IN_MEMORY)

    def version(self) -> str:
        """Of what a search would see now."""
        return _version(self._index.pinned())

    def newest(self) -> tuple[Index, ProductEncoder]:
        """The newest complete build, whose table may change, and its model."""
        index = self._index.pinned()
        return index, self.encoder(index) if isinstance(index, ProductIndex) else self._views[IN_MEMORY].encoder

    def view(self, version: str | None = None) -> View:
        """One version; the newest by default.

        Raises:
            VersionGone: it was cleaned up, or never was.
            CheckpointError: the newest build's model is not there.
            VectorIndexError: the index is damaged.
        """
        if version is not None:
            return self._view(version, newest=False)
        index, former = self._index.pinned(), self._newest
        if not self.waits and former is not None and isinstance(index, ProductIndex) and not self._has_model(index):
            if index.manifest.table in self._failed:
                return self._view(_version(index), newest=True)  # which tells the error
            if not self._loading.locked():
                threading.Thread(target=self._load, args=(index,), daemon=True).start()
            return former
        self._newest = self._view(_version(index), newest=True)
        return self._newest

    def _view(self, version: str, newest: bool) -> View:
        with self._lock:
            known = self._views.get(version)
            if known is not None:
                self._views.move_to_end(version)
                return known
        return self._open(version, newest)

    def _has_model(self, index: ProductIndex) -> bool:
        return index.manifest.model_fingerprint in self._encoders

    def _load(self, index: ProductIndex) -> None:
        """In a thread: load a new build's model, or leave its error to the next search."""
        try:
            self.encoder(index)
        except InterBertError:
            self._failed.add(index.manifest.table)

    def forget(self, view: View) -> bool:
        """Close a version that cannot be read where it is gone; returns whether it is."""
        try:
            if isinstance(view.index, ProductIndex):
                view.index.at(*parsed_version(view.version))
        except VersionGone:
            with self._lock:
                self._views.pop(view.version, None)
            return True
        return False

    def in_memory(self) -> list[View]:
        """Versions whose rows are in memory, those first that were not used for longest."""
        with self._lock:
            return [view for view in self._views.values() if view.rows is not None]

    def encoder(self, index: ProductIndex) -> ProductEncoder:
        """The model of a build, loaded once."""
        fingerprint = index.manifest.model_fingerprint
        known = self._encoders.get(fingerprint)
        if known is not None:  # whatever another thread is loading
            return known
        with self._loading:
            if fingerprint not in self._encoders:
                encoder = index_encoder(index, bf16=self._bf16, joint_runtime=self._joint_runtime)
                encoder.scorer.prepare()  # else the first search of a new build would wait for it
                self._encoders[fingerprint] = encoder
                while len(self._encoders) > _MODELS:
                    self._encoders.pop(next(iter(self._encoders)))
            return self._encoders[fingerprint]

    def _open(self, version: str, newest: bool) -> View:
        if not isinstance(self._index, ProductIndex):
            raise VersionGone.of(version)
        index = self._index.pinned().at(*parsed_version(version))
        try:
            view = View(index, self.encoder(index), version)
        except CheckpointError as error:  # models of builds that nobody searches any more are removed
            if newest:
                raise
            raise VersionGone.of(version) from error
        with self._lock:
            view = self._views.setdefault(version, view)  # of another thread, meanwhile
            self._views.move_to_end(version)
            while len(self._views) > _VERSIONS:
                self._views.popitem(last=False)
        return view


def _version(index: Index) -> str:
    return f"{index.manifest.table}@{index.number()}" if isinstance(index, ProductIndex) else IN_MEMORY


def parsed_version(version: str) -> tuple[str, int]:
    """Table and number of a version's name.

    Raises:
        VersionGone: it is no such name.
    """
    table, _, number = version.rpartition("@")
    if not table or not (number.isascii() and number.isdecimal()) or len(number) > 18:
        raise VersionGone.of(version)
    return table, int(number)
