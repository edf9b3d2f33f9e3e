"""Kill a writer of a region store at random moments, again and again: is a row lost, is half a row seen?

    python benchmarks/store_faults.py --out runs/store_faults --kills 100

A writer in a process group of its own appends batches of rows and says on a pipe when it begins an append and when the
append has returned: then its rows are acknowledged. SIGKILL goes to the whole group, most often while an append is
going on; the next writer goes on with the same store, every tenth one starts a new store, so that creation is killed
too. A reader looks at the store while it is written and after each kill. What every row must hold follows from its
number, batches have different sizes, and any state between two whole batches would be seen:

* after a kill the store has all acknowledged batches, and of the one that was going on all rows or none;
* every new row is equal to what was written, bit by bit, and its checksums fit; ids are neither lost nor repeated;
* while it is written a reader sees whole batches only.

Prints a line per kill; the last line is JSON. Exit code 1 when anything is wrong; the store is left then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.errors import InterBertError
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore, is_store
from interbert.regions.verify import verify
from interbert.training.model_card import versions

INFO = ExtractorInfo("made up", {}, feature_size=2048, num_classes=1601)
TOP_K = 32
SIZES = (64, 7, 128, 1, 33)
"""Rows of the batches, over and over."""


def starts(batches: int) -> list[int]:
    """First row of each of the first batches, and of the one after them."""
    return [0, *np.cumsum([SIZES[batch % len(SIZES)] for batch in range(batches)]).tolist()]


def record(row: int) -> RegionRecord:
    """What a row holds: 20 to 36 regions, everything from its number, and made in less time than it takes to write."""
    count = 20 + row % 17
    features, shares = _numbers()
    own = np.roll(features, row, axis=1)[:count].copy()
    own[:, 0] = row % 2048
    boxes = np.tile(np.array([row % 50, 10, 60 + row % 200, 290], dtype=np.float32), (count, 1))
    regions = Regions(boxes, own, np.roll(shares, row, axis=1)[:count], 300, 300)
    return RegionRecord(f"p{row}", f"p{row}", f"{row:064x}", 0, row, (f"text {row} 红",), ("title",), regions)


@cache
def _numbers() -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(36, 1601)) * 3
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return rng.normal(size=(36, 2048)).astype(np.float16), shares.astype(np.float16)


def write(folder: str) -> None:
    """The writer: goes on after the last whole batch, for ever."""
    store = RegionStore.open_or_create(folder, INFO, TOP_K)
    batch = starts(100_000).index(len(store))
    while True:
        first = starts(batch)[-1]
        records = [record(row) for row in range(first, first + SIZES[batch % len(SIZES)])]
        print(f"begin {batch}", flush=True)
        store.append(records)
        print(f"done {batch}", flush=True)
        batch += 1


@dataclass
class Tally:
    """What was seen."""

    kills: int = 0
    while_creating: int = 0
    while_appending: int = 0
    left_unfinished_files: int = 0
    committed_unacknowledged: int = 0
    acknowledged_rows: int = 0
    rows_compared: int = 0
    looks_while_written: int = 0
    stores: int = 0
    faults: list[str] = field(default_factory=list)


class Writing:
    """A running writer and what it has said."""

    def __init__(self, folder: Path) -> None:
        words = [sys.executable, __file__, "--write", str(folder)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)
        self.begun = self.done = -1
        self._rest = b""

    def listen(self, seconds: float) -> None:
        """Take in what it says within some seconds."""
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self.process.stdout], [], [], left)[0]:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for word, batch in (line.split() for line in lines):
                if word == b"begin":
                    self.begun = int(batch)
                else:
                    self.done = int(batch)

    def kill(self) -> None:
        """End its group at once, and hear what it had said before."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.listen(1.0)


def look(folder: Path, tally: Tally) -> None:
    """Read while it is written: whole batches only, and the last row whole."""
    if not is_store(folder):
        return
    store = RegionStore.open(folder)
    rows = len(store)
    tally.looks_while_written += 1
    if rows not in starts(rows + 1):
        tally.faults.append(f"a reader saw {rows} rows, no whole number of batches")
    if rows:
        store.take([rows - 1])


