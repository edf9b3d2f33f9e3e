"""Batches for training, prepared ahead in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from interbert.data.sampling import Batches
from interbert.utils.environment import keep_freed_memory

Collate = Callable[[Sequence[Any]], dict[str, Tensor]]
FEATURES = ("region_features", "contrast_region_features")
"""Of a batch: nearly all of its bytes."""


def batch_loader(
    dataset: Dataset[Any],
    batches: Batches,
    collate: Collate,
    workers: int,
    for_gpu: bool,
    bf16: bool,
    generator: torch.Generator | None = None,
) -> DataLoader[dict[str, Tensor]]:
    """Batches of examples by their keys, in the order of ``batches``.

    Args:
        dataset: examples by sample key.
        batches: keys of this process.
        collate: examples to tensors.
        workers: processes that prepare batches, two each ahead; 0 prepares them in this one.
        for_gpu: put them where a GPU fetches them without the processor.
        bf16: the model computes in bf16. For a GPU region features then come in it: half the bytes on their way, and
            the numbers that the model's first product would make of them there.
        generator: of the loader's own draws; torch's global one when not given.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=_Narrowed(collate) if for_gpu and bf16 else collate,
        num_workers=workers,
        pin_memory=for_gpu and torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        generator=generator,
        # the store's library runs threads, which a forked child would not have
        multiprocessing_context="forkserver" if workers else None,
    )


def _start_worker(number: int) -> None:
    """What the command does for its own process."""
    keep_freed_memory()


@dataclass(frozen=True)
class _Narrowed:
    """A collator's batches with region features in bf16."""

    collate: Collate

    def __call__(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        batch = self.collate(examples)
        return batch | {name: batch[name].bfloat16() for name in FEATURES if name in batch}
