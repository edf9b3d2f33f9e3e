"""How much of the bare backbone's speed the whole `interbert extract` command keeps.

    python benchmarks/extraction.py catalogue.parquet --texts title

Times, alternating in one run on the same pictures: the bare backbone (EfficientNet-Lite0 with folded batch norms,
pictures already decoded, scaled and in memory, the faster of batches of 8 and 64), and the whole command in a process
of its own (start-up, reading, decoding, scaling, backbone, RoIAlign, class distributions, writing the store). Prints
both rates and their ratio; the goal is 0.70.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch

from interbert.extraction.columns import ColumnMapping
from interbert.extraction.grid import GridExtractor, canvas_pixels
from interbert.extraction.sources import open_source
from interbert.training.provenance import versions

_IN_MEMORY = 512


def bare_rate(extractor: GridExtractor, canvases: list[torch.Tensor], batch: int) -> float:
    """Pictures per second of the backbone and its classifier alone."""
    started = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(canvases), batch):
            maps = extractor.backbone.maps(torch.stack(canvases[start : start + batch]))
            extractor.backbone.classify(maps["head"].mean(dim=(2, 3)))
    return len(canvases) / (time.perf_counter() - started)


def command_rate(source: str, texts: str, picture: str | None, count: int) -> float:
    """Pictures per second of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "interbert", "extract", source, f"{folder}/regions", "--limit", str(count)]
        command += ["--texts", texts] + (["--picture", picture] if picture else [])
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--texts", required=True, help="columns with texts, comma separated")
    parser.add_argument("--picture", help="column with pictures; found when not given")
    parser.add_argument("--limit", type=int, default=4000, help="pictures (default 4000)")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    mapping = ColumnMapping(arguments.picture, tuple(arguments.texts.split(",")))
    source = open_source(arguments.source, mapping)
    count = min(arguments.limit, len(source))
    extractor = GridExtractor()
    pictures = [source.open_picture(row) for row in range(min(count, _IN_MEMORY))]
    canvases = [canvas_pixels(one, extractor.canvas(*one.size)) for one in pictures if one is not None]
    canvases = [one for one in canvases if one.shape == canvases[0].shape]
    bare_rate(extractor, canvases[:64], 8)  # warm up
    rounds = []
    for number in range(arguments.repeats):
        bare = max(bare_rate(extractor, canvases, batch) for batch in (8, 64))
        command = command_rate(arguments.source, arguments.texts, arguments.picture, count)
        rounds.append((bare, command, command / bare))
        print(f"round {number + 1}: bare {bare:.1f}/s, command {command:.1f}/s, ratio {command / bare:.2f}", flush=True)
    bare, command, ratio = (statistics.median(column) for column in zip(*rounds, strict=True))
    result = {
        "pictures": count,
        "canvas": list(canvases[0].shape[1:]),
        "bare_per_second": round(bare, 1),
        "command_per_second": round(command, 1),
        "ratio": round(ratio, 3),
        "ratios": [round(one[2], 3) for one in rounds],
        "cores": os.cpu_count(),
        "versions": versions(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
