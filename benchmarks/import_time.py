"""Seconds and resident memory of ``import interbert``, beside ``import torch, transformers``.

    python benchmarks/import_time.py

Each statement runs in processes of its own, in turn, so that both meet the same machine; the first round only warms the
file cache. Printed are medians of the seconds of the statement alone and of the process's resident memory after it.
Linux only: memory is read from /proc. The last line is JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

STATEMENTS = ("pass", "import interbert", "import torch, transformers", "from transformers import AutoModel")
ROUNDS = 5
_MEASURE = """
import time
started = time.perf_counter()
{statement}
seconds = time.perf_counter() - started
pages = int(open("/proc/self/statm").read().split()[1])
import os
print(seconds, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
"""


def measure(statement: str) -> tuple[float, float]:
    """Seconds that a statement takes in a new process, and the process's resident memory after it in MB."""
    script = _MEASURE.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def main() -> None:
    """Measure and print."""
    found: dict[str, list[tuple[float, float]]] = {statement: [] for statement in STATEMENTS}
    for _ in range(ROUNDS + 1):
        for statement in STATEMENTS:
            found[statement].append(measure(statement))
    medians = {
        statement: [statistics.median(column) for column in zip(*rounds[1:], strict=True)]
        for statement, rounds in found.items()
    }
    for statement, (seconds, megabytes) in medians.items():
        print(f"{statement:40} {seconds:8.3f} s {megabytes:8.0f} MB")
    ours, theirs = medians["import interbert"], medians["import torch, transformers"]
    print(f"ratio: {ours[0] / theirs[0]:.4f} of the seconds, {ours[1] / theirs[1]:.3f} of the memory")
    print(json.dumps(medians))


if __name__ == "__main__":
    main()
