"""Speed and memory of ``interbert import`` on files of several lengths.

    python benchmarks/importing.py --out runs/importing

Writes LXMERT files of random regions (36 x 2048, as the original; 0.4 MB an image), imports each with the whole
command, and once more when everything is there. Prints images and megabytes per second and the peak of resident
memory. The aim: a peak that does not grow with the file. The last line is JSON.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.utils.terminal import progress_bar

SIZES = (500, 2000)
REGIONS, FEATURES, CLASSES = 36, 2048, 1600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the files and stores; emptied of them after"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="images in each file")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = []
    for count in options.sizes:
        source, store = options.out / f"{count}.tsv", options.out / f"store-{count}"
        shutil.rmtree(store, ignore_errors=True)
        write(source, count)
        for what in ("import", "again"):
            result = imported(source, store)
            results.append({"what": what, "pictures": count, "megabytes": source.stat().st_size / 1e6, **result})
            print(
                f"{what}, {count} images: {count / result['seconds']:.0f} images/s, "
                f"{results[-1]['megabytes'] / result['seconds']:.0f} MB/s, {result['cpu_seconds']:.1f} s of a core, "
                f"peak {result['peak_mib']:.0f} MiB"
            )
        source.unlink()
        shutil.rmtree(store)
    from interbert.training.model_card import versions  # loads torch, which an import does not

    print(json.dumps({"results": results, "versions": versions()}))


def write(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("wb") as file, progress_bar("writing", count, "images") as advance:
        for number in range(count):
            start = rng.uniform(0, 200, (REGIONS, 2))
            arrays: dict[str, NDArray[Any]] = {
                "ids": rng.integers(0, CLASSES, REGIONS),
                "confidences": rng.uniform(0.2, 0.9, REGIONS).astype(np.float32),
                "boxes": np.concatenate([start, start + rng.uniform(10, 200, (REGIONS, 2))], 1).astype(np.float32),
                "features": rng.exponential(0.5, (REGIONS, FEATURES)).astype(np.float32),
            }
            coded = {name: base64.b64encode(values.tobytes()).decode() for name, values in arrays.items()}
            cells = [f"{number}", "400", "400", *[coded["ids"], coded["confidences"]] * 2, f"{REGIONS}"]
            file.write("\t".join([*cells, coded["boxes"], coded["features"]]).encode() + b"\n")
            advance(1)


def imported(source: Path, out: Path) -> dict[str, float]:
    """Seconds and peak memory of the whole command."""
    started = time.monotonic()
    command = [sys.executable, "-m", "interbert", "import", "lxmert-tsv", str(source), str(out)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, done = 0.0, 0
    while not done:
        found = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{child.pid}/status").read_text())
        peak = max(peak, int(found.group(1)) / 1024 if found else 0.0)  # ru_maxrss has this process's own in it
        time.sleep(0.05)
        done, status, usage = os.wait4(child.pid, os.WNOHANG)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": peak,
    }


if __name__ == "__main__":
    main()
