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


def main() -> None:
    """``isolated_reader.py lmdb|h5 PATH MAX_BYTES``."""
    kind, path, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        (_read_lmdb if kind == "lmdb" else _read_h5)(path, limit)
    except BrokenPipeError:  # the reader has what it wanted
        os._exit(0)
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


def _read_h5(path: str, limit: int) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        names = list(file.keys())
        flat = {name: file[name] for name in names if isinstance(file[name], h5py.Dataset)} if len(names) < 30 else {}
        if "features" in flat:
            _read_flat(flat, limit)
            return
        _send({"total": len(names)})
        for name in names:
            try:
                group = file[name]
                arrays = {key: _whole(group[key], limit) for key in list(group.keys())[:30]}
            except Exception as error:
                _send({"key": name, "problem": f"cannot be read ({str(error)[:200]})"})
                continue
            _send_arrays(name, arrays)


def _read_flat(flat: dict[str, Any], limit: int) -> None:
    """Arrays with one row per picture."""
    count = flat["features"].shape[0] if flat["features"].ndim else 0
    rows = {name: one for name, one in flat.items() if one.ndim and one.shape[0] == count}
    _send({"total": count})
    for row in range(count):
        try:
            arrays = {name: _whole(one, limit, row) for name, one in rows.items()}
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
