"""What training reads: one region store, or many as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import StoreError
from interbert.regions.schema import CaptionRow, ExtractorInfo, Regions


class RegionReader(ABC):
    """Rows of regions and captions, by number."""

    path: str
    """For messages."""
    folder: str
    """Where weights of the extractor lie that were trained here."""
    info: ExtractorInfo

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the data."""

    @abstractmethod
    def captions(self) -> Iterator[CaptionRow]:
        """Every row without its regions, one after the other."""

    @abstractmethod
    def take(self, rows: Sequence[int]) -> list[Regions]:
        """Regions of rows, in the asked order."""

    def require(self, info: ExtractorInfo) -> None:
        """Check that ``info``'s extractor made this store.

        Raises:
            StoreError: saying what differs and the remedy.
        """
        if self.info.fingerprint != info.fingerprint:
            raise StoreError(
                f"{self.path}: was made by another extractor ({self.info.differences(info)}). Extract into another "
                "folder, or give the settings the store was made with."
            )

    def feature_statistics(self, max_rows: int = 2048, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and standard deviation (at least 1e-3) of every feature, f32 [F] each, over a sample of rows."""
        count = len(self)
        rows = np.random.default_rng(seed).permutation(count)[:max_rows]
        total, squares, seen = 0.0, 0.0, 0
        for start in range(0, len(rows), 256):
            for regions in self.take(np.sort(rows[start : start + 256]).tolist()):
                values = regions.features.astype(np.float64)
                total, squares, seen = (
                    total + values.sum(0),
                    squares + np.square(values).sum(0),
                    seen + len(values),
                )
        mean = np.asarray(total) / max(seen, 1)
        variance = np.asarray(squares) / max(seen, 1) - np.square(mean)
        return mean.astype(np.float32), np.sqrt(variance.clip(min=1e-6)).astype(np.float32)

    def pooled_features(self, batch_rows: int = 512) -> NDArray[np.float32]:
        """Mean region feature of every row, [len,F], read in order without holding the whole store."""
        pooled = [
            regions.features.mean(axis=0, dtype=np.float32)
            for start in range(0, len(self), batch_rows)
            for regions in self.take(range(start, min(start + batch_rows, len(self))))
        ]
        return np.stack(pooled)
