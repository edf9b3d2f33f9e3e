"""The LMDB of the published code's fine-tuning, and of ViLBERT and VOLTA: a pickled dictionary per image.

Key: the image's id. Value: ``image_id, image_h, image_w, num_boxes, boxes, features`` with base64 of float32 (VOLTA
pickles plain arrays, and adds ``obj_id, obj_conf`` or ``cls_prob``). The record ``keys`` lists all ids. Pickles are
read by :mod:`interbert.regions.importers.pickles`, which builds data and runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from interbert.errors import RegionError
from interbert.regions.importers.fields import MAX_ELEMENTS, text_of
from interbert.regions.importers.isolated import Record
from interbert.regions.importers.isolated_source import IsolatedSource
from interbert.regions.importers.named import field_of
from interbert.regions.importers.pickles import UnsafePickleError, loads
from interbert.regions.importers.rows import ForeignRegions, ForeignRow
from interbert.regions.importers.scratch import Offsets

_KEYS = "keys"
_STEPS_A_KEY = 10
"""Steps of a pickle for one more id in the list of ids; protocol 2 takes 8."""
_MOST_KEYS = 4_000_000


class FinetuningLmdb(IsolatedSource):
    """A file, or a folder with ``data.mdb``."""

    kind = "lmdb"

    def records(self) -> Iterator[tuple[ForeignRow | None, str, str, Callable[[], Mapping[str, object]]]]:
        """Every record in order."""
        listed = Offsets(())
        for record in self._file.records():
            where = f"{self.name}, key {record.key[:100]!r}"
            if record.key == _KEYS and not record.problem:
                try:
                    listed = Offsets(self._listed(record))
                except UnsafePickleError as error:
                    problem = f"{where}: cannot be read ({error}); whether all its ids are there is not known."
                    yield _missing(problem, "", 0), problem, "", dict
                continue
            listed.use(record.key)
            yield None, where, self._name(record), lambda record=record, where=where: _fields(record, where)  # type: ignore[misc]
        for name in listed.unused():
            problem = f"{self.name}: the record 'keys' lists {name[:100]!r}, which is not there."
            yield _missing(problem, name, self.total), problem, name, dict

    def _listed(self, record: Record) -> Iterator[tuple[str, int]]:
        """Ids in the record ``keys``.

        Raises:
            UnsafePickleError: as :func:`loads`.
        """
        names = loads(record.content, MAX_ELEMENTS + _STEPS_A_KEY * min(int(self.total), _MOST_KEYS))
        for place, name in enumerate(names if isinstance(names, list) else []):
            yield (name.decode("latin1") if isinstance(name, bytes) else str(name)), place

    def _name(self, record: Record) -> str:
        try:
            return text_of(record.key.encode("latin1"), "the key", self.name)
        except RegionError:
            return record.key


def _fields(record: Record, where: str) -> Mapping[str, object]:
    if record.problem:
        raise RegionError(f"{where}: {record.problem}.")
    try:
        value = loads(record.content)
    except UnsafePickleError as error:
        raise RegionError(f"{where}: the pickle is refused: {error}.") from error
    if not isinstance(value, dict):
        raise RegionError(f"{where}: is a {type(value).__name__}, not a dictionary of fields.")
    fields = {(key.decode("latin1") if isinstance(key, bytes) else str(key)): one for key, one in value.items()}
    own = field_of(fields, "id")
    if own is not None and text_of(own, "the image's id", where) != record.key:
        raise RegionError(f"{where}: its own id is {text_of(own, 'the id', where)!r}.")
    return fields


def _missing(problem: str, name: str, total: float) -> ForeignRow:
    def read() -> ForeignRegions:
        raise RegionError(problem)

    return ForeignRow(-1, problem, name, total, read)
