"""Processor seconds of `interbert search INDEX "text"` from the shell: a new process, all of its threads.

An index of 10,000 made products (with --full 100,000), model of the mini size. Median of four queries, each a process
of its own; the largest resident memory stands beside it. That results agree is seen in what is printed.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import made_index
import row

TOLERANCES = {"match": 2.0, "products": 0.2}
"""Of probabilities in percent; of the products on the page, what share may be others."""
_SIZES = {False: 10_000, True: 100_000}


def prepare(setting: row.Setting) -> None:
    """The index."""
    made_index.made_index(_index(setting), setting.common, _SIZES[setting.full])


def measure(setting: row.Setting) -> dict[str, Any]:
    """Four searches, after one that warms the file cache."""
    seconds, clock, memory, match, products = [], [], [], [], []
    for place, query in enumerate((made_index.QUERIES[0], *made_index.QUERIES)):
        taken, passed, peak, printed = _search(_index(setting), query)
        if not place:
            continue
        seconds.append(taken)
        clock.append(passed)
        memory.append(peak)
        lines = re.findall(r"^\W*\d+\W+([nd]\d+)\W+?([<>]?\s*[\d.]+)\s*%", printed, re.MULTILINE)
        assert len(lines) == 10, printed
        products += [f"{query}: {product}" for product, _ in lines]
        match.append(statistics.mean(_percent(one) for _, one in lines))
    return {
        "value": statistics.median(seconds),
        "unit": "s",
        "clock_s": statistics.median(clock),
        "peak_mib": statistics.median(memory),
        "equal": {"match": match, "products": products},
    }


def _index(setting: row.Setting) -> Path:
    return setting.own / f"index_{_SIZES[setting.full]}"


def _search(index: Path, query: str) -> tuple[float, float, float, str]:
    """Processor seconds, seconds that pass, largest resident MiB, and what is printed."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "interbert", "search", str(index), query]
    environ = os.environ | {"COLUMNS": "200"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    assert process.stdout is not None
    assert process.stderr is not None
    printed = process.stdout.read()
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said)
    return used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / 1024, printed


def _percent(text: str) -> float:
    """Of a number as the table has it: "12", "< 0.1"."""
    return float(re.sub(r"[^0-9.e-]", "", text))


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
