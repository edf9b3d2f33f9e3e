"""Two speeds of one model over a fixed set of images: the dual encoder recalls, the joint pass reranks the best few.

What does not depend on a query is computed once: each image's dual-encoder vector, and its embedded regions, which is
all that the joint pass reads of it. Scores are fused by the model's own mixture, which fine-tuning fits on validation
pairs and builds in: a joint logit difference, and ``dual_score_weight`` times the dual encoder's score.

Shapes: t texts, n images, k candidates of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import (
    RecallBy,
    embed_images,
    encode_images,
    encode_texts,
    inference,
    score_embedded,
)
from interbert.utils.finite import require_finite
from interbert.utils.stored_names import RegionArrays

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


class Cascade:
    """Recall and rerank images for texts.

    Args:
        model: with a dual encoder (``contrastive_size``), or with a matching head that makes one (fusion ``mul``).
        images: region_features [R,F] and region_locations [R,5] of each.
        bf16: compute in bf16; None does where the device has it.

    Attributes:
        by: which inner product recalls: ``projections`` where the model has them, else the matching ``head``'s.
        can_recall: False for a model with neither (no ``contrastive_size``, and fusion ``sum``); it ranks jointly.

    Example::

        cascade = Cascade(model, images)
        candidates, scores = cascade.rerank(texts, cascade.recall(texts), 50)
    """

    def __init__(
        self, model: InterBertForImageTextRetrieval, images: Sequence[RegionArrays], bf16: bool | None = None
    ) -> None:
        self.by: RecallBy = "head" if model.config.contrastive_size is None else "projections"
        self._model = model
        self._bf16 = bf16
        self.can_recall = self.by == "projections" or model.config.fusion == "mul"
        self._vectors = encode_images(model, images, bf16, self.by) if self.can_recall else None
        self._counts = np.array([len(features) for features, _ in images])
        with inference(model, bf16):
            self._embedded = embed_images(model, images)

    def __len__(self) -> int:
        return len(self._counts)

    def recall(self, texts: Sequence[Sequence[int]]) -> Float32:
        """Dual-encoder scores [t,n] of texts' token ids with every image.

        Raises:
            ConfigError: the model has no recall score.
            DataError: a score is not finite.
        """
        vectors = encode_texts(self._model, texts, self._bf16, self.by)
        assert self._vectors is not None
        scores: Float32 = vectors @ self._vectors.T
        return require_finite(scores)

    def rerank(
        self,
        texts: Sequence[Sequence[int]],
        recalled: Float32,
        k: int,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[Int64, Float32]:
        """The k best recalled images of each text [t,k], best recalled first, and their fused scores [t,k].

        Args:
            texts: token ids.
            recalled: of :meth:`recall` [t,n].
            k: candidates; n or more ranks every image jointly.
            progress: told how many pairs were scored.

        Raises:
            DataError: a score is not finite.
        """
        candidates = best(recalled, k)
        owners = np.repeat(np.arange(len(texts)), candidates.shape[1])
        fused = self.score(texts, recalled, owners, candidates.reshape(-1), progress)
        return candidates, fused.reshape(candidates.shape)

    def score(
        self,
        texts: Sequence[Sequence[int]],
        recalled: Float32,
        text_of: Int64,
        image_of: Int64,
        progress: Callable[[int], None] | None = None,
    ) -> Float32:
        """Fused scores of listed pairs, float32 [pairs]; arguments and errors as of :meth:`rerank`."""
        fused = score_embedded(
            self._model, texts, self._embedded, self._counts, text_of, image_of, progress, bf16=self._bf16
        )
        if self._model.config.dual_score_weight is not None:
            fused = fused + np.float32(self._model.config.dual_score_weight) * recalled[text_of, image_of]
        return require_finite(fused)


def best(scores: Float32, k: int) -> Int64:
    """Places [t,k] of the k largest of each row [t,n], largest first; equal ones in their order."""
    if k < scores.shape[1]:
        chosen = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    else:
        chosen = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    ordered: Int64 = np.take_along_axis(chosen, order, axis=1).astype(np.int64)
    return ordered
