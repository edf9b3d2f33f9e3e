"""Images per second of `interbert extract` with the default extractor, start-up taken off.

Drawn images of 60 x 80 pixels, the size of the fashion catalogue's, one view each; with --full ten times as many. The
command runs on all images and on one, each a process of its own, and the difference counts. Images per second of
computing stand beside those of the clock: other work on the machine changes them less. Features of both builds are
compared by their means over the first images.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import Any

import made_index
import numpy as np
import row

TOLERANCES = {"features": 2e-3, "classes": 1e-3}
_IMAGES = {False: 1_000, True: 10_000}
_COMPARED = 64


def prepare(setting: row.Setting) -> None:
    """Two files of images."""
    for images in (1, _IMAGES[setting.full]):
        made_index.made_catalogue(setting.common / f"images_{images}.parquet", images, 60)


def measure(setting: row.Setting) -> dict[str, Any]:
    """One extraction of all, after one of a single image."""
    count = _IMAGES[setting.full]
    first, whole = _extract(setting, 1), _extract(setting, count)
    clock, computing = (late - early for early, late in zip(first, whole, strict=True))
    return {
        "value": (count - 1) / clock,
        "unit": "images/s",
        "images_per_processor_second": (count - 1) / computing,
        "equal": _means(setting, count),
    }


def _extract(setting: row.Setting, images: int) -> tuple[float, float]:
    """Seconds that pass and seconds of computing."""
    store = setting.own / f"store_{images}"
    shutil.rmtree(store, ignore_errors=True)
    source = str(setting.common / f"images_{images}.parquet")
    command = [sys.executable, "-m", "interbert", "extract", source, str(store)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said)
    return time.perf_counter() - started, used.ru_utime + used.ru_stime


def _means(setting: row.Setting, images: int) -> dict[str, list[float]]:
    from interbert.regions.store import RegionStore

    regions = RegionStore.open(setting.own / f"store_{images}").take(list(range(_COMPARED)))
    features = [float(np.asarray(one.features, np.float32).mean()) for one in regions]
    classes = [float(np.asarray(one.class_probs, np.float32).max()) for one in regions]
    return {"features": features, "classes": classes}


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
