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

import numpy as np
import torch

from interbert.data.collation import PretrainingCollator
from interbert.data.examples import PairData, PretrainingPairs
from interbert.data.negatives import Negatives
from interbert.data.sampling import EpochBatches
from interbert.memory import keep_freed_memory
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.objectives.region_masking import RegionMasking
from interbert.objectives.segment_masking import SegmentMasking
from interbert.progress import progress_bar
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore, is_store
from interbert.training.loader import batch_loader
from interbert.training.provenance import versions
from interbert.training.session import open_data

FEATURES, CLASSES, REGIONS, TOP = 2048, 1601, 36, 32
WORDS = 500
_BLOCK = 250
PARTS = {
    "reading": "take",
    "scaling": "picture_inputs",
    "text": "SegmentMasking.__call__",
    "collation": "PretrainingCollator.__call__",
}


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
        if not is_store(path) or len(RegionStore.open(path)) < arguments.rows:
            write(path, arguments.rows, top)
        found[name] = measure(path, arguments)
        print(f"class distributions {name}: {json.dumps(found[name])}", flush=True)
    print(json.dumps({"stores": found, "threads": torch.get_num_threads(), "versions": versions()}))


def write(path: Path, rows: int, top: int | None) -> None:
    """A store of random regions."""
    info = ExtractorInfo("random", {"seed": 0}, FEATURES, CLASSES)
    path.parent.mkdir(parents=True, exist_ok=True)
    store = RegionStore.open_or_create(path, info, top_k_classes=top)
    generator = np.random.default_rng(0)
    with progress_bar(f"store of {rows:,}", rows, "rows") as advance:
        for start in range(0, rows, _BLOCK):
            store.append([record(row, generator) for row in range(start, min(start + _BLOCK, rows))])
            advance(min(_BLOCK, rows - start))


def record(row: int, generator: np.random.Generator) -> RegionRecord:
    """A row."""
    corners = np.sort(generator.uniform(0, 400, (REGIONS, 2, 2)), axis=1).reshape(REGIONS, 4).astype(np.float32)
    shares = generator.exponential(size=(REGIONS, CLASSES)) ** 4
    probabilities = (shares / shares.sum(1, keepdims=True)).astype(np.float16)
    features = np.abs(generator.standard_normal((REGIONS, FEATURES))).astype(np.float16)
    words = [f"word{number}" for number in generator.integers(0, WORDS, int(generator.integers(5, 15)))]
    regions = Regions(corners, features, probabilities, 400, 400)
    text = f"{' '.join(words)} {row}"
    return RegionRecord(f"picture-{row}", "", f"{row:064x}", 0, row, (text,), ("title",), regions)


def measure(path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rates of one store."""
    from interbert.checkpoints.bert import bert_tokenizer

    data = open_data(str(path), None, 0.001, 500, [], 0)
    mean, deviation = data.store.feature_statistics()
    extractor = InterBertRegionFeatureExtractor(data.store.info.to_dict(), mean.tolist(), deviation.tolist())
    processor = InterBertProcessor(extractor, bert_tokenizer(arguments.init_from), max_text_tokens=36)
    pairs = PairData(data.table, data.store, processor, 0, str(path))
    order = EpochBatches(pairs.lengths, arguments.batch_size, 0)
    dataset = PretrainingPairs(pairs, Negatives(data.table), no_hard, SegmentMasking(), RegionMasking())
    collate = PretrainingCollator(data.table, processor.pad_token_id, contrast=not arguments.no_contrast)

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


def no_hard(step: int) -> float:
    """Share of hard negatives."""
    return 0.0


def shares_of(profile: cProfile.Profile) -> dict[str, float]:
    """Parts of the time, by the functions that they are in."""
    stats = pstats.Stats(profile)
    names = {part: name.split(".")[-1] for part, name in PARTS.items()}
    whole: float = stats.total_tt  # type: ignore[attr-defined]
    found = dict.fromkeys(PARTS, 0.0)
    for (file, _, function), (_, _, _, seconds, _) in stats.stats.items():  # type: ignore[attr-defined]
        for part, name in names.items():
            right = {"reading": "store.py", "text": "segment_masking.py", "collation": "collation.py"}.get(part, "")
            if function == name and file.endswith(right):
                found[part] = max(found[part], seconds)
    return {part: round(seconds / whole, 2) for part, seconds in found.items()}


def rate(batches: Iterator[dict[str, torch.Tensor]], warm: int = 4) -> float:
    """Pairs a second after the first batches, while which processes start."""
    for batch in islice(batches, warm):
        len(batch["input_ids"])
    started = time.perf_counter()
    count = sum(len(batch["input_ids"]) for batch in batches)
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
