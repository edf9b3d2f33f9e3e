"""Resident MiB of a process with a search engine open that has answered one query, 100,000 made products.

Model of the mini size. The process is a new one, which imports what the engine imports and nothing else; pages of files
that are mapped into memory count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_index
import row

TOLERANCES = {"probabilities": 0.03, "products": 0.2}
_SIZES = {False: 100_000, True: 1_000_000}

_QUERY = """
import json, resource, sys
from interbert import SearchEngine
engine = SearchEngine.open(sys.argv[1])
hits = engine.search(sys.argv[2])
pages = int(open("/proc/self/statm").read().split()[1])
print(json.dumps({
    "pages": pages,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "torch": "torch" in sys.modules,
    "probabilities": [hit.probability for hit in hits],
    "products": [hit.product_id for hit in hits],
}))
"""


def prepare(setting: row.Setting) -> None:
    """The index."""
    made_index.made_index(_index(setting), setting.common, _SIZES[setting.full])


def measure(setting: row.Setting) -> dict[str, Any]:
    """One process."""
    command = [sys.executable, "-c", _QUERY, str(_index(setting)), made_index.QUERIES[0]]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    said = json.loads(done.stdout.splitlines()[-1])
    return {
        "value": said["pages"] * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "unit": "MiB",
        "peak_mib": said["peak"] / 1024,
        "torch": said["torch"],
        "equal": {name: said[name] for name in TOLERANCES},
    }


def _index(setting: row.Setting) -> Path:
    return setting.own / f"index_{_SIZES[setting.full]}"


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
