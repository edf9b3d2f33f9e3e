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

_SHOWN = 8
"""Names of what is there that a message has."""


class _UnfitError(ValueError):
    """A sound file that does not hold what is needed."""


def main() -> None:
    """``isolated_reader.py lmdb|h5 PATH MAX_BYTES NAMES``; names: JSON of what fields are and may be called."""
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
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        _send({"error": reason.removeprefix(f"{path}: ")})
    _send({"end": True})


def _send(header: dict[str, Any], *parts: bytes | memoryview) -> None:
    raw = json.dumps(header).encode()
    out = sys.stdout.buffer
    out.write(struct.pack(">I", len(raw)) + raw)
    for part in parts:
        out.write(part)
    out.flush()  # a crash later takes nothing of this with it


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
    """Groups with the arrays of a picture each, or arrays with a row per picture.

    Raises:
        _UnfitError: it is neither.
    """
    import h5py

    known = [name for called in names.values() for name in called]
    with h5py.File(path, "r") as file:
        keys = list(file.keys())
        flat = {name: file[name] for name in known if _is(file, name, h5py.Dataset)}
        features = next((name for name in names["features"] if name in flat), None)
        if features is not None:
            if not any(name in flat for name in names["row ids"]):
                raise _UnfitError(f"has {features}, but no picture ids: {_looked_for(keys, names['row ids'])}")
            _read_flat(flat, features, limit)
            return
        if keys and all(_is(file, name, h5py.Dataset) for name in keys[:_SHOWN]):
            raise _UnfitError(f"has no features: {_looked_for(keys, names['features'])}")
        _send({"total": len(keys)})
        for name in keys:
            try:
                group = file[name]
                if not isinstance(group, h5py.Group):
                    raise ValueError("an array, not a group of a picture's arrays")
                arrays = {field: _whole(group[field], limit) for field in known if _is(group, field, h5py.Dataset)}
                if not arrays:
                    raise ValueError(_looked_for(list(group.keys()), names["features"]))
            except Exception as error:
                _send({"key": name, "problem": f"cannot be read ({str(error)[:300]})"})
                continue
            _send_arrays(name, arrays)


def _is(group: Any, name: str, kind: type) -> bool:
    try:
        return name in group and isinstance(group[name], kind)
    except Exception:  # damaged: whoever reads it says so
        return False


def _looked_for(there: list[str], names: list[str]) -> str:
    shown = ", ".join(there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "")
    return f"its fields are {shown[:200] or 'none'}; looked for {', '.join(names)}"


def _read_flat(flat: dict[str, Any], features: str, limit: int) -> None:
    """Arrays with one row per picture, or one value for all.

    Raises:
        _UnfitError: they have different numbers of rows.
    """
    count = flat[features].shape[0] if flat[features].ndim else 0
    for name, one in flat.items():
        if one.ndim and one.shape[0] != count:
            raise _UnfitError(f"{name} has {one.shape[0]:,} rows, {features} has {count:,}. Which belong together?")
    _send({"total": count})
    for row in range(count):
        try:
            arrays = {name: _whole(one, limit, row if one.ndim else None) for name, one in flat.items()}
        except Exception as error:
            _send({"key": "", "problem": f"cannot be read ({str(error)[:200]})"})
            continue
        _send_arrays("", arrays)


def _whole(dataset: Any, limit: int, row: int | None = None) -> Any:
    import numpy as np

    shape = dataset.shape if row is None else dataset.shape[1:]
    size = dataset.dtype.itemsize
    for side in shape:
        size *= side
    if size > limit:
        raise ValueError(f"an array of {size:,} bytes; at most {limit:,} are read")
    value = dataset[()] if row is None else dataset[row]
    if isinstance(value, str | bytes):
        return value if isinstance(value, bytes) else value.encode()
    array = np.asarray(value)
    if array.dtype.kind not in "fiubS":
        raise ValueError(f"an array of {array.dtype}")
    return array


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
