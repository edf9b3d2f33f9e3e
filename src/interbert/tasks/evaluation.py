"""The full ranking in both directions, and its controls: images that can tell nothing have to make it fall to chance.

*Shuffled images* exchange the images of a gallery. A score is a function of its text and image, so that exchanges
columns of the scores; it tests what is made of the scores, not the model.

*The mean image* stands in the place of every image, and the model scores again. A ranking that is better than
chance then comes from something else than the images: their order, their number, what was kept of earlier ones.

Shapes: R image tokens of an image, F region feature size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.tasks.metrics import (
    Bool,
    DirectionMetrics,
    RetrievalMetrics,
    blind_metrics,
    calibration_error,
    direction_metrics,
    retrieval_metrics,
)
from interbert.tasks.retrieval import RERANKED, RetrievalSet
from interbert.utils.stored_names import RegionArrays

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


Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class RetrievalReport:
    """What one full ranking gave."""

    scores: Float32
    """[texts, images], matching logit differences."""
    joint: RetrievalMetrics
    dual: DirectionMetrics | None
    """Text to image by the dual encoder's projections; None without a contrastive head."""
    by_head: DirectionMetrics | None
    """Text to image by the matching head's inner product of separately encoded sides; None with fusion ``sum``."""
    shuffled: DirectionMetrics
    """Text to image when every text's images are exchanged for others: a control of the metric."""
    mean_image: DirectionMetrics
    """Text to image, of a sample of the texts, when every image is the mean image: a control of the model."""
    seconds: float
    """Time of the joint scoring alone."""
    calibration_error: float
    """Of the probabilities of each text's best few images, by the dual encoder where there is one: those that a
    search shows."""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON: recalls in percent."""
        pairs = int(self.scores.size)
        return {
            **self.joint.to_dict(),
            "shuffled_text_to_image": self.shuffled.to_dict(),
            "mean_image_text_to_image": self.mean_image.to_dict(),
            "dual_text_to_image": None if self.dual is None else self.dual.to_dict(),
            "head_text_to_image": None if self.by_head is None else self.by_head.to_dict(),
            "calibration_error": round(self.calibration_error, 4),
            "pairs": pairs,
            "seconds": round(self.seconds, 2),
            "pairs_per_second": round(pairs / max(self.seconds, 1e-9), 1),
        }


def evaluate_retrieval(
    model: InterBertForImageTextRetrieval,
    data: RetrievalSet,
    texts: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    bf16: bool | None = None,
) -> RetrievalReport:
    """Rank every image for every text.

    Args:
        model: with a matching head.
        data: which texts and images belong together.
        texts: token ids of each text.
        images: model inputs of each image.
        bootstrap: resamplings of the queries; 0 gives intervals of no width.
        seed: of the resampling and of the controls.
        progress: told how many pairs were scored.
        bf16: score in bf16; None does where the device has it.
    """
    started = time.monotonic()
    scores = score_matrix(model, texts, images, progress, bf16=bf16)
    seconds = time.monotonic() - started
    dual = by_head = None
    recalled = scores
    if model.config.contrastive_size is not None:
        recalled = dual_matrix(model, texts, images, bf16)
        dual = direction_metrics(recalled, data.relevant, bootstrap, seed)
    if model.config.fusion == "mul":
        by_head = direction_metrics(dual_matrix(model, texts, images, bf16, "head"), data.relevant, bootstrap, seed)
    # scoring is a function of the pair, so exchanging images exchanges columns: nothing need be scored again
    control = direction_metrics(scores[:, shuffled_images(data, seed)], data.relevant, bootstrap, seed)
    joint = retrieval_metrics(scores, data.relevant, bootstrap, seed)
    blind = mean_image_control(
        lambda asked, means, _: score_matrix(model, asked, means, bf16=False),
        texts,
        images,
        scores,
        data.relevant,
        bootstrap=bootstrap,
        seed=seed,
    )
    few = np.argsort(-recalled, axis=1, kind="stable")[:, :RERANKED]
    right = np.take_along_axis(data.relevant, few, axis=1)
    error = calibration_error(np.take_along_axis(scores, few, axis=1), right)
    return RetrievalReport(scores, joint, dual, by_head, control, blind, seconds, error)


def shuffled_images(data: RetrievalSet, seed: int = 0) -> NDArray[np.int64]:
    """A random order of the images, for the control."""
    return np.random.default_rng(seed).permutation(len(data.image_rows))
