"""Damage as it happens: flipped bits, cuts, doubled and inserted bytes, wrong beginnings; and hostile fields."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.regions.importers.writers import b64

from interbert.errors import SourceError


def rounds(count: int) -> range:
    """Seeds of one test; ``INTERBERT_FUZZ=50`` makes fifty times as many."""
    return range(count * int(os.environ.get("INTERBERT_FUZZ", "1")))


def damaged(content: bytes, seed: int) -> bytes:
    """One of many ways to damage a file, by seed."""
    draw = random.Random(seed)
    data = bytearray(content)
    how = draw.choice(["bits", "bytes", "cut", "double", "insert", "head", "zeros", "remove"])
    at = draw.randrange(len(data))
    if how == "bits":
        for _ in range(draw.choice([1, 4, 40])):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif how == "bytes":
        for _ in range(draw.choice([1, 4, 40])):
            data[draw.randrange(len(data))] = draw.randrange(256)
    elif how == "cut":
        del data[at:]
    elif how == "double":
        data[at:at] = data[at : at + draw.choice([1, 100, 3000])]
    elif how == "insert":
        data[at:at] = draw.randbytes(draw.choice([1, 20, 500]))
    elif how == "head":
        data[: draw.choice([1, 8, 100])] = draw.randbytes(draw.choice([1, 8, 100]))
    elif how == "zeros":
        data[at : at + 200] = bytes(len(data[at : at + 200]))
    else:
        del data[at : at + draw.choice([1, 10, 500])]
    return bytes(data)


HOSTILE_FIELDS: tuple[bytes, ...] = (
    b"",
    b" ",
    b"0",
    b"-1",
    b"1.5",
    b"1e400",
    b"nan",
    b"inf",
    b"9" * 30,
    b"4294967297",
    b"1000000",
    b"=",
    b"====",
    b"A",
    b"AAAAA",
    b"A" * 4_000,
    b"AAAA=AAA",
    b"b''",
    b"b'AAAA'",
    b"\xff\xfe\x00",
    b"\x00" * 10,
    "红色".encode(),
    b"../../etc/passwd",
    b'{"a": ' * 2000,
    b"[" * 5000,
    b64([np.nan] * 4),
    b64([np.inf] * 8),
    b64([1e30] * 32),
    b64([-5] * 8),
    b64([2**62], "<i8"),
    b64([-1], "<i8"),
)


def hostile_lines(line: bytes) -> Iterator[bytes]:
    """A tab-separated line with each field in turn replaced, missing, or doubled."""
    cells = line.rstrip(b"\n").split(b"\t")
    for place in range(len(cells)):
        for value in HOSTILE_FIELDS:
            yield b"\t".join([*cells[:place], value, *cells[place + 1 :]])
        yield b"\t".join(cells[:place] + cells[place + 1 :])
        yield b"\t".join([*cells[:place], cells[place], *cells[place:]])


def refusal(path: Path, call: Callable[..., Any], *given: Any, **options: Any) -> tuple[Any, str | None]:
    """What a call gives, or the one line about ``path`` with which it refuses."""
    try:
        return call(*given, **options), None
    except SourceError as error:
        reason = str(error)
    assert str(path) in reason
    assert "\n" not in reason
    return None, reason
