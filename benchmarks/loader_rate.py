"""The training loader alone: pairs a second from the store, against what a step consumes.

    python benchmarks/loader_rate.py --out runs/loader_rate
    python benchmarks/loader_rate.py --out runs/loader_rate --consumes 12500

Writes two region stores with random features of the paper's size (36 regions of 2,048 numbers, 1,601 classes: whole,
and the 32 most probable; kept for the next run) and loads pretraining batches from each as training does: negatives,
masks, region targets, the contrastive objective. Prints processor milliseconds a pair, where they go (by a profile of
the same work, in shares), pairs a second without workers, with one and with `--workers` of them (which also hand their
batches over), and how many `--consumes` pairs a second would take. Rows are read from the system's cache where they
fit in memory. The last line is JSON.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from synthetic_store import StoreSizes, pretraining_draws, synthetic_store

from interbert.training.loader import batch_loader
from interbert.training.model_card import versions
from interbert.training.run_setup import open_data
from interbert.utils.environment import keep_freed_memory

FEATURES, CLASSES, REGIONS, TOP = 2048, 1601, 36, 32
_BLOCK = 250
PARTS = {
    "reading": ("store.py", "take"),
    "scaling": ("processing.py", "image_inputs"),
    "text": ("data/masking.py", "__call__"),
    "collation": ("collation.py", "__call__"),
}
"""Name -> the end of the file's name and the function."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for the stores (600 MB for 2,000 rows)")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--batches", type=int, default=20, help="of each measurement")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="*", default=[2], help="beside one")
    parser.add_argument("--consumes", type=float, help="pairs a second of a step, of benchmarks/mfu.py")
    parser.add_argument("--no-contrast", action="store_true", help="the published objectives alone")
    parser.add_argument("--init-from", default="minilm", help="BERT whose tokenizer is used")
    arguments = parser.parse_args()
    keep_freed_memory()  # as the command does
    found: dict[str, dict[str, Any]] = {}
    for name, top in (("whole", None), (f"top {TOP}", TOP)):
        path = Path(arguments.out) / f"store-{arguments.rows}-{name.replace(' ', '-')}"
        synthetic_store(path, StoreSizes(arguments.rows, REGIONS, FEATURES, CLASSES, (5, 14), top), _BLOCK)
        found[name] = measure(path, arguments)
        print(f"class distributions {name}: {json.dumps(found[name])}", flush=True)
    print(json.dumps({"stores": found, "threads": torch.get_num_threads(), "versions": versions()}))


def measure(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rates of one store."""
    data = open_data(str(path), None, 0.001, 500, [], 0)
    drawing = pretraining_draws(data, str(path), arguments.init_from, arguments.batch_size, not arguments.no_contrast)
    dataset, order, collate = drawing.dataset, drawing.order, drawing.collate

    def load(batches: Any) -> int:
        return sum(len(collate(dataset.__getitems__(batch))["input_ids"]) for batch in batches)

    keys = list(islice(iter(order), arguments.batches))
    load(keys[:3])
    started, used = time.perf_counter(), time.process_time()
    count = load(keys)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    profile = cProfile.Profile()
    profile.runcall(load, keys)
    line: dict[str, Any] = {
        "processor_ms": round(used * 1000 / count, 3),
        "pairs_per_second": round(count / seconds, 1),
        "shares": shares_of(profile),
    }
    for workers in (1, *arguments.workers):
        loader = batch_loader(dataset, order, collate, workers, for_gpu=True, bf16=True)
        line[f"pairs_per_second_of_{workers}_workers"] = round(rate(iter(loader)), 1)
    if arguments.consumes:
        line["workers_needed"] = round(arguments.consumes / line["pairs_per_second_of_1_workers"], 1)
    return line


def shares_of(profile: cProfile.Profile) -> dict[str, float]:
    """Parts of the time, by the functions that they are in."""
    stats: Any = pstats.Stats(profile)
    found = dict.fromkeys(PARTS, 0.0)
    for (file, _, function), (_, _, _, seconds, _) in stats.stats.items():
        for part, (ending, name) in PARTS.items():
            if function == name and file.endswith(f"/{ending}"):
                found[part] += seconds / stats.total_tt
    return {part: round(share, 2) for part, share in found.items()}


def rate(batches: Iterator[dict[str, torch.Tensor]], warm: int = 4) -> float:
    """Pairs a second after the first batches, while which processes start."""
    for batch in islice(batches, warm):
        len(batch["input_ids"])
    started = time.perf_counter()
    count = sum(len(batch["input_ids"]) for batch in batches)
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