def check(folder: Path, acknowledged: int, before: int, tally: Tally) -> int:
    """Compare what a kill left with what has to be there; returns the number of rows."""
    if not is_store(folder):
        if acknowledged:
            tally.faults.append(f"the store is gone, {acknowledged} rows with it")
        return 0
    store = RegionStore.open(folder)
    rows = len(store)
    batch = starts(rows + 1).index(rows) if rows in starts(rows + 1) else -1
    if batch < 0 or rows < acknowledged or rows > acknowledged + max(SIZES):
        tally.faults.append(f"{rows} rows, {acknowledged} were acknowledged")
    tally.committed_unacknowledged += rows > acknowledged
    captions = {one.row: one for one in store.captions()}
    wanted = [record(row) for row in range(before, rows)]
    reference = RegionStore.create(folder.with_name("reference"), INFO, TOP_K)
    reference.append(wanted)
    places = range(before, rows)
    pairs = zip(places, store.take(places), reference.take(range(len(wanted))), wanted, strict=True)
    for row, found, same, one in pairs:
        arrays = ("boxes", "features", "class_probs")
        equal = all(np.array_equal(getattr(found, name), getattr(same, name)) for name in arrays)
        if not equal or captions[row].image_id != one.image_id or captions[row].texts != one.texts:
            tally.faults.append(f"row {row} is not what was written")
    if len({one.image_id for one in captions.values()}) != rows:
        tally.faults.append("a row stands twice")
    tally.rows_compared += len(wanted)
    shutil.rmtree(folder.with_name("reference"))
    return rows


def stray_files(folder: Path) -> set[str]:
    """Data files that no version of the store knows: an append that was killed while it wrote leaves one."""
    written = {file.name for file in (folder / "data").glob("*.lance")}
    if not is_store(folder):
        return written
    known = RegionStore.open(folder).dataset().get_fragments()
    return written - {file.path for fragment in known for file in fragment.data_files()}


def kill_once(folder: Path, before: int, moments: random.Random, tally: Tally, aimed: float) -> int:
    """Start a writer, kill it, check; returns the number of rows afterwards."""
    new = not is_store(folder)
    strays = len(stray_files(folder))
    writer = Writing(folder)
    end = time.monotonic() + 120
    while new and not folder.exists() and time.monotonic() < end:
        writer.listen(0.002)
    if new and moments.random() < 0.5:
        writer.listen(moments.uniform(0, 0.05))  # while the store is created
    else:
        while writer.begun < 0 and time.monotonic() < end:
            writer.listen(0.01)
        stop = time.monotonic() + moments.uniform(0, 1.0)
        while time.monotonic() < stop:
            look(folder, tally)
            writer.listen(0.05)
        seen = writer.begun
        while moments.random() < 0.8 and writer.begun == seen and time.monotonic() < end:
            writer.listen(0.001)  # most often: as soon as the next append begins, and a little later
        writer.listen(moments.uniform(0, 0.25))  # a busy machine takes so long for an append
    writer.kill()
    tally.kills += 1
    tally.while_creating += writer.begun < 0
    tally.while_appending += writer.begun > writer.done
    tally.left_unfinished_files += len(stray_files(folder)) > strays
    acknowledged = starts(writer.done + 1)[-1] if writer.done >= 0 else before
    tally.acknowledged_rows += acknowledged - before
    rows = check(folder, acknowledged, before, tally)
    inside = "creating" if writer.begun < 0 else "appending" if writer.begun > writer.done else "between appends"
    print(f"kill {tally.kills}: {inside}; {acknowledged} rows acknowledged, {rows} there", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/store_faults", help="folder for the stores; what is in it is replaced")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--aimed", type=float, default=0.5, help="share of kills between an append's file and its commit"
    )
    parser.add_argument("--write", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write)
    out = Path(arguments.out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    moments, tally = random.Random(arguments.seed), Tally()
    started = time.monotonic()
    rows = 0
    while tally.kills < arguments.kills:
        if tally.kills % 10 == 0:
            tally.stores += 1
            rows = 0
        folder = out / f"store-{tally.stores}" / "regions"
        folder.parent.mkdir(exist_ok=True)
        try:
            rows = kill_once(folder, rows, moments, tally, arguments.aimed)
        except InterBertError as error:
            tally.faults.append(str(error))
            break
        if tally.kills % 10 == 0 and is_store(folder):
            found = verify(RegionStore.open(folder)).findings
            tally.faults += [f"{folder}: row {one.row}: {one.reason}" for one in found]
            if not tally.faults:
                shutil.rmtree(folder.parent)
    result = asdict(tally) | {"seconds": round(time.monotonic() - started), "versions": versions()}
    print(json.dumps(result, ensure_ascii=False))
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
