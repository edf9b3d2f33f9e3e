"""The reader of pickles builds data and runs nothing."""

from __future__ import annotations

import itertools
import os
import pickle
import struct
import time
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interbert.regions.importers.fields import MAX_ELEMENTS
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


def refused(content: bytes, most: int = MAX_ELEMENTS) -> str | None:
    """Why a pickle is refused; None when it is data."""
    try:
        loads(content, most)
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


def shared() -> dict[str, bytes]:
    """Pickles of some kilobytes whose values are enormous when every reference is followed."""
    doubled = (
        b"\x80\x04]("
        + b"N" * 9
        + b"e"
        + b"\x94"
        + b"".join(b"0](" + b"h" + bytes([number]) + b"h" + bytes([number]) + b"e\x94" for number in range(60))
    )
    megabyte = b"\x80\x04X" + struct.pack("<I", 1_000_000) + b"x" * 1_000_000 + b"\x940"
    name = b"c_codecs\nencode\n\x940"
    return {
        "lists of the same list": doubled + b".",
        "cubic": b"\x80\x04](" + b"N" * 2000 + b"e\x940](" + b"h\x00" * 2000 + b"e\x940](" + b"h\x01" * 2000 + b"e.",
        "a text encoded again and again": megabyte + name + b"](" + b"h\x01h\x00\x85R" * 5000 + b"e.",
        "a text in a thousand places": megabyte + b"](" + b"h\x00" * 1000 + b"e.",
        "a function's thousands of arguments": b"\x80\x04(" + b"N" * 9000 + b"t\x940cnumpy\nndarray\nh\x00R.",
        "pairs again and again": b"\x80\x04]("
        + b"K\x01K\x02\x86" * 1000
        + b"e\x940"
        + b"ccollections\nOrderedDict\n\x940]("
        + b"h\x01h\x00\x85R" * 9000
        + b"e.",
        "a key of tuples of tuples": b"\x80\x04N\x85\x940" + b"}h\x00" + b"2\x86" * 40 + b"Ns.",
        "a list that holds itself": b"\x80\x04]\x94h\x00a.",
        "a number of a million digits": b"\x80\x02\x8b" + struct.pack("<i", 500_000) + b"\x7f" * 500_000 + b".",
    }


@pytest.mark.parametrize("name", shared())
def test_what_is_shared_is_measured_where_it_is_seen_and_made_once(name: str) -> None:
    content = shared()[name]
    tracemalloc.start()
    try:
        reason = refused(content, 100_000)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    assert reason is not None
    assert len(reason) < 200


def test_each_limit_is_named_and_what_is_within_it_is_read() -> None:
    many = list(range(300))
    assert loads(pickle.dumps([many] * 3), 1000) == [many] * 3
    with pytest.raises(UnsafePickleError, match="more than 1,000 elements"):
        loads(pickle.dumps([many] * 4), 1000)
    with pytest.raises(UnsafePickleError, match="more than 1,000 steps"):
        loads(pickle.dumps(list(range(1001))), 1000)
    text = "x" * (1 << 20)
    assert len(loads(pickle.dumps([text] * 60))) == 60
    with pytest.raises(UnsafePickleError, match="more than 67,108,864 bytes"):
        loads(pickle.dumps([text] * 65))
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert loads(pickle.dumps(deep)) == deep
    with pytest.raises(UnsafePickleError, match="nested more than 100 deep"):
        loads(pickle.dumps([deep]))
    with pytest.raises(UnsafePickleError, match="nested more than 100 deep"):  # seen first where it is not deep
        loads(pickle.dumps([deep[0][0], [[[deep]]]]))


def test_an_array_in_several_places_is_one_array() -> None:
    array = np.ones((2, 3), np.float32)
    found = loads(pickle.dumps({"a": array, "b": [[[[array]]]]}))
    assert found["a"] is found["b"][0][0][0][0]
    np.testing.assert_array_equal(found["a"], array)


def test_keys_are_numbers_short_texts_and_flat_tuples_of_them() -> None:
    value = {1: 1, "a": 2, b"b": 3, (1, "x"): 4, None: 5, 1.5: 6}
    assert loads(pickle.dumps({**value, np.int64(9): 7})) == {**value, 9: 7}
    assert loads(pickle.dumps([{1, 2}, frozenset("ab")])) == [{1, 2}, frozenset("ab")]
    for key in ("x" * 1001, ((1,), 2), 1 << 70, frozenset([1]), np.longdouble(1)):
        with pytest.raises(UnsafePickleError, match="has a key that is neither a number nor a text"):
            loads(pickle.dumps({key: 1}))


def test_keys_of_equal_hashes_are_few() -> None:
    """A thousand million comparisons: hashes of whole numbers repeat at 2^61 - 1, and a tuple's is made of them."""
    equal = [5 + ((1 << 61) - 1) * times for times in range(4)]
    keys = list(itertools.islice(itertools.product(equal, repeat=8), 40_000))
    assert len(set(map(hash, keys[:100]))) == 1
    texts = {("a", str(number)): number for number in range(2000)}
    for value in (dict.fromkeys(keys[:900]), texts, frozenset(keys[:900])):
        assert loads(pickle.dumps(value)) == value
    start = time.process_time()
    for value in (dict.fromkeys(keys[:1001]), [{key: 1} for key in keys[:1001]], set(keys[:1001])):
        with pytest.raises(UnsafePickleError, match="more than 1,000 keys that are tuples with numbers"):
            loads(pickle.dumps(value))
    assert time.process_time() - start < 20


def test_a_set_is_measured_once_however_often_it_is_seen() -> None:
    members = set(range(20_000))
    start = time.process_time()
    with pytest.raises(UnsafePickleError, match="more than 1,000,000 elements"):
        loads(pickle.dumps([members] * 200_000))
    assert loads(pickle.dumps([members] * 40))[39] == members
    assert time.process_time() - start < 20


def test_a_name_of_a_megabyte_is_cut_in_the_refusal() -> None:
    with pytest.raises(UnsafePickleError, match="which is no data; nothing was run") as caught:
        loads(b"\x80\x02c" + b"m" * 1_000_000 + b"\nname\n.")
    assert len(str(caught.value)) < 200
