"""Reads LMDB and HDF5 in a process of its own: both libraries may crash on a damaged file, and then only this ends.

Run as a script, it imports nothing of this package. It writes frames to standard output: the length of a JSON header
(4 bytes, big-endian), the header, and the bytes that the header announces.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import Any

MAX_MEMORY = 1 << 30
"""Bytes of this process where the system can bound them (Linux): a text in HDF5, or a packed piece of an array, tells
its size by being read."""
_MAX_NAME = 1000
_SHOWN = 8
"""Names of what is there that a message has."""


class _UnfitError(ValueError):
    """A sound file that does not hold what is needed."""


def main() -> None:
    """``isolated_reader.py lmdb|h5 PATH MAX_BYTES NAMES``; names: JSON of what fields are and may be called."""
    _bound_memory()
    kind, path, limit, names = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    try:
        if kind == "lmdb":
            _read_lmdb(path, limit)
        else:
            _read_h5(path, limit, names)
    except BrokenPipeError:  # the reader has what it wanted
        os._exit(0)
    except _UnfitError as error:
        _send({"unfit": " ".join(str(error).split())})
    except Exception as error:
        reason = _reason(error)
        _send({"error": reason.removeprefix(f"{path}: ")})
    _send({"end": True})


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))


def _send(header: dict[str, Any], *parts: bytes | memoryview) -> None:
    raw = json.dumps(header).encode()
    out = sys.stdout.buffer
    out.write(struct.pack(">I", len(raw)) + raw)
    for part in parts:
        out.write(part)
    out.flush()  # a crash later takes nothing of this with it


def _reason(error: Exception) -> str:
    """What a library says, on one line; what it says of memory is that the limit is passed."""
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return f"needs more than {MAX_MEMORY:,} bytes of memory" if isinstance(error, MemoryError) else said


def _read_lmdb(path: str, limit: int) -> None:
    import lmdb

    environment = lmdb.open(
        path, subdir=os.path.isdir(path), readonly=True, lock=False, readahead=True, max_readers=1, max_dbs=0
    )
    file = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if os.path.getsize(file) < needed:
        raise ValueError(f"the file is cut off: it has {os.path.getsize(file):,} bytes of {needed:,}")
    with environment.begin(buffers=True) as transaction:
        _send({"total": environment.stat()["entries"]})
        for name in (b"keys", b"__keys__"):
            value = transaction.get(name)
            if value is not None:
                _send_value(name, value, limit * 8)
        for key, value in transaction.cursor():
            name = bytes(key)
            if name not in (b"keys", b"__keys__"):
                _send_value(name, value, limit)


def _send_value(key: bytes, value: Any, limit: int) -> None:
    header = {"key": key[:1000].decode("latin1")}
    if len(value) > limit:
        _send({**header, "problem": f"has {len(value):,} bytes; at most {limit:,} are read"})
    else:
        _send({**header, "bytes": len(value)}, value)


def _read_h5(path: str, limit: int, names: dict[str, list[str]]) -> None:
    """Groups with the arrays of an image each, or arrays with a row per image.

    Raises:
        _UnfitError: it is neither.
    """
    import h5py

    known = [name for called in names.values() for name in called]
    # a packed piece is kept until the next is needed: it is not unpacked anew for each row that lies in it
    with h5py.File(path, "r", rdcc_nbytes=limit) as file:
        keys = list(file.keys())
        linked = next((name for name in known if _is_link(file, name)), None)
        if linked is not None:
            raise _UnfitError(f"{linked} {_LINK}")
        flat = {name: file[name] for name in known if _is(file, name, h5py.Dataset)}
        features = next((name for name in names["features"] if name in flat), None)
        if features is not None:
            if not any(name in flat for name in names["row ids"]):
                raise _UnfitError(f"has {features}, but no image ids: {_looked_for(keys, names['row ids'])}")
            _read_flat(flat, features, limit)
            return
        if keys and all(_is(file, name, h5py.Dataset) for name in keys[:_SHOWN]):
            raise _UnfitError(f"has no features: {_looked_for(keys, names['features'])}")
        _send({"total": len(keys)})
        for name in keys:
            try:
                if len(name) > _MAX_NAME:
                    raise ValueError(f"a name of {len(name):,} characters; at most {_MAX_NAME:,} are read")
                arrays = _of_group(file, name, known, names["features"], limit)
            except Exception as error:
                _send({"key": name[:_MAX_NAME], "problem": f"cannot be read ({_reason(error)})"})
                continue
            _send_arrays(name, arrays)


def _of_group(file: Any, name: str, known: list[str], features: list[str], limit: int) -> dict[str, Any]:
    """A group's arrays, within a limit of all their bytes.

    Raises:
        ValueError: it is no group, has no known arrays, links elsewhere, or has too much.
    """
    import h5py

    if _is_link(file, name):
        raise ValueError(_LINK)
    group = file[name]
    if not isinstance(group, h5py.Group):
        raise ValueError("an array, not a group of an image's arrays")
    linked = next((field for field in known if _is_link(group, field)), None)
    if linked is not None:
        raise ValueError(f"{linked} {_LINK}")
    found = {field: group[field] for field in known if _is(group, field, h5py.Dataset)}
    if not found:
        raise ValueError(_looked_for(list(group.keys()), features))
    return _values(found, limit)


_LINK = "is a link, which is not followed; copy the file with h5repack or h5py so that it holds what it links to"


def _is_link(group: Any, name: str) -> bool:
    """Whether a name in a group is no object there: a soft link, or one into another file."""
    import h5py

    links = group.id.links
    return bool(links.exists(name.encode()) and links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD)


def _values(datasets: dict[str, Any], limit: int, row: int | None = None) -> dict[str, Any]:
    """Arrays and texts of one image, within a limit of all their bytes."""
    left, values = limit, {}
    for name, one in datasets.items():
        values[name] = _whole(one, limit, left, row if one.ndim else None)
        left -= len(values[name]) if isinstance(values[name], bytes) else values[name].nbytes
    return values


def _is(group: Any, name: str, kind: type) -> bool:
    try:
        return name in group and isinstance(group[name], kind)
    except Exception:  # damaged: whoever reads it says so
        return False


def _looked_for(there: list[str], names: list[str]) -> str:
    shown = ", ".join(there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "")
    return f"its fields are {shown[:200] or 'none'}; looked for {', '.join(names)}"


def _read_flat(flat: dict[str, Any], features: str, limit: int) -> None:
    """Arrays with one row per image, or one value for all.

    Raises:
        _UnfitError: they have different numbers of rows.
    """
    for name, one in flat.items():
        if _elsewhere(one):
            raise _UnfitError(f"{name} {_elsewhere(one)}")
    count = flat[features].shape[0] if flat[features].ndim else 0
    for name, one in flat.items():
        if one.ndim and one.shape[0] != count:
            raise _UnfitError(f"{name} has {one.shape[0]:,} rows, {features} has {count:,}. Which belong together?")
    _send({"total": count})
    for row in range(count):
        try:
            arrays = _values(flat, limit, row)
        except Exception as error:
            _send({"key": "", "problem": f"cannot be read ({_reason(error)})"})
            continue
        _send_arrays("", arrays)


def _elsewhere(dataset: Any) -> str:
    """Where else a dataset's values lie; empty when in the file. Asks nothing that would open another file."""
    import h5py

    plan = dataset.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL:
        return "lies in other files (a virtual dataset), which are not opened"
    return "lies in other files (external storage), which are not opened" if plan.get_external_count() else ""


