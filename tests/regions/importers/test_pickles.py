"""The reader of pickles builds data and runs nothing."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interbert.regions.importers.pickles import UnsafePickleError, loads


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": b"\x00\xff", "c": "text 红", "d": 1.5, "e": None, "f": True},
        {"array": np.arange(6, dtype=np.float32).reshape(2, 3)},
        {"fortran": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))},
        {"scalar": np.float32(2.5), "whole": np.int64(7)},
        [b"1", b"2"],
        OrderedDict(x=np.zeros((1, 0))),
    ],
    ids=["plain", "array", "fortran", "scalars", "keys", "ordered"],
)
def test_data_is_read_back(value: Any, protocol: int) -> None:
    found = loads(pickle.dumps(value, protocol))
    assert type(found) in (dict, list)
    if isinstance(value, dict):
        assert found.keys() == value.keys()
        for name, one in value.items():
            np.testing.assert_array_equal(found[name], one)
            assert getattr(found[name], "dtype", None) == getattr(one, "dtype", None)
    else:
        assert found == value


def test_a_dictionary_in_an_array_of_objects_is_read_as_mmf_saves_it() -> None:
    info = {"bbox": np.ones((2, 4), np.float32), "image_width": 3}
    found = loads(pickle.dumps(np.array(info, dtype=object)))
    assert found["image_width"] == 3
    np.testing.assert_array_equal(found["bbox"], info["bbox"])


def refused(content: bytes) -> str | None:
    """Why a pickle is refused; None when it is data."""
    try:
        loads(content)
    except UnsafePickleError as error:
        return str(error)
    return None


class Runs:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def hostile(target: Path) -> dict[str, bytes]:
    """Pickles that would do harm, each by another operation."""
    command = f"touch {target}"
    named = f"c{os.system.__module__}\nsystem\n"
    return {
        "reduce": pickle.dumps({"image_id": Runs(os.system, command)}),
        "eval": pickle.dumps(Runs(eval, f"open({str(target)!r}, 'w')")),
        "text": f"{named}(S'{command}'\ntR.".encode(),
        "stack global": pickle.dumps(Runs(os.system, command), 4),
        "inst": f"(S'{command}'\ni{os.system.__module__}\nsystem\n.".encode(),
        "obj": f"({named}S'{command}'\no.".encode(),
        "newobj": b"\x80\x02cbuiltins\nobject\n)\x81.",
        "newobj of an allowed name": b"\x80\x02cnumpy\nndarray\n)\x81.",
        "getattr": f"cbuiltins\ngetattr\n(cos\n__dict__\nS'system'\ntR(S'{command}'\ntR.".encode(),
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
        "numpy's own load": b"\x80\x04\x8c\x05numpy\x8c\x04load\x93\x8c\x01x\x85R.",
        "encode by another codec": pickle.dumps(Runs(__import__("_codecs").encode, "x", "rot13")),
        "persistent": b"Pwhatever\n.",
        "extension": b"\x80\x02\x82\x01.",
        "change of a function": b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.",
        "a function as the value": b"\x80\x02cnumpy\ndtype\n.",
    }


def test_what_would_run_is_refused_and_does_not_run(tmp_path: Path) -> None:
    target = tmp_path / "harm"
    for name, content in hostile(target).items():
        assert refused(content), name
        assert not target.exists(), name


def test_the_refusal_names_what_the_pickle_wanted(tmp_path: Path) -> None:
    with pytest.raises(UnsafePickleError, match=r"names posix\.system, which is no data; nothing was run"):
        loads(hostile(tmp_path / "x")["reduce"])


def bombs() -> dict[str, bytes]:
    """Small pickles that claim to need gigabytes."""
    make = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
    make += b"c_codecs\nencode\nX\x01\x00\x00\x00b\x85R\x87R"
    kind = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R"
    terabyte = b"\x8a\x06\x00\x00\x00\x00\x00\x01"
    return {
        "shape": make + b"(K\x01" + terabyte + b"\x85" + kind + b"\x89X\x00\x00\x00\x00tb.",
        "content is a number": make + b"(K\x01" + terabyte + b"\x85" + kind + b"\x89" + terabyte + b"tb.",
        "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
        "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
        "text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
        "frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
        "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "long": b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
        "huge sides": make
        + b"(K\x01("
        + (b"\x8b" + struct.pack("<i", 1000) + b"\x7f" * 1000) * 8
        + b"t"
        + kind
        + b"\x89X\x00\x00\x00\x00tb.",
        "scalar": b"\x80\x02cnumpy.core.multiarray\nscalar\n" + kind + terabyte + b"\x86R.",
        "nested": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    }


@pytest.mark.parametrize("name", bombs())
def test_a_small_pickle_takes_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        refused(bombs()[name])
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


def test_flipped_bytes_and_cuts_give_data_or_a_refusal() -> None:
    rng = np.random.default_rng(0)
    content = pickle.dumps({"features": np.zeros((2, 8), np.float32), "num_boxes": "2", "ids": [b"1", b"2"]})
    reasons = []
    for _ in range(2000):
        broken = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            broken[rng.integers(len(broken))] = rng.integers(256)
        cut = int(rng.integers(1, len(broken) + 1)) if rng.random() < 0.2 else len(broken)
        reasons.append(refused(bytes(broken[:cut])))
    assert 200 < sum(reason is not None for reason in reasons) < 2000
    assert "" not in reasons
