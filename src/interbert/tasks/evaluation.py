"""The full ranking of a retrieval set, and everything that has to stand beside its recall to be believed.

Every text is scored jointly with every image (SPEC part 4). Beside the recall: chance, bootstrap intervals, two
controls that have to fall to chance (:mod:`~interbert.tasks.controls`), and the recall of both scores of the sides
encoded apart: the projections' and the matching head's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.region_arrays import RegionArrays
from interbert.tasks.controls import mean_image_control
from interbert.tasks.metrics import DirectionMetrics, RetrievalMetrics, direction_metrics, retrieval_metrics
from interbert.tasks.retrieval import RetrievalSet

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

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON: recalls in percent."""
        pairs = int(self.scores.size)
        return {
            **self.joint.to_dict(),
            "shuffled_text_to_image": self.shuffled.to_dict(),
            "mean_image_text_to_image": self.mean_image.to_dict(),
            "dual_text_to_image": None if self.dual is None else self.dual.to_dict(),
            "head_text_to_image": None if self.by_head is None else self.by_head.to_dict(),
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
    if model.config.contrastive_size is not None:
        dual = direction_metrics(dual_matrix(model, texts, images, bf16), data.relevant, bootstrap, seed)
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
    return RetrievalReport(scores, joint, dual, by_head, control, blind, seconds)


def shuffled_images(data: RetrievalSet, seed: int = 0) -> NDArray[np.int64]:
    """A random order of the images, for the control."""
    return np.random.default_rng(seed).permutation(len(data.image_rows))
