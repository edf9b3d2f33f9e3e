"""HDF5 files: VOLTA's (a group per image) and ViLBERT's (arrays with a row per image).

VOLTA: group ``ID`` with ``features, boxes, img_w, img_h, obj_id, obj_conf, attr_id, attr_conf``. ViLBERT: ``image_id``,
``features`` [images, N, F] and whatever else has a row per image (``boxes, num_boxes,
image_w, image_h, cls_prob``).
Any of the names in :data:`interbert.regions.importers.named.NAMES` will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from interbert.errors import RegionError
from interbert.regions.importers.isolated import IsolatedSource, Record
from interbert.regions.importers.named import id_of
from interbert.regions.importers.rows import ForeignRow


class H5(IsolatedSource):
    """One HDF5 file."""

    kind = "h5"

    def records(self) -> Iterator[tuple[ForeignRow | None, str, str, Callable[[], Mapping[str, Any]]]]:
        """Every record in order."""
        for number, record in enumerate(self._file.records()):
            where = f"{self.name}, {record.key or f'row {number}'}"[:300]
            name, problem = record.key, record.problem
            if not name and not problem:
                try:
                    name = id_of(record.arrays, where, "row ids")
                except RegionError as error:
                    problem = str(error).removeprefix(f"{where}: ").rstrip(".")
            yield None, where, name, _reader(record, where, problem)


def _reader(record: Record, where: str, problem: str | None) -> Callable[[], Mapping[str, Any]]:
    def read() -> Mapping[str, Any]:
        if problem:
            raise RegionError(f"{where}: {problem}.")
        return record.arrays

    return read
