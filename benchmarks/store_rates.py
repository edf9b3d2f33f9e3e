"""What a row of the paper's size costs the process that writes the store, and what many commits cost.

    python benchmarks/store_rates.py --out runs/store_rates

Rows have 20 to 36 regions (28 on average), 2,048 features and 1,601 classes. Prints, with whole distributions and with
the 32 most probable classes, CPU milliseconds per row to convert (checksums included), to append and to read back, and
bytes per row; then the size of a manifest and the CPU time of an append after so many commits of one row. CPU time and
not clock time, so that other work on the machine does not show. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from itertools import pairwise
from pathlib import Path

from store_faults import INFO, TOP_K, record

from interbert.regions.conversion import to_table
from interbert.regions.schema import ExtractorInfo
from interbert.regions.store import RegionStore
from interbert.regions.verify import summarise
from interbert.training.model_card import versions

_TINY = ExtractorInfo("tiny", {}, feature_size=2048, num_classes=1601)


def per_row(path: Path, rows: int, top: int | None) -> dict[str, float]:
    """CPU milliseconds and bytes of a row."""
    shutil.rmtree(path, ignore_errors=True)
    store = RegionStore.create(path, INFO, top)
    records = [record(row) for row in range(rows)]
    marks = [time.process_time()]
    table = to_table(records, store.layout)
    marks.append(time.process_time())
    store.append_table(table)
    marks.append(time.process_time())
    store.take(range(rows))
    marks.append(time.process_time())
    convert, append, read = (round(1000 * (b - a) / rows, 3) for a, b in pairwise(marks))
    size = round(summarise(store).bytes / rows)
    return {"convert_ms": convert, "append_ms": append, "read_ms": read, "bytes": size}


def many_commits(path: Path, commits: int) -> dict[str, float]:
    """Manifest and append after many commits."""
    shutil.rmtree(path, ignore_errors=True)
    store = RegionStore.create(path, _TINY, TOP_K)
    started = time.process_time()
    for row in range(commits):
        if row == commits - 50:
            started = time.process_time()
        store.append([record(row)])
    milliseconds = 1000 * (time.process_time() - started) / min(50, commits)
    manifests = sorted((path / "_versions").glob("*.manifest"), key=lambda one: one.stat().st_mtime)
    return {
        "commits": commits,
        "last_manifest_bytes": manifests[-1].stat().st_size,
        "all_manifest_bytes": sum(one.stat().st_size for one in manifests),
        "append_ms": round(milliseconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for the stores")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--commits", type=int, default=500)
    arguments = parser.parse_args()
    out = Path(arguments.out)
    found: dict[str, dict[str, float]] = {}
    for name, top in (("whole", None), (f"top {TOP_K}", TOP_K)):
        found[name] = per_row(out / name.replace(" ", "-"), arguments.rows, top)
    found["many commits"] = many_commits(out / "commits", arguments.commits)
    for name, line in found.items():
        print(f"{name}: {json.dumps(line)}", flush=True)
    print(json.dumps(found | {"versions": versions()}))


if __name__ == "__main__":
    main()
