"""Batches of an epoch: shuffled, of like length, and the same in every process and after every restart.

What one optimizer step sees does not depend on how it is cut: two processes of B pairs, one process of 2 B, and one
of B that accumulates twice take the same pairs in the same step, and draw the same masks for them.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from interbert.errors import ConfigError


class SampleKey(NamedTuple):
    """One sample of one epoch."""

    epoch: int
    step: int
    """Optimizer steps before this one, over all epochs: what a curriculum goes by."""
    pair: int
    together: tuple[int, ...] = ()
    """Pairs of the same batch in all processes, this one's among them; empty when there is one process."""
    visit: int = 0
    """Visits to the pair before this one in the same epoch."""


def sample_generator(seed: int, epoch: int, sample: int | str, purpose: str) -> np.random.Generator:
    """A generator that gives the same draws in any process, worker or order, and after any restart.

    Args:
        seed: seed of the run.
        epoch: passes over the data so far.
        sample: which sample.
        purpose: which decision ("text mask", "match", ...), so that decisions are independent of each other.
    """
    key = f"{seed}\x1f{epoch}\x1f{sample}\x1f{purpose}".encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little"))


@dataclass(frozen=True)
class Cut:
    """How the pairs of one optimizer step are divided."""

    processes: int = 1
    process: int = 0
    """Which of them this is, from 0."""
    accumulation: int = 1
    """Batches per optimizer step and process."""

    @property
    def parts(self) -> int:
        """Batches per optimizer step, over all processes."""
        return self.processes * self.accumulation


class _Epoch:
    """Holds the epoch where accelerate looks for it (``batch_sampler.sampler``)."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class Batches(Sampler[list[Any]], ABC):
    """This process's batches of keys, each epoch's by itself: what a loader, a resumed run and a diagnosis go by."""

    processes = 1
    """Processes that share a step."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.drop_last = False
        self.sampler = _Epoch()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self.sampler.set_epoch(epoch)

    def batch(self, number: int) -> list[Any]:
        """The batch of this process that comes after so many others, over all epochs."""
        epoch, place = divmod(number, len(self))
        return next(islice(self._of_epoch(epoch), place, None))

    def __iter__(self) -> Iterator[list[Any]]:
        return self._of_epoch(self.sampler.epoch)

    @abstractmethod
    def __len__(self) -> int:
        """Batches of an epoch."""

    @abstractmethod
    def _of_epoch(self, epoch: int) -> Iterator[list[Any]]:
        """The batches of an epoch."""


class DrawnBatches(Batches):
    """Batches that a function draws.

    Args:
        draw: the batches of an epoch.
        steps: how many they are.
        batch_size: keys of a full batch.
        processes: that share a step; ``draw`` gives this one's batches.
    """

    def __init__(
        self, draw: Callable[[int], Iterator[list[Any]]], steps: int, batch_size: int, processes: int = 1
    ) -> None:
        super().__init__(batch_size)
        self.processes = processes
        self._draw = draw
        self._steps = steps

    def __len__(self) -> int:
        return self._steps

    def _of_epoch(self, epoch: int) -> Iterator[list[Any]]:
        return self._draw(epoch)


