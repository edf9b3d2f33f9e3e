"""What a model says of every example of a split; text-only and mean-image controls included.

Shapes: F region feature size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import inference, on_device
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head
from interbert.vl_tasks.image_regions import TaskRegions
from interbert.vl_tasks.items import VLCollator, VLItems
from interbert.vl_tasks.task import Prediction

_BATCH = 64
_MEAN_IMAGES = 500


def predict_items(
    model: Any,
    items: VLItems,
    head: Head,
    pad_id: int,
    progress: Callable[[int], None] | None = None,
    bf16: bool | None = None,
) -> list[Prediction]:
    """A prediction for each item, in their order; computed in order of length.

    Args:
        model: of ``head.model_class``.
        items: with or without targets.
        head: of the model's task.
        pad_id: id of [PAD].
        progress: told after each batch how many items it had.
        bf16: compute in bf16; None does where the device has it.
    """
    collate = VLCollator(pad_id, head)
    found: dict[int, Prediction] = {}
    order = np.lexsort((np.array(items.lengths), np.array(items.choices))).tolist()
    with inference(model, bf16):
        for part in _batches(order, items.choices):
            chosen = items.at(part)
            batch = on_device(collate(chosen), model.device)
            values = head.probabilities(head.logits(model, batch)).cpu().numpy()
            for place, item, row in zip(part, chosen, values, strict=True):
                own = row[: len(item.boxes)] if head.of_regions else row
                boxes = item.boxes if head.of_regions else item.boxes[:0]
                found[place] = Prediction(head.answer(own, item.boxes), own, boxes)
            if progress is not None:
                progress(len(part))
    return [found[place] for place in range(len(items))]


def _batches(order: Sequence[int], choices: Sequence[int]) -> list[list[int]]:
    """Places in batches of as many choices each."""
    batches: list[list[int]] = []
    for place in order:
        if not batches or len(batches[-1]) == _BATCH or choices[batches[-1][0]] != choices[place]:
            batches.append([])
        batches[-1].append(place)
    return batches


def mean_feature(
    examples: Sequence[Example], regions: TaskRegions, processor: InterBertProcessor, seed: int = 0
) -> NDArray[np.float32]:
    """Mean [F] of the region features, as the model reads them, of a sample of the examples' images."""
    names = sorted({image for one in examples for image in one.images})
    chosen = np.random.default_rng(seed).permutation(len(names))[:_MEAN_IMAGES]
    features = [
        processor.image_inputs(regions.take([names[place]])[0], f"image {names[place]}")[0][0] for place in chosen
    ]
    found: NDArray[np.float32] = np.stack(features).mean(axis=0, dtype=np.float32)
    return found
