"""Which versions of an index are in memory, and who reads them: small changes at once, large ones in a thread."""

from __future__ import annotations

import logging
import threading
from typing import Literal

from interbert.errors import InterBertError
from interbert.search.ann_parameters import needs_probing
from interbert.search.compact_vectors import faiss_module
from interbert.search.index import ProductIndex
from interbert.search.memory_contents import Contents
from interbert.search.memory_index import MemoryIndex
from interbert.search.versions import View, parsed_version

RecallFrom = Literal["disk", "memory"]
"""Where the vectors of a large index are compared: by LanceDB, which reads them from the disk, or in memory."""

_AT_ONCE = 5_000
"""Rows that a search reads by itself: tens of milliseconds."""
_WASTED = 0.25
"""Share of rows in memory that are not in the newest version, from which all is read anew."""

_LOGGER = logging.getLogger("interbert.search")


class MemoryVersions:
    """An index's versions in memory. Threads may share it.

    Indexes of which all vectors are compared are left to :class:`~interbert.search.memory.RowsInMemory`.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    def __init__(self) -> None:
        faiss_module()
        self._contents: Contents | None = None
        self._lock = threading.Lock()
        self._failed: set[str] = set()
        """Versions that could not be read."""
        self._number = 0
        """The latest version of the table that is in memory."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return 0 if self._contents is None else self._contents.nbytes

    def of(self, view: View) -> MemoryIndex | None:
        """A version in memory; None while a thread reads it, and for an index that needs none."""
        if view.in_memory is not None or not isinstance(view.index, ProductIndex) or not needs_probing(view.size):
            return view.in_memory
        if view.version in self._failed or not self._lock.acquire(blocking=False):
            return None
        try:
            contents = self._contents
            known = contents is not None and contents.table == view.index.manifest.table
            if self._is_past(view, view.index):
                return None
            if contents is not None and known and contents.lacking(view.index) <= _AT_ONCE:
                self._take(view, view.index, contents)
                if _is_wasteful(contents, view):
                    self._start(view, view.index)
            else:
                self._start(view, view.index)
        except InterBertError:  # damaged, or gone: the search itself will say
            self._failed.add(view.version)
        finally:
            self._lock.release()
        return view.in_memory

    def read(self, view: View) -> None:
        """Read a version now, however long that takes.

        Raises:
            VectorIndexError: it cannot be read.
        """
        if view.in_memory is None and isinstance(view.index, ProductIndex) and needs_probing(view.size):
            with self._lock:
                self._read(view, view.index, anew=False)

    def _start(self, view: View, index: ProductIndex) -> None:
        threading.Thread(target=self._read_aside, args=(view, index), daemon=True).start()

    def _read_aside(self, view: View, index: ProductIndex) -> None:
        with self._lock:
            try:
                self._read(view, index, anew=view.in_memory is not None)
            except InterBertError as error:
                self._failed.add(view.version)
                _LOGGER.warning("recall stays on the disk for %s: %s", view.version, error)

    def _read(self, view: View, index: ProductIndex, anew: bool) -> None:
        contents = self._contents
        if (view.in_memory is not None and not anew) or self._is_past(view, index):
            return  # another thread has read it, or a later version, meanwhile
        if anew and contents is not None and not _is_wasteful(contents, view):
            return
        if anew or contents is None or contents.table != index.manifest.table:
            contents = Contents(index)
        self._take(view, index, contents)
        self._contents = contents

    def _is_past(self, view: View, index: ProductIndex) -> bool:
        """Whether a later version of the table is in memory, which has forgotten what only this one has."""
        known = self._contents is not None and self._contents.table == index.manifest.table
        return known and parsed_version(view.version)[1] < self._number

    def _take(self, view: View, index: ProductIndex, contents: Contents) -> None:
        contents.read(index)
        view.in_memory = MemoryIndex(index, contents)
        self._number = parsed_version(view.version)[1]


def _is_wasteful(contents: Contents, view: View) -> bool:
    return view.in_memory is not None and len(view.in_memory) < (1 - _WASTED) * len(contents.vectors)
