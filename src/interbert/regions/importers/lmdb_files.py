"""The LMDB files of the published code: tensorpack's of its pretraining, and ViLBERT's and VOLTA's of fine-tuning."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from interbert.errors import MissingExtraError, RegionError, SourceError
from interbert.regions.importers.fields import MAX_ELEMENTS, text_of
from interbert.regions.importers.isolated import IsolatedFile, IsolatedSource, Record
from interbert.regions.importers.named import NamedSource, field_of, id_of
from interbert.regions.importers.pickles import UnsafePickleError, loads
from interbert.regions.importers.rows import ForeignRegions, ForeignRow, Offsets

_KEYS = "__keys__"
_MAX_MEMBERS = 4096
"""Members of one list or dictionary; arrays are none."""
_LAYOUTS = {
    8: ("features", "cls_prob", "boxes", "num_boxes", "image_h", "image_w", "image_id", "caption"),
    13: (
        *("features", "cls_prob", "obj_id", "obj_conf", "attr_id", "attr_conf", "attr_scores"),
        *("boxes", "num_boxes", "image_h", "image_w", "image_id", "caption"),
    ),
}
_OLD_PYARROW = (
    "was written by tensorpack through pyarrow, in a form that pyarrow has dropped. Read it once with pyarrow 11 or "
    "older and write it with TENSORPACK_SERIALIZE=msgpack; docs/importing.md has the lines"
)


class PretrainingLmdb(NamedSource):
    """A file, or a folder with ``data.mdb``.

    Args:
        source: file or folder.
        feature_size: floats of a region; None takes the file's.
        num_classes: classes with background, where records have object ids alone.

    Raises:
        SourceError: it is no LMDB, or none of its first records can be read.
        MissingExtraError: lmdb or msgpack is not installed.
    """

    def __init__(self, source: str, feature_size: int | None = None, num_classes: int | None = None) -> None:
        if importlib.util.find_spec("msgpack") is None:
            raise MissingExtraError.of("msgpack", "import")
        self.name = source
        self._file = IsolatedFile("lmdb", source)
        self.total = self._file.total
        first = next((one for one in self._file.records() if one.key != _KEYS), None)
        if first is not None and not first.problem and not _is_msgpack(first.content):
            raise SourceError(f"{source}: its first record {_OLD_PYARROW}.")
        self.settle(feature_size, num_classes, None)

    def records(self) -> Iterator[tuple[ForeignRow | None, str, str, Callable[[], Mapping[str, Any]]]]:
        """Every record in order."""
        for record in self._file.records():
            if record.key == _KEYS:
                continue
            where = f"{self.name}, key {record.key[:100]!r}"
            try:
                fields = _fields(record, where)
                name = id_of(fields, where)
            except RegionError as error:
                yield None, where, "", _raiser(error)
                continue
            yield None, where, name, lambda fields=fields: fields  # type: ignore[misc]


def _raiser(error: RegionError) -> Callable[[], Mapping[str, Any]]:
    def read() -> Mapping[str, Any]:
        raise error

    return read


def _is_msgpack(content: bytes) -> bool:
    """Whether a record begins as a msgpack list or map; pyarrow's begin with little-endian counts of tensors."""
    first = content[0] if content else 0
    return 0x81 <= first <= 0x9F or 0xDC <= first <= 0xDF


def _fields(record: Record, where: str) -> Mapping[str, Any]:
    import msgpack

    if record.problem:
        raise RegionError(f"{where}: {record.problem}.")
    if not _is_msgpack(record.content):
        raise RegionError(f"{where}: {_OLD_PYARROW}.")
    try:
        value = _unpacked(record.content)
    except RegionError as error:
        raise RegionError(f"{where}: {error}") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        msgpack.exceptions.UnpackException,
        RecursionError,
        OverflowError,
    ) as error:
        raise RegionError(f"{where}: is no whole msgpack record ({type(error).__name__}).") from error
    if isinstance(value, list) and len(value) in _LAYOUTS:
        return dict(zip(_LAYOUTS[len(value)], value, strict=True))
    if isinstance(value, dict):
        return {str(key): one for key, one in value.items()}
    count = len(value) if isinstance(value, list) else 0
    raise RegionError(f"{where}: is a {type(value).__name__} of {count} members; 8 or 13, or names, are expected.")


def _unpacked(content: bytes) -> Any:
    """The value of msgpack; each byte of it may be a list of its own, so they are counted."""
    import msgpack

    count = 0

    def counted(value: Any) -> Any:
        nonlocal count
        count += 1 + len(value)
        if count > MAX_ELEMENTS:
            raise RegionError(f"has more than {MAX_ELEMENTS:,} elements.")
        return _array(value) if isinstance(value, dict) else value

    return msgpack.unpackb(
        content,
        raw=False,
        strict_map_key=False,
        object_hook=counted,
        list_hook=counted,
        ext_hook=_refused,
        max_array_len=_MAX_MEMBERS,
        max_map_len=_MAX_MEMBERS,
    )


def _refused(code: int, content: bytes) -> Any:
    raise RegionError("a value of a type of its own is refused.")


def _array(value: dict[Any, Any]) -> Any:
    """msgpack-numpy's dictionaries as arrays, without its way to pickled objects."""
    plain = {(key.decode("latin1") if isinstance(key, bytes) else key): one for key, one in value.items()}
    if "nd" not in plain:
        return value
    kind, content = plain.get("type"), plain.get("data")
    if isinstance(kind, bytes):
        kind = kind.decode("latin1")
    if not isinstance(kind, str) or len(kind) > 4 or not isinstance(content, bytes):
        raise RegionError("an array has no type or no content.")
    dtype = np.dtype(kind)
    if dtype.kind not in "fiub":
        raise RegionError(f"an array of {dtype} is refused.")
    shape = plain.get("shape", ()) if plain["nd"] else ()
    sides = [side for side in shape if isinstance(side, int) and 0 <= side < 1 << 40] if shape else []
    if len(sides) != len(shape) or len(sides) > 8 or math.prod(sides) * dtype.itemsize != len(content):
        raise RegionError("an array's shape is not its content's.")
    array = np.frombuffer(content, dtype=dtype).reshape(sides)
    return array if plain["nd"] else array[()]


_FINETUNING_KEYS = "keys"
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
            if record.key == _FINETUNING_KEYS and not record.problem:
                try:
                    listed = Offsets(self._listed(record))
                except UnsafePickleError as error:
                    problem = f"{where}: cannot be read ({error}); whether all its ids are there is not known."
                    yield _missing(problem, "", 0), problem, "", dict
                continue
            listed.use(record.key)
            yield None, where, self._name(record), lambda record=record, where=where: _finetuning_fields(record, where)  # type: ignore[misc]
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


def _finetuning_fields(record: Record, where: str) -> Mapping[str, object]:
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
