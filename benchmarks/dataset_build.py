"""A whole build of a data set: seconds, rows a second and memory of all its processes, by number of rows.

    python benchmarks/dataset_build.py --rows 30000 300000 3100000
    python benchmarks/dataset_build.py --rows 20000 --images

Titles are recombined from real ones (``recombined_titles.py``); images are coarse noise of 300 x 300 pixels as JPEG,
one in twenty the same as another row's. The command runs in a process of its own with what it starts; memory is the sum
of the resident sets of all of them, sampled ten times a second, so pages that they share count twice. Wall seconds are
of whatever else the machine does, too; CPU seconds are of the build alone. Agreement and OCR are off.

Results: results/dataset_build.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from recombined_titles import PRODUCT1M, real_titles, recombined_titles

SHARD, GROUP = 500_000, 5_000


def photo(seed: int) -> bytes:
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    out = io.BytesIO()
    coarse.resize((300, 300), Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
    return out.getvalue()


def columns(titles: list[str], first: int, images: bool) -> dict[str, Any]:
    rows = range(first, first + len(titles))
    made: dict[str, Any] = {
        "id": [f"item-{row}" for row in rows],
        "title": titles,
        "price": [row % 997 for row in rows],
    }
    if images:
        made["image"] = [photo(row if row % 20 else row // 2) for row in rows]
    return made


def write_source(folder: Path, rows: int, images: bool) -> None:
    """Files of at most half a million rows."""
    titles = recombined_titles(real_titles(PRODUCT1M), rows, seed=0)
    folder.mkdir()
    for number, start in enumerate(range(0, rows, SHARD)):
        end = min(start + SHARD, rows)
        tables = (columns(titles[at : min(at + GROUP, end)], at, images) for at in range(start, end, GROUP))
        first = pa.table(next(tables))
        with pq.ParquetWriter(folder / f"part-{number:03d}.parquet", first.schema) as writer:
            writer.write_table(first)
            for table in tables:
                writer.write_table(pa.table(table))


def resident(process: psutil.Process) -> int:
    """Bytes of a process and of all that it started."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.Error:
            continue
    return total


def stages(out: Path, seen: dict[str, float], now: float) -> None:
    """Note when the file of each stage was there first."""
    marks = {
        "listed": ".build/source.json",
        "repeats": ".build/repeats.npy",
        "near titles": ".build/near_title.npy",
        "splits": ".build/splits.npy",
        "dropped": "dropped.parquet",
        "report": "report.json",
        "manifest": "manifest.json",
    }
    for name, file in marks.items():
        if name not in seen and (out / file).exists():
            seen[name] = round(now, 1)


def build(source: Path, out: Path, workers: int, cache: Path) -> dict[str, Any]:
    words = ["dataset", "build", str(source), str(out), "--workers", str(workers)]
    script = "import sys; from interbert.cli.main import console; console()"
    environment = {**os.environ, "HF_DATASETS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, peak, seen = time.monotonic(), 0, dict[str, float]()
    with subprocess.Popen([sys.executable, "-c", script, *words], env=environment, stderr=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            peak = max(peak, resident(process))
            stages(out, seen, time.monotonic() - started)
            time.sleep(0.1)
        assert child.stderr is not None
        assert child.returncode == 0, child.stderr.read().decode()[-2000:]
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "peak_mib": round(peak / 2**20), "stages": seen}


def runs(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            place = Path(folder)
            write_source(place / "source", rows, arguments.images)
            done = build(place / "source", place / "out", arguments.workers, place / "cache")
            report = json.loads((place / "out" / "report.json").read_text())
            kept = {name: report[name] for name in ("kept", "groups", "largest_group")}
            yield {
                "rows": rows,
                "images": arguments.images,
                **done,
                "rows_a_second": round(rows / done["seconds"]),
                **kept,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000])
    parser.add_argument("--images", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="for sources and outputs, which are removed")
    for found in runs(parser.parse_args()):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