class EpochBatches(Batches):
    """This process's batches of sample keys.

    Pairs are shuffled, sorted by text length inside windows of 50 steps, divided into steps, and the steps shuffled:
    little padding, and nearly the randomness of a plain shuffle. A step's pairs are cut evenly into its batches. The
    last, smaller step is kept unless its batches have fewer than two pairs, which no contrast can use; at most
    ``cut.parts - 1`` pairs of it are left out, so that its batches are of one size.

    Args:
        lengths: [n] tokens of each pair's text.
        batch_size: pairs per batch.
        seed: of the run.
        cut: processes and accumulation.
        visits: [n] how often an epoch visits each pair, once when not given. Whole visits are made in every epoch; for
            the fraction, each epoch draws that share of the pairs that have it, anew and independently of the epochs
            before: the nearest whole number of pairs, and never none.

    Raises:
        ConfigError: the pairs are too few to give every process a batch.
    """

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[np.int64],
        batch_size: int,
        seed: int,
        cut: Cut | None = None,
        visits: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(batch_size)
        self._lengths = np.asarray(lengths)
        self._seed = seed
        self._cut = cut or Cut()
        self.processes = self._cut.processes
        self._visits = _Visits(len(self._lengths), visits)
        self._step_size = batch_size * self._cut.parts
        if not len(self):
            raise ConfigError(
                f"{len(self._visits)} pairs are too few for {self._cut.parts} batches per step "
                f"({self._cut.processes} processes, {self._cut.accumulation} accumulated)."
            )

    @property
    def pairs(self) -> int:
        """Visits of an epoch."""
        return len(self._visits)

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        full, rest = divmod(len(self._visits), self._step_size)
        return full + bool(self._usable(rest) or (not full and self._cut.parts == 1 and rest))

    def __len__(self) -> int:
        return self.steps * self._cut.accumulation

    def _of_epoch(self, epoch: int) -> Iterator[list[SampleKey]]:
        cut = self._cut
        generator = np.random.default_rng((self._seed, epoch))
        pairs, visits = self._visits.of_epoch(generator)
        steps = self._shuffled_steps(self._lengths[pairs], generator)
        for position, index in enumerate(generator.permutation(len(steps))):
            step = epoch * self.steps + position
            batches = np.split(steps[index], cut.parts)
            for start in range(0, cut.parts, cut.processes):
                row = batches[start : start + cut.processes]
                together = tuple(pairs[np.concatenate(row)].tolist()) if cut.processes > 1 else ()
                own = row[cut.process]
                yield [
                    SampleKey(epoch, step, pair, together, visit)
                    for pair, visit in zip(pairs[own].tolist(), visits[own].tolist(), strict=True)
                ]

    def _shuffled_steps(self, lengths: NDArray[np.int64], generator: np.random.Generator) -> list[NDArray[np.int64]]:
        """Places of each step's pairs, the steps in order of length within their windows."""
        order = generator.permutation(len(lengths))
        window = 50 * self._step_size
        steps: list[NDArray[np.int64]] = []
        for start in range(0, len(order), window):
            part = order[start : start + window]
            part = part[np.argsort(lengths[part], kind="stable")]
            steps += [part[at : at + self._step_size] for at in range(0, len(part), self._step_size)]
        if len(steps) > 1:
            steps = [step for step in steps if self._usable(len(step))]
        return [step[: len(step) // self._cut.parts * self._cut.parts] for step in steps]

    def _usable(self, pairs: int) -> bool:
        return pairs // self._cut.parts >= min(2, self.batch_size)


class _Visits:
    """Which pairs an epoch visits: as many in every epoch."""

    def __init__(self, pairs: int, visits: NDArray[np.float64] | None) -> None:
        whole = np.ones(pairs, dtype=np.int64) if visits is None else np.floor(visits).astype(np.int64)
        self._pairs = np.repeat(np.arange(pairs), whole)
        ends = np.repeat(np.cumsum(whole), whole)
        self._numbers = np.arange(len(self._pairs)) - ends + np.repeat(whole, whole)
        self._shares: list[tuple[NDArray[np.int64], int]] = []
        """Pairs of which a number is drawn anew in each epoch."""
        rest = np.zeros(pairs) if visits is None else visits - whole
        for share in np.unique(rest[rest > 0]):
            some = np.flatnonzero(rest == share)
            self._shares.append((some, max(1, round(float(share) * len(some)))))
        self._whole = whole

    def __len__(self) -> int:
        return len(self._pairs) + sum(count for _, count in self._shares)

    def of_epoch(self, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs, and how often each was visited before in the epoch."""
        pairs, numbers = [self._pairs], [self._numbers]
        for some, count in self._shares:
            drawn = generator.choice(some, count, replace=False)
            pairs.append(drawn)
            numbers.append(self._whole[drawn])
        return np.concatenate(pairs), np.concatenate(numbers)
