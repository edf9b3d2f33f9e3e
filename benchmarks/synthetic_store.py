"""Region stores with random numbers, and what pretraining draws from a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interbert.checkpoints.bert import bert_tokenizer
from interbert.data.collation import PretrainingCollator
from interbert.data.examples import PairData, PretrainingPairs
from interbert.data.masking import RegionMasking, SegmentMasking
from interbert.data.negatives import Negatives
from interbert.data.sampling import EpochBatches
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore, is_store
from interbert.training.run_setup import TrainingData
from interbert.utils.terminal import progress_bar

WORDS = 500
"""Different words that titles are made of."""
_SIDE = 400
"""Pixels of an image."""


@dataclass(frozen=True)
class StoreSizes:
    """What a store holds."""

    rows: int
    regions: int
    features: int
    classes: int
    words: tuple[int, int]
    """Fewest and most of a title."""
    top_classes: int | None = None


def synthetic_store(path: Path, sizes: StoreSizes, block: int) -> Path:
    """Write a store, unless it is there whole; ``block`` rows at a time."""
    if is_store(path) and len(RegionStore.open(path)) >= sizes.rows:
        return path
    info = ExtractorInfo("random", {"seed": 0}, sizes.features, sizes.classes)
    path.parent.mkdir(parents=True, exist_ok=True)
    store = RegionStore.open_or_create(path, info, top_k_classes=sizes.top_classes)
    generator = np.random.default_rng(sizes.rows)
    with progress_bar(f"store of {sizes.rows:,}", sizes.rows, "rows") as advance:
        for start in range(0, sizes.rows, block):
            rows = range(start, min(start + block, sizes.rows))
            store.append([_record(row, sizes, generator) for row in rows])
            advance(len(rows))
    return path


def _record(row: int, sizes: StoreSizes, generator: np.random.Generator) -> RegionRecord:
    count = sizes.regions
    corners = np.sort(generator.uniform(0, _SIDE, (count, 2, 2)), axis=1).reshape(count, 4).astype(np.float32)
    weights = generator.exponential(size=(count, sizes.classes)) ** 4  # a few classes have most of it, as a detector's
    probabilities = (weights / weights.sum(1, keepdims=True)).astype(np.float16)
    features = np.abs(generator.standard_normal((count, sizes.features))).astype(np.float16)
    fewest, most = sizes.words
    words = [f"word{number}" for number in generator.integers(0, WORDS, int(generator.integers(fewest, most + 1)))]
    regions = Regions(corners, features, probabilities, _SIDE, _SIDE)
    text = f"{' '.join(words)} {row}"
    return RegionRecord(f"image-{row}", "", f"{row:064x}", 0, row, (text,), ("title",), regions)


@dataclass(frozen=True)
class Drawing:
    """What pretraining draws its batches by."""

    dataset: PretrainingPairs
    order: EpochBatches
    collate: PretrainingCollator


def pretraining_draws(data: TrainingData, where: str, bert: str, batch_size: int, contrast: bool = True) -> Drawing:
    """Random negatives, segments and regions masked as the paper does."""
    mean, deviation = data.store.feature_statistics()
    extractor = InterBertRegionFeatureExtractor(data.store.info.to_dict(), mean.tolist(), deviation.tolist())
    processor = InterBertProcessor(extractor, bert_tokenizer(bert), max_text_tokens=36)
    pairs = PairData(data.table, data.store, processor, 0, where)
    return Drawing(
        PretrainingPairs(pairs, Negatives(data.table), _no_hard_ones, SegmentMasking(), RegionMasking()),
        EpochBatches(pairs.lengths, batch_size, 0),
        PretrainingCollator(data.table, processor.pad_token_id, contrast),
    )


def _no_hard_ones(step: int) -> float:
    return 0.0
