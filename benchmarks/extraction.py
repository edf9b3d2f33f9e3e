"""How much of its bare network's speed the whole `interbert extract` command keeps, for each extractor.

    python benchmarks/extraction.py catalogue.parquet --text-columns title
    python benchmarks/extraction.py photos/ --extractor frcnn --limit 8
    python benchmarks/extraction.py photos/ --extractor detector
    python benchmarks/extraction.py photos/ --extractor given
    python benchmarks/extraction.py photos/ --extractor detector --device cuda

Times, alternating in one run on the same images: the bare network (images already decoded, scaled and in memory,
at the faster batch size), and the whole command in a process of its own (reading, decoding, scaling, network, choice of
boxes, pooling, class distributions, writing the store). Prints both rates and their ratio. Start-up is timed by a run
on one image and taken off, so that few images are enough. `--clock cpu` counts seconds of computing instead of
seconds that pass: what to use on a machine with other work on it. Detectors have random weights of the real sizes
(`benchmarks/extraction_networks.py`). The goal is 0.80. On a CPU: what is measured is one core's when OMP_NUM_THREADS
says so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from extraction_networks import Bare, bare_detector, bare_frcnn, bare_grid, make_frcnn, make_rt_detr

from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import open_source
from interbert.training.model_card import versions
from interbert.utils.environment import keep_freed_memory

if TYPE_CHECKING:
    from PIL import Image

_IN_MEMORY = {"grid": 512, "given": 512, "frcnn": 4, "detector": 32}
_BOXES = [[0.1, 0.1, 0.5, 0.9], [0.4, 0.2, 0.9, 0.7], [0.0, 0.0, 1.0, 1.0], [0.3, 0.3, 0.6, 0.6]] * 3


def prepare(arguments: argparse.Namespace, images: list[Image.Image], work: Path) -> tuple[list[Bare], list[str]]:
    """The bare network's passes, and what the command needs in order to run the same network."""
    kind = arguments.extractor
    device = arguments.device
    words = ["--extractor", kind, "--device", device]
    if kind == "frcnn":
        make_frcnn(work / kind, images[0])
        return bare_frcnn(images, work / kind, device), [*words, "--weights", str(work / kind)]
    if kind == "detector":
        folder = Path(arguments.model) if arguments.model else work / kind
        if not arguments.model:
            make_rt_detr(folder)
        return bare_detector(images, folder, device), [*words, "--weights", str(folder)]
    if kind == "given":
        words += ["--given.column", "boxes", "--given.format", "xyxy_relative"]
    return bare_grid(images, device), words


def source_with_boxes(source: str, image: str | None, work: Path) -> str:
    """The same images with twelve boxes each."""
    opened = open_source(source, ColumnMapping(image), need_texts=False)
    rows = []
    for item in opened:
        path = work / f"{item.row}.jpg"
        if item.data is not None:
            path.write_bytes(item.data if isinstance(item.data, bytes) else item.data.read_bytes())
            rows.append({"file_name": path.name, "boxes": _BOXES})
    (work / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(work)


def seconds_so_far(clock: str) -> float:
    """Of the wall, or of computing by this process and those it has waited for."""
    if clock == "wall":
        return time.perf_counter()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def bare_rate(passes: list[Bare], count: int, clock: str, device: str) -> float:
    """Images per second of the fastest pass."""
    rates = []
    for run in passes:
        started = seconds_so_far(clock)
        with torch.inference_mode():
            run()
            if device != "cpu":
                torch.cuda.synchronize()
        rates.append(count / (seconds_so_far(clock) - started))
    return max(rates)


def command_seconds(arguments: argparse.Namespace, source: str, words: list[str], count: int) -> float:
    """Seconds of the whole command."""
    texts = ["--text-columns", arguments.texts] if arguments.texts else ["--allow-no-text"]
    image = ["--image-column", arguments.image] if arguments.image and arguments.extractor != "given" else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "interbert", "extract", source, f"{folder}/regions", "--limit", str(count)]
        started = seconds_so_far(arguments.clock)
        subprocess.run(
            [*command, *texts, *image, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return seconds_so_far(arguments.clock) - started


def command_rate(arguments: argparse.Namespace, source: str, words: list[str], count: int) -> float:
    """Images per second of the whole command, start-up taken off."""
    seconds = command_seconds(arguments, source, words, count)
    return (count - 1) / (seconds - command_seconds(arguments, source, words, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--text-columns", help="columns with texts, comma separated; images alone when not given")
    parser.add_argument("--image-column", help="column with images; found when not given")
    parser.add_argument("--extractor", choices=("grid", "frcnn", "detector", "given"), default="grid")
    parser.add_argument("--model", help="folder of a detector of transformers; a random RT-DETR when not given")
    parser.add_argument("--limit", type=int, default=4000, help="images (default 4000)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    arguments = parser.parse_args()
    keep_freed_memory()  # as the command does

    mapping = ColumnMapping(arguments.image, tuple(arguments.texts.split(",")) if arguments.texts else ())
    source = open_source(arguments.source, mapping, need_texts=bool(arguments.texts))
    count = min(arguments.limit, len(source))
    opened = [source.open_image(row) for row in range(min(count, _IN_MEMORY[arguments.extractor]))]
    images = [one for one in opened if one is not None]
    with tempfile.TemporaryDirectory() as work:
        passes, words = prepare(arguments, images, Path(work))
        name = arguments.source
        if arguments.extractor == "given":
            name = source_with_boxes(arguments.source, arguments.image, Path(work))
        bare_rate(passes, len(images), arguments.clock, arguments.device)  # warm up
        rounds = []
        for number in range(arguments.repeats):
            bare = bare_rate(passes, len(images), arguments.clock, arguments.device)
            command = command_rate(arguments, name, words, count)
            rounds.append((bare, command, command / bare))
            print(
                f"round {number + 1}: bare {bare:.2f}/s, command {command:.2f}/s, ratio {command / bare:.2f}",
                flush=True,
            )
    bare, command, ratio = (statistics.median(column) for column in zip(*rounds, strict=True))
    result = {
        "extractor": arguments.extractor,
        "clock": arguments.clock,
        "device": torch.cuda.get_device_name() if arguments.device != "cpu" else "cpu",
        "pictures": count,
        "bare_per_second": round(bare, 3),
        "command_per_second": round(command, 3),
        "ratio": round(ratio, 3),
        "ratios": [round(one[2], 3) for one in rounds],
        "cores": os.cpu_count(),
        "versions": versions(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
