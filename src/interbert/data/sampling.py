"""Batches of an epoch: shuffled, of like length, and the same in every process and after every restart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """One sample of one epoch."""

    epoch: int
    step: int
    """Batches drawn before this one, over all epochs: what a curriculum goes by."""
    pair: int


class _Epoch:
    """Holds the epoch where accelerate looks for it (``batch_sampler.sampler``), sharded or not."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class EpochBatches(Sampler[list[SampleKey]]):
    """Batches of sample keys.

    Pairs are shuffled, sorted by text length inside windows of 50 batches, cut into batches, and the batches shuffled:
    little padding, and nearly the randomness of a plain shuffle. The last, smaller batch is kept unless it has fewer
    than two pairs, which no contrast can use.

    Args:
        lengths: [n] tokens of each pair's text.
        batch_size: pairs per batch.
        seed: of the run.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.batch_size = batch_size
        self.drop_last = False
        self.sampler = _Epoch()
        self._lengths = np.asarray(lengths)
        self._seed = seed

    def __len__(self) -> int:
        full, rest = divmod(len(self._lengths), self.batch_size)
        return full + (rest > 1 or not full)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch = self.sampler.epoch
        generator = np.random.default_rng((self._seed, epoch))
        order = generator.permutation(len(self._lengths))
        window = 50 * self.batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(order), window):
            part = order[start : start + window]
            part = part[np.argsort(self._lengths[part], kind="stable")]
            batches += [part[at : at + self.batch_size] for at in range(0, len(part), self.batch_size)]
        if len(batches) > 1 and self.batch_size > 1:
            batches = [batch for batch in batches if len(batch) > 1]
        for position, index in enumerate(generator.permutation(len(batches))):
            step = epoch * len(self) + position
            yield [SampleKey(epoch, step, int(pair)) for pair in batches[index]]
