"""Made-up pairs with the sizes of real ones, in our form and in the reference's, for measuring speed.

Shapes: B pairs, R image tokens (global token first), T text tokens, F region feature size, C region classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.data.collation import PretrainingCollator
from interbert.data.examples import PairData, PretrainingExample, PretrainingPairs
from interbert.data.masking import RegionMasking, SegmentMasking
from interbert.data.negatives import Negatives
from interbert.data.pairs import PairTable
from interbert.data.sampling import EpochBatches
from interbert.data.texts import FlatTexts
from interbert.losses.pretraining import IGNORE_LABEL
from interbert.model.configuration import InterBertConfig
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.regions.schema import Regions
from interbert.utils.stored_names import RegionArrays

CLS, SEP, MASK, FIRST_PIECE = 101, 102, 103, 200
WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class Sizes:
    """Numbers of a caption's tokens and of an image's regions, drawn evenly, both ends included."""

    tokens: tuple[int, int]
    regions: tuple[int, int]


class MadeUpImages:
    """Random regions of each row, the same every time; and random texts."""

    def __init__(self, config: InterBertConfig, sizes: Sizes, seed: int) -> None:
        self.tokenizer = _Pieces(config.vocab_size)
        self._config = config
        self._sizes = sizes
        self._seed = seed
        self._extractor = InterBertRegionFeatureExtractor()

    def take(self, rows: Sequence[int]) -> list[Regions]:
        """Regions of rows."""
        return [self._regions(row) for row in rows]

    def texts_to_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Random ids for each text, [CLS] and [SEP] around them."""
        generator = np.random.default_rng((self._seed, 0))
        low, high = self._sizes.tokens
        counts = generator.integers(low, high + 1, len(texts))
        return [[CLS, *generator.integers(FIRST_PIECE, self._config.vocab_size, n).tolist(), SEP] for n in counts]

    def image_inputs(self, regions: Regions, where: str = "regions") -> RegionArrays:
        """One image's inputs."""
        return self._extractor.image(regions, where)

    def _regions(self, row: int) -> Regions:
        generator = np.random.default_rng((self._seed, 1, row))
        low, high = self._sizes.regions
        count = int(generator.integers(low, high + 1))
        corners = generator.random((count, 2)) * [WIDTH * 0.7, HEIGHT * 0.7]
        sizes = generator.uniform(0.1, 0.3, (count, 2)) * [WIDTH, HEIGHT]
        scores = generator.standard_normal((count, self._config.num_region_classes)) * 2
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return Regions(
            boxes=np.concatenate([corners, corners + sizes], axis=1).astype(np.float32),
            features=np.abs(generator.standard_normal((count, self._config.region_feature_size), dtype=np.float32)),
            class_probs=(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32),
            width=WIDTH,
            height=HEIGHT,
        )


class _Pieces(SimpleNamespace):
    """What masking asks of a tokenizer."""

    def __init__(self, size: int) -> None:
        super().__init__(mask_token_id=MASK, all_special_ids=[0, 100, CLS, SEP, MASK])
        self._size = size

    def __len__(self) -> int:
        return self._size


def pretraining_batches(
    config: InterBertConfig, sizes: Sizes, count: int, batch_size: int, seed: int
) -> list[list[PretrainingExample]]:
    """Masked and mismatched examples of ``count`` pairs, in the batches that training would take them in."""
    made_up = MadeUpImages(config, sizes, seed)
    data = PairData(_table(count), made_up, made_up, seed, "made up")
    pairs = PretrainingPairs(data, Negatives(data.table), lambda step: 0.0, SegmentMasking(), RegionMasking())
    return [pairs.__getitems__(keys) for keys in EpochBatches(data.lengths, batch_size, seed)]


def _table(count: int) -> PairTable:
    every = np.arange(count)
    return PairTable(FlatTexts(map(str, every)), every, np.full(count, -1), every, every)


def retrieval_set(
    config: InterBertConfig, sizes: Sizes, texts: int, images: int, seed: int
) -> tuple[list[list[int]], list[RegionArrays]]:
    """Token ids of texts and model inputs of images."""
    made_up = MadeUpImages(config, sizes, seed)
    ids = made_up.texts_to_ids([""] * texts)
    return ids, [made_up.image_inputs(one) for one in made_up.take(range(images))]


def our_batch(examples: Sequence[PretrainingExample]) -> dict[str, Tensor]:
    """A batch in our form."""
    return PretrainingCollator(_table(1), 0, contrast=False)(examples)


def reference_batch(examples: Sequence[PretrainingExample], tokens: int, regions: int) -> list[Tensor]:
    """The same batch in the order of the reference's forward, padded to its fixed sizes.

    Args:
        examples: masked pairs.
        tokens: every text is padded to so many.
        regions: every image is padded to so many, and the global token.
    """
    padded = [
        (
            _to_length(one.input_ids, tokens),
            _to_length(one.image[0], regions + 1),
            _to_length(one.image[1], regions + 1),
            np.zeros(tokens, dtype=np.int64),
            _to_length(np.ones_like(one.input_ids), tokens),
            _to_length(np.ones(len(one.image[0]), dtype=np.int64), regions + 1),
            _to_length(np.where(one.lm_labels == IGNORE_LABEL, -1, one.lm_labels), tokens, -1),
            _to_length(np.where(one.masked_regions[1:], 1, -1), regions, -1),
            _to_length(one.region_targets[1:], regions),
            np.array(one.matching_label),
        )
        for one in examples
    ]
    ids, features, locations, segments, mask, region_mask, labels, masked, targets, match = (
        torch.from_numpy(np.stack(column)) for column in zip(*padded, strict=True)
    )
    joint_mask = torch.cat([region_mask, mask], dim=1)
    return [ids, features, locations, segments, mask, region_mask, joint_mask, labels, masked, targets, match]


def _to_length(rows: NDArray[np.generic], length: int, value: int = 0) -> NDArray[np.generic]:
    filled = np.full((length, *rows.shape[1:]), value, dtype=rows.dtype)
    filled[: len(rows)] = rows
    return filled