def _whole(dataset: Any, limit: int, left: int, row: int | None = None) -> Any:
    """A dataset, or one row of it, of at most ``left`` bytes; what it says of its size is checked before it is read.

    Raises:
        ValueError: it is larger, or is no array of numbers or a text.
    """
    import numpy as np

    if _elsewhere(dataset):
        raise ValueError(_elsewhere(dataset))
    kind, shape = dataset.dtype, dataset.shape if row is None else dataset.shape[1:]
    if kind.base.kind not in "fiubS" and (_is_not_text(kind) or shape):
        raise ValueError(f"an array of {str(kind)[:100]}")
    piece = _size(dataset.chunks or (), kind)
    if piece > limit:
        raise ValueError(f"stored in chunks of {piece:,} bytes; at most {limit:,} are read. Use h5repack -l CHUNK=...")
    size = _size(shape, kind)
    if size > left:
        raise ValueError(f"an array of {size:,} bytes; at most {limit:,} are read, of all that an image has")
    value = dataset[()] if row is None else dataset[row]
    if isinstance(value, str | bytes):
        text = value if isinstance(value, bytes) else value.encode()
        if len(text) > left:
            raise ValueError(f"a text of {len(text):,} bytes; at most {limit:,} are read, of all that an image has")
        return text
    return np.asarray(value)


def _size(shape: tuple[int, ...], kind: Any) -> int:
    size = int(kind.itemsize)
    for side in shape:
        size *= side
    return size


def _is_not_text(kind: Any) -> bool:
    import h5py

    return h5py.check_string_dtype(kind) is None


def _send_arrays(key: str, arrays: dict[str, Any]) -> None:
    fields, parts = [], []
    for name, value in arrays.items():
        raw = value if isinstance(value, bytes) else value.tobytes()
        kind = None if isinstance(value, bytes) else value.dtype.str
        fields.append([name, kind, [] if kind is None else list(value.shape), len(raw)])
        parts.append(raw)
    _send({"key": key, "fields": fields}, *parts)


if __name__ == "__main__":
    main()
