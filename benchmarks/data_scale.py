"""Time and memory of the data path, from ten thousand to a million rows.

    python benchmarks/data_scale.py --out runs/data_scale

Writes region stores with small random features (kept for the next run), then, each size in a process of its own, opens
one as training does (pairs, groups, tokens, order) and draws pretraining batches of one epoch's middle. Prints seconds
to open, milliseconds per sample, and the peak of resident memory, libraries included; then pretrains on it for a few
steps (random negatives, no warm start), and prints milliseconds per sample and that peak too, with the part that is its
own (the rest is files of libraries, most of them torch's for GPUs, which the system drops when it needs room).
`--init-from tiny` trains a model of 2 layers, whose memory is little beside that of libraries and data. The last line
is JSON. The aims: under 2 GiB at a million rows, and time per sample flat.

That is the data path without mined negatives and without the warm start. What these hold besides, at their default
settings and with features as wide as the default extractor's, is measured with

    python benchmarks/data_scale.py --out runs/data_scale --default-settings --rows 4000 12000

which does, in a process for each size, what `interbert pretrain` does before its first step: pool every image's
features, mine neighbours, standardise the features for the warm start. Memory is the process's own, before and after.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from interbert.training.model_card import versions
from interbert.utils.environment import keep_freed_memory

SIZES = (10_000, 100_000, 1_000_000)
FEATURES, CLASSES, REGIONS = 32, 8, 4
DEFAULT_FEATURES = 1459
"""Numbers of a region by the default extractor."""
_BLOCK = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for the stores (about 1 GB per million rows)")
    parser.add_argument("--rows", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--init-from",
        default="minilm",
        help="BERT whose tokenizer is used, and whose model is trained; tiny: a random one, 128 wide, 2 layers",
    )
    parser.add_argument(
        "--default-settings", action="store_true", help="memory of mined negatives and warm start alone"
    )
    parser.add_argument("--train-steps", type=int, default=60, help="pretraining steps of 32 pairs; 0 does not train")
    arguments = parser.parse_args()
    from synthetic_store import StoreSizes, synthetic_store  # not where processes that measure memory begin

    if arguments.default_settings:
        _default_settings(Path(arguments.out), arguments.rows)
        return
    bert = _tiny(Path(arguments.out) / "tiny") if arguments.init_from == "tiny" else arguments.init_from
    found = {}
    for rows in arguments.rows:
        path = Path(arguments.out) / f"store-{rows}"
        synthetic_store(path, StoreSizes(rows, REGIONS, FEATURES, CLASSES, (3, 8)), _BLOCK)
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            line = pool.apply(measure, (str(path), arguments.batches, arguments.batch_size, bert))
        if arguments.train_steps:
            with context.Pool(1) as pool:
                line |= pool.apply(train, (str(path), arguments.train_steps, bert, rows))
        found[rows] = line
        print(f"{rows:>9,} rows: {json.dumps(line)}", flush=True)
    print(json.dumps({"rows": found, "versions": versions()}))


def _default_settings(out: Path, sizes: list[int]) -> None:
    """Print the memory of every size, and what a row of it costs."""
    from synthetic_store import StoreSizes, synthetic_store

    found = {}
    for rows in sizes:
        path = out / f"store-{rows}-{DEFAULT_FEATURES}"
        synthetic_store(path, StoreSizes(rows, REGIONS, DEFAULT_FEATURES, CLASSES, (3, 8)), _BLOCK)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[rows] = pool.apply(before_the_first_step, (str(path),))
        print(f"{rows:>9,} rows: {json.dumps(found[rows])}", flush=True)
    few, many = min(found), max(found)
    a_row = {name: round((found[many][name] - found[few][name]) * 1024 / max(many - few, 1), 2) for name in found[few]}
    print(json.dumps({"rows": found, "kib_a_row": a_row, "versions": versions()}))


def before_the_first_step(path: str) -> dict[str, float]:
    """What pretraining holds of one store before its first step, in MiB of this process's own memory."""
    from interbert.data.negatives import Negatives
    from interbert.training.options import NegativeOptions
    from interbert.training.run_setup import open_data

    keep_freed_memory()  # as the command does
    chosen = NegativeOptions()
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as part, _own_memory() as own:
        folder = Path(part)
        data = open_data(path, None, 0.05, 500, [], 0)
        opened = own[-1]
        pooled = data.pooled(folder)
        time.sleep(0.3)
        held = own[-1]
        negatives = Negatives.mined(data.table, pooled, near_same=chosen.near_same, folder=folder)
        time.sleep(0.3)
        after = own[-1]
        assert negatives.table is data.table
    return {"opened_mib": opened, "pooled_mib": held, "mined_and_scaled_mib": after, "peak_mib": max(own)}


