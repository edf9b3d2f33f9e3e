"""Versions of an index that searches stay with, so that pages fit together while products and models change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from interbert.errors import CheckpointError, VersionGone
from interbert.search.hits import Index
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.query_encoder import ProductEncoder

if TYPE_CHECKING:
    from interbert.search.memory import RowsInMemory

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
        seconds: that the database took for searches of this version.
        lock: of who reads the rows into memory.
    """

    def __init__(self, index: Index, encoder: ProductEncoder, version: str) -> None:
        self.index = index
        self.encoder = encoder
        self.version = version
        self.size = len(index)
        self.rows: RowsInMemory | None = None
        self.seconds = 0.0
        self.lock = threading.Lock()


class Versions:
    """Versions of an index, the last used of which are kept open. Threads may share it.

    Args:
        index: opened.
        encoder: the index's model.
    """

    def __init__(self, index: Index, encoder: ProductEncoder) -> None:
        self._index = index
        self._bf16 = encoder.bf16
        self._views: OrderedDict[str, View] = OrderedDict()
        self._encoders: OrderedDict[str, ProductEncoder] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._now = index.pinned()
        if isinstance(self._now, ProductIndex):
            self._encoders[self._now.manifest.model_fingerprint] = encoder
        else:
            self._views[IN_MEMORY] = View(self._now, encoder, IN_MEMORY)

    def version(self) -> str:
        """Of what a search would see now."""
        index = self._index.pinned()
        return f"{index.manifest.table}@{index.number()}" if isinstance(index, ProductIndex) else IN_MEMORY

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
        wanted = version or self.version()
        with self._lock:
            known = self._views.get(wanted)
            if known is not None:
                self._views.move_to_end(wanted)
                return known
        return self._open(wanted, newest=version is None)

    def forget(self, view: View) -> bool:
        """Close a version that cannot be read where it is gone; returns whether it is."""
        try:
            if isinstance(view.index, ProductIndex):
                view.index.at(*_parsed(view.version))
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
        with self._loading:
            if fingerprint not in self._encoders:
                self._encoders[fingerprint] = index_encoder(index, bf16=self._bf16)
            self._encoders.move_to_end(fingerprint)
            while len(self._encoders) > _MODELS:
                self._encoders.popitem(last=False)
            return self._encoders[fingerprint]

    def _open(self, version: str, newest: bool) -> View:
        if not isinstance(self._index, ProductIndex):
            raise VersionGone.of(version)
        index = self._index.pinned().at(*_parsed(version))
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


def _parsed(version: str) -> tuple[str, int]:
    table, _, number = version.rpartition("@")
    if not table or not (number.isascii() and number.isdecimal()) or len(number) > 18:
        raise VersionGone.of(version)
    return table, int(number)
