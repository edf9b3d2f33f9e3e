"""Many region stores read as one, each visited as often as its weight says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from interbert.regions.schema import CaptionRow, RegionReader, Regions
from interbert.regions.store import RegionStore


class StoreMix(RegionReader):
    """Stores of one extractor, their rows numbered one store after the other.

    Args:
        stores: folders or URIs, and their weights: how often an epoch visits each of their pairs. 1 is once, 2 twice;
            of pairs with 0.5 every epoch draws half, anew, so that a pair may come in two epochs running or in none
            of them; with 1.5 all come once and half of them again.

    Raises:
        StoreError: a store is missing, damaged, or made by another extractor than the first.
    """

    def __init__(self, stores: Mapping[str, float]) -> None:
        self._stores = [RegionStore.open(path) for path in stores]
        self._weights = list(stores.values())
        self.info = self._stores[0].info
        for store in self._stores[1:]:
            store.require(self.info)
        self.path, self.folder = ", ".join(stores), self._stores[0].folder
        self._starts = np.cumsum([0] + [len(store) for store in self._stores])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def fingerprint(self) -> str:
        """Identifies the data of all stores."""
        return " + ".join(store.fingerprint for store in self._stores)

    def captions(self) -> Iterator[CaptionRow]:
        """Every row; ids are kept apart by store, equal image files are still known by their digest."""
        for number, (store, start) in enumerate(zip(self._stores, self._starts.tolist(), strict=False)):
            for one in store.captions():
                product = f"{number}:{one.product_id}" if one.product_id else ""
                image = f"{number}:{one.image_id}"
                yield replace(one, row=one.row + start, image_id=image, product_id=product)

    def take(self, rows: Sequence[int]) -> list[Regions]:
        """Regions of rows, in the asked order; each store is read once."""
        wanted = np.asarray(rows, dtype=np.int64)
        owners = self._owners(wanted)
        found: list[Regions | None] = [None] * len(wanted)
        for number in np.unique(owners):
            places = np.flatnonzero(owners == number)
            own = (wanted[places] - self._starts[number]).tolist()
            for place, regions in zip(places, self._stores[number].take(own), strict=True):
                found[place] = regions
        return [one for one in found if one is not None]

    def visits(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """[n] how often an epoch visits each of some rows."""
        return np.array(self._weights)[self._owners(rows)]

    def _owners(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._starts, rows, side="right") - 1
