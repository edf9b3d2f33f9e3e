"""Named records of a file that another process reads."""

from __future__ import annotations

from typing import ClassVar, Literal

from interbert.regions.importers.isolated import IsolatedFile
from interbert.regions.importers.named import NAMES, NamedSource
from interbert.regions.importers.sizes import SizeIndex


class IsolatedSource(NamedSource):
    """A file of named records. A subclass says which library reads it, and how its records look.

    Args:
        source: as the user wrote it.
        feature_size: floats of a region; None takes the file's.
        num_classes: classes with background, where records have object ids.
        sizes: images' sizes, where records have none.

    Raises:
        SourceError: it is no such file, or none of its first records can be read.
        MissingExtraError: the library is not installed.
    """

    kind: ClassVar[Literal["lmdb", "h5"]]

    def __init__(
        self,
        source: str,
        feature_size: int | None = None,
        num_classes: int | None = None,
        sizes: SizeIndex | None = None,
    ) -> None:
        self.name = source
        self._file = IsolatedFile(self.kind, source, NAMES)
        self.total = self._file.total
        self.settle(feature_size, num_classes, sizes)
