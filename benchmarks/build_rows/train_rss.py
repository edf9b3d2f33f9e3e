"""MiB that training takes for a million rows of regions, at default settings: the more of pretraining and fine-tuning.

Pretraining pools every row's features for its warm start and for the image neighbours; retrieval fine-tuning mines
its negatives by the model. Both run as their commands do, to three steps, in processes of their own, at two sizes:
the difference of their largest resident memory over the difference of rows is what a row takes. What is made: regions
are read from no store but from a bank of 4,096 random ones, 14 an image of 1,459 float16 numbers and 1,000 classes as
the default extractor gives them; titles are of eight words and a number; the model is 128 wide with a contrastive
size of 384, as its own memory is not asked for; passes of the warm start are one, and its batches of 256. Neighbours
are looked for in parts of 5,000 instead of 50,000 pairs, which is a constant in both sizes, except by pretraining
with --full. Both sizes are above what else is bounded: 500 validation images, 16,384 training images whose features
are compared. The disk, which ours uses instead, takes 4 bytes for each pooled number. With --full ours has a million
rows; the build before has 100,000, as it would not end in 87 GB.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import row

TOLERANCES = {"loss": 1.0}
_FEATURES, _CLASSES, _REGIONS, _BANK = 1459, 1000, 14, 4096
_SIZES = {("base", False): (20_000, 40_000), ("ours", False): (20_000, 40_000)}
_SIZES |= {("base", True): (50_000, 100_000), ("ours", True): (100_000, 1_000_000)}
_PART = 5_000


def prepare(setting: row.Setting) -> None:
    """A small BERT, and a model that is fine-tuned."""
    bert = setting.common / "bert"
    if not (bert / "config.json").is_file():
        _small_bert(bert)
    if not (setting.own / "model" / "finished.json").is_file():
        shutil.rmtree(setting.own / "model", ignore_errors=True)
        _one("pretrain", setting, 2000, setting.own / "model")


def measure(setting: row.Setting) -> dict[str, Any]:
    """Four processes."""
    few, many = _SIZES[setting.build, setting.full]
    found: dict[str, Any] = {"rows": [few, many]}
    losses = []
    for verb in ("pretrain", "finetune"):
        peaks = []
        for rows in (few, many):
            out = setting.own / f"{verb}_{rows}"
            shutil.rmtree(out, ignore_errors=True)
            said = _one(verb, setting, rows, out)
            shutil.rmtree(out, ignore_errors=True)
            peaks.append(said["peak_mib"])
            losses.append(said["loss"])
        found[verb] = {"peak_mib": peaks, "mib_per_million": (peaks[1] - peaks[0]) * 1e6 / (many - few)}
    value = max(found[verb]["mib_per_million"] for verb in ("pretrain", "finetune"))
    return {"value": value, "unit": "MiB", **found, "equal": {"loss": float(np.mean(losses))}}


def _one(verb: str, setting: row.Setting, rows: int, out: Path) -> dict[str, float]:
    where = [str(setting.common / "bert"), str(setting.own / "model"), str(out)]
    command = [sys.executable, __file__, "--one", verb, str(rows), *where, "full" if setting.full else "part"]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def _small_bert(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    from interbert.checkpoints.bert import bert_tokenizer

    tokenizer = bert_tokenizer("minilm")
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _run(verb: str, rows: int, bert: str, model: str, out: str, full: bool) -> None:
    """The verb in this process, and what it took."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    keep_freed_memory()
    read_made_regions(rows)
    if verb == "finetune" or not full:
        _small_parts()
    _train(verb, bert, model, out)
    lines = [json.loads(line) for line in Path(out, "log_history.jsonl").read_text().splitlines()]
    loss = next(line["loss"] for line in lines if "loss" in line)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mib": peak, "loss": loss}))


def _train(verb: str, bert: str, model: str, out: str) -> None:
    from interbert.training.options import (
        FinetuneRetrievalOptions,
        PretrainOptions,
        TrainingOptions,
        WarmStartOptions,
    )

    training = TrainingOptions(epochs=1, max_steps=3, batch_size=32)
    if verb == "pretrain":
        from interbert.training.pretrain import pretrain

        warm = WarmStartOptions(head_epochs=1, epochs=1, batch_size=256)
        pretrain(PretrainOptions("made", out, init_from=bert, warm_start=warm, training=training))
    else:
        from interbert.training.finetune import finetune_retrieval

        finetune_retrieval(FinetuneRetrievalOptions(model, "made", out, training=training))


def either(*names: str) -> Any:
    """The first of these modules that this build has: the present name, then the earlier one."""
    for name in names:
        if importlib.util.find_spec(name.rpartition(".")[0]) and importlib.util.find_spec(name):
            return importlib.import_module(name)
    raise SystemExit(f"this build has none of {', '.join(names)}")


def keep_freed_memory() -> None:
    """As the command does."""
    either("interbert.utils.environment", "interbert.memory").keep_freed_memory()


def _small_parts() -> None:
    module = either("interbert.data.neighbours", "interbert.data.negatives")
    if module._by_shards.__defaults__ == (None,):
        module._SHARD = _PART
    else:  # the earlier build
        module._by_shards.__defaults__ = (_PART,)


def read_made_regions(rows: int) -> None:
    """Put made rows in the place of every store."""
    run_setup = either("interbert.training.run_setup", "interbert.training.session")
    reader: Any = either("interbert.regions.reader", "interbert.regions.schema").RegionReader
    from interbert.regions.schema import CaptionRow, ExtractorInfo, Regions

    generator = np.random.default_rng(0)
    features = np.abs(generator.standard_normal((_BANK, _FEATURES), dtype=np.float32)).astype(np.float16)
    classes = generator.exponential(size=(_BANK, _CLASSES)) ** 4
    classes = (classes / classes.sum(axis=1, keepdims=True)).astype(np.float16)
    corners = np.sort(generator.uniform(0, 400, (_BANK, 2, 2)), axis=1).reshape(_BANK, 4).astype(np.float32)

    class MadeStore(reader):  # type: ignore[misc]
        """Rows that are made when they are read."""

        path = folder = "made"
        fingerprint = "made"
        info = ExtractorInfo("made", {"seed": 0}, _FEATURES, _CLASSES)

        @classmethod
        def open(cls, path: str) -> MadeStore:
            """As a store is opened."""
            return cls()

        def __len__(self) -> int:
            return rows

        def captions(self) -> Iterator[CaptionRow]:
            """Titles."""
            for row_number in range(rows):
                words = np.random.default_rng(row_number).integers(0, 2000, 8)
                text = " ".join(f"word{word}" for word in words) + f" {row_number}"
                ids = (f"image-{row_number}", "", f"{row_number:064x}")
                yield CaptionRow(row_number, *ids, 0, row_number, (text,), ("title",))

        def take(self, rows: Sequence[int]) -> list[Regions]:
            """Regions, of the bank."""
            found = []
            for one in rows:
                chosen = (int(one) * 31 + np.arange(_REGIONS) * (int(one) % 89 + 1)) % _BANK
                found.append(Regions(corners[chosen], features[chosen], classes[chosen], 400, 400))
            return found

    run_setup.RegionStore = MadeStore


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        parser = argparse.ArgumentParser()
        parser.add_argument("--one", nargs=6)
        verb, rows, bert, model, out, size = parser.parse_args().one
        _run(verb, int(rows), bert, model, out, size == "full")
    else:
        row.main(__doc__, prepare, measure)
