"""Recall of anything that scores pairs: the exported files, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.export.runtime import Runner
from interbert.model.processing import pad_texts
from interbert.model.region_inputs import pad_images
from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix
from interbert.region_arrays import RegionArrays
from interbert.tasks.metrics import best_ranks
from interbert.tasks.retrieval import RetrievalSet

_CANDIDATES = 16


@dataclass(frozen=True)
class Ranking:
    """Texts, and the images that each of them ranks."""

    ids: Sequence[Sequence[int]]
    images: Sequence[RegionArrays]
    candidates: NDArray[np.int64]
    """[texts, k], the dual encoder's best; all images without a dual encoder."""
    relevant: NDArray[np.bool_]
    """[texts, k]"""

    @classmethod
    def of(
        cls,
        model: InterBertForImageTextRetrieval,
        data: RetrievalSet,
        ids: Sequence[Sequence[int]],
        images: Sequence[RegionArrays],
    ) -> Ranking:
        """The candidates that ``model`` proposes."""
        candidates = np.tile(np.arange(len(images)), (len(ids), 1))
        if model.config.contrastive_size is not None:
            cosines = dual_matrix(model, ids, images)
            candidates = np.argsort(-cosines, axis=1, kind="stable")[:, :_CANDIDATES]
        return cls(ids, images, candidates, np.take_along_axis(data.relevant, candidates, axis=1))

    @property
    def pairs(self) -> int:
        """How many are scored."""
        return int(self.candidates.size)

    def score(self, run: Runner, progress: Callable[[int], None] | None = None, batch: int = 64) -> NDArray[np.float32]:
        """Scores [texts, k]: each text with its candidates, in batches of one text."""
        scores = np.empty(self.candidates.shape, dtype=np.float32)
        for text, chosen in enumerate(self.candidates):
            for start in range(0, len(chosen), batch):
                block = chosen[start : start + batch]
                inputs = pad_texts([self.ids[text]] * len(block)) | pad_images([self.images[i] for i in block])
                scores[text, start : start + len(block)] = run({name: one.numpy() for name, one in inputs.items()})
                if progress is not None:
                    progress(len(block))
        return scores

    def recall_at_1(self, scores: NDArray[np.float32]) -> float:
        """Per cent of all texts whose best candidate is right."""
        found = self.relevant.any(axis=1)
        first = best_ranks(scores[found], self.relevant[found]) <= 1
        return 100.0 * float(first.sum()) / len(self.ids)