def _tiny(folder: Path) -> str:
    """A random small BERT with MiniLM's tokens."""
    from transformers import BertConfig, BertModel

    from interbert.checkpoints.bert import bert_tokenizer

    tokenizer = bert_tokenizer("minilm")
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def measure(path: str, batches: int, batch_size: int, bert: str) -> dict[str, Any]:
    """One store, in this process: seconds to open, milliseconds per sample, peak memory in MiB."""
    from synthetic_store import pretraining_draws

    from interbert.training.run_setup import open_data

    before = _peak()
    started = time.perf_counter()
    data = open_data(path, None, 0.001, 500, [], 0)
    table_seconds = time.perf_counter() - started
    drawing = pretraining_draws(data, path, bert, batch_size)
    opened = time.perf_counter() - started
    middle = len(drawing.order) // 2
    keys = list(islice(iter(drawing.order), middle, middle + batches + 5))
    milliseconds = []
    for batch in keys:
        started = time.perf_counter()
        drawing.collate(drawing.dataset.__getitems__(batch))
        milliseconds.append((time.perf_counter() - started) * 1000 / len(batch))
    return {
        "open_s": round(opened, 1),
        "table_s": round(table_seconds, 1),
        "ms_per_sample": round(float(np.median(milliseconds[5:])), 3),
        "peak_mib": _peak(),
        "before_mib": before,
    }


def train(path: str, steps: int, bert: str, rows: int) -> dict[str, float]:
    """Pretraining from one store, in this process: milliseconds per sample, and memory in MiB."""
    from interbert.training.options import NegativeOptions, PretrainOptions, TrainingOptions, WarmStartOptions
    from interbert.training.pretrain import pretrain
    from interbert.training.trainer import LOG_HISTORY

    keep_freed_memory()  # as the command does
    before = _peak()
    with _own_memory() as own, tempfile.TemporaryDirectory() as folder:
        pretrain(
            PretrainOptions(
                regions=path,
                out=folder + "/model",
                init_from=bert,
                validation_share=min(0.05, 500 / rows),
                negatives=NegativeOptions(hard_share=0),
                warm_start=WarmStartOptions(head_epochs=0, epochs=0),
                training=TrainingOptions(max_steps=steps, batch_size=32, log_steps=10),
            )
        )
        lines = [json.loads(line) for line in (Path(folder) / "model" / LOG_HISTORY).read_text().splitlines()]
    rates = [line["pairs_per_second"] for line in lines if "pairs_per_second" in line][1:]
    return {
        "training_ms_per_sample": round(1000 / float(np.median(rates)), 2),
        "training_peak_mib": _peak(),
        "training_own_mib": max(own),
        "training_imports_mib": before,
    }


@contextmanager
def _own_memory() -> Iterator[list[int]]:
    """Samples, in MiB and a tenth of a second apart, of the memory that belongs to this process alone (Linux)."""
    samples = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            status = Path("/proc/self/status").read_text(encoding="ascii")
            samples.append(int(status.split("RssAnon:")[1].split()[0]) // 1024)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
