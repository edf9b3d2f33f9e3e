"""Controls of a ranking: the same evaluation over images that can tell nothing, which has to fall to chance.

*Shuffled images* exchange the images of a gallery. A score is a function of its text and image, so that exchanges
columns of the scores; it tests what is made of the scores, not the model.

*The mean image* stands in the place of every image, and the model scores again. A ranking that is better than
chance then comes from something else than the images: their order, their number, what was kept of earlier ones.

Shapes: R image tokens of an image, F region feature size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from interbert.region_arrays import RegionArrays
from interbert.tasks.metrics import Bool, DirectionMetrics, blind_metrics

Floats = NDArray[np.floating]
Texts = Sequence[Sequence[int]]

_TEXTS = 32
"""Texts of the control: each costs as much as a text of the ranking itself."""
_EQUAL = 1e-3
"""Scores are equal that differ by no more than this share of the deviation of the real ones: by rounding."""


def mean_images(images: Sequence[RegionArrays]) -> list[RegionArrays]:
    """The mean image as often as there are images: region_features [R,F] and region_locations [R,5] of each.

    It has the mean number of tokens; each is the mean of the tokens in its place, of the images that have one there.
    """
    if not images:
        return []
    tokens = max(1, round(float(np.mean([len(features) for features, _ in images]))))
    sums = [np.zeros((tokens, part.shape[1])) for part in images[0]]
    seen = np.zeros(tokens)
    for image in images:
        for total, part in zip(sums, image, strict=True):
            total[: len(part)] += part[:tokens]
        seen[: len(image[0])] += 1
    features, locations = ((total / seen[:, None]).astype(np.float32) for total in sums)
    return [(features, locations)] * len(images)


def mean_image_control(
    score: Callable[[Texts, Sequence[RegionArrays], NDArray[np.int64]], Floats],
    texts: Texts,
    images: Sequence[RegionArrays],
    scores: Floats,
    relevant: Bool,
    pool: Bool | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> DirectionMetrics:
    """Text to image when every image is the mean image; at chance exactly, unless something else is read.

    Args:
        score: texts' token ids, images, places of the texts among all -> scores [texts, candidates], in float32.
        texts: token ids of all texts; a sample of 32 is asked.
        images: model inputs of the real images.
        scores: [texts, candidates] of the real images, for the size of a difference.
        relevant: bool [texts, candidates].
        pool, bootstrap, seed: as in :func:`~interbert.tasks.metrics.blind_metrics`.
    """
    asked = np.sort(np.random.default_rng(seed).permutation(len(texts))[:_TEXTS])
    blind = score([texts[place] for place in asked.tolist()], mean_images(images), asked)
    tolerance = _EQUAL * float(np.std(scores))
    asked_pool = None if pool is None else pool[asked]
    return blind_metrics(blind, relevant[asked], tolerance, asked_pool, bootstrap, seed)
