"""Caption-based image retrieval (SPEC part 4): data to judge on, validation during training, and the full ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interbert.data.pairs import PairTable
from interbert.data.subset import sample_groups
from interbert.losses.pretraining import matching_loss
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import dual_matrix, score_pairs
from interbert.regions.schema import RegionReader, Regions
from interbert.tasks.base import Task, inputs_of
from interbert.tasks.contrast import contrast, in_batch_losses
from interbert.tasks.judged import Judged
from interbert.tasks.metrics import best_ranks
from interbert.tasks.rerank_depth import RerankDepth, fit_rerank_depth
from interbert.tasks.score_fusion import FusionFit, build_in, calibration, fit_both
from interbert.utils.stored_names import RegionArrays

Bool = NDArray[np.bool_]

_DEEPEST = 32
"""As many candidates as searches have by default."""
RERANKED = 16
"""Images per text that the joint model scores in validation: more take longer and seldom change which model is best."""


@dataclass(frozen=True)
class RetrievalSet:
    """Distinct texts, images, and which belong together."""

    texts: tuple[str, ...]
    image_rows: tuple[int, ...]
    """Store row of each image."""
    relevant: Bool
    """[texts, images]; an image without a text is a candidate that may be wrong for all."""

    @classmethod
    def from_table(cls, table: PairTable, limit: int | None = None, seed: int = 0) -> RetrievalSet:
        """Every image of the table once, every text once (identical texts are one query with several right images).

        Args:
            table: pairs, and the images without a text that are ranked with theirs.
            limit: only a sample of so many images, whole products, and their texts.
            seed: of the sample.
        """
        gallery, groups = table.gallery()
        chosen = sample_groups(groups, limit, seed, first=np.isin(gallery, table.rows))
        rows, image_groups = gallery[chosen].tolist(), groups[chosen]
        column = {row: index for index, row in enumerate(rows)}
        members = [pair for pair in range(len(table)) if int(table.rows[pair]) in column]
        first = {int(table.text_ids[pair]): pair for pair in reversed(members)}
        queries = sorted(first.values())
        line = {int(table.text_ids[pair]): index for index, pair in enumerate(queries)}
        relevant = np.zeros((len(queries), len(rows)), dtype=np.bool_)
        for pair in members:
            relevant[line[int(table.text_ids[pair])]] |= image_groups == table.groups[pair]
        return cls(tuple(table.texts[pair] for pair in queries), tuple(rows), relevant)

    def encode(self, store: RegionReader, processor: InterBertProcessor) -> tuple[list[list[int]], list[RegionArrays]]:
        """Token ids of the texts and model inputs of the images."""
        return processor.texts_to_ids(self.texts), encode_images(store, self.image_rows, processor)


def encode_images(
    store: RegionReader, rows: Sequence[int], processor: InterBertProcessor, block: int = 512
) -> list[RegionArrays]:
    """Model inputs of store rows, read in blocks."""
    images: list[RegionArrays] = []
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        regions: list[Regions] = store.take(part)
        images += [
            processor.image_inputs(one, where=f"{store.path}, row {row}")
            for row, one in zip(part, regions, strict=True)
        ]
    return images


class RetrievalTask(Task):
    """Validation during training: text-to-image recall on held-out images.

    With a contrastive head the dual encoder ranks all images and the joint model reranks its best few with it, so a
    validation of 500 images takes seconds; without one the joint model ranks everything.

    Args:
        data: texts and images.
        texts: token ids.
        images: model inputs.
        rerank: images per text that the joint model scores.
        joint: judge the joint model; False judges the dual encoder alone (pretraining).

    Attributes:
        primary_metric: ``r@1`` of the mixture (of the joint model without a dual encoder), or ``dual_r@1``.
        data: texts and images.
        images: model inputs.
        data_size: how many images are ranked, in words.
        fusion: of the last evaluation, how much joint and dual scores are worth; None where its images cannot tell.
    """

    greater_is_better = True
    least_steps = 20

    def __init__(
        self,
        data: RetrievalSet,
        texts: Sequence[Sequence[int]],
        images: Sequence[RegionArrays],
        rerank: int = RERANKED,
        joint: bool = True,
    ) -> None:
        self.primary_metric = "r@1" if joint else "dual_r@1"
        self.data_size = f"{data.relevant.shape[1]} validation images"
        self.data = data
        self._texts = texts
        self.images = images
        self._rerank = rerank
        self._joint = joint
        self.fusion: FusionFit | None = None

    def losses(self, model: InterBertForImageTextRetrieval, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :func:`retrieval_losses`."""
        return retrieval_losses(model, batch)

    def evaluate(self, model: Any) -> Mapping[str, float]:
        """Recall in percent: ``dual_r@k``, ``joint_r@k`` over the dual encoder's candidates, ``r@k`` of their mixture.

        Without a dual encoder ``r@k`` is the joint model's over all images; :attr:`fusion` is None then. Beside them
        ``candidates``, how many images a text ranks.
        """
        return {**self._recall(model), "candidates": float(self.data.relevant.shape[1])}

    def _recall(self, model: Any) -> dict[str, float]:
        relevant = self.data.relevant
        if not model.config.contrastive_size:
            everything = np.tile(np.arange(relevant.shape[1]), (relevant.shape[0], 1))
            scores = score_pairs(model, self._texts, self.images, everything)
            ranks = best_ranks(scores, relevant)
            self.judged = self.judge(ranks)
            return _recalls(ranks, "r@")
        cosines = dual_matrix(model, self._texts, self.images)
        ranks = best_ranks(cosines, relevant)
        metrics = _recalls(ranks, "dual_r@")
        if self._joint:
            candidates = np.argsort(-cosines, axis=1, kind="stable")[:, : self._rerank]
            cosines = np.take_along_axis(cosines, candidates, axis=1)
            positive = np.take_along_axis(relevant, candidates, axis=1)
            joint = score_pairs(model, self._texts, self.images, candidates)
            self.fusion = fit_both(joint, cosines, positive, relevant.argmax(axis=1))
            mixed = joint if self.fusion is None else self.fusion.mixture(joint, cosines)
            metrics |= _recalls(_ranks_among(joint, positive), "joint_r@")
            ranks = _ranks_among(mixed, positive)
            metrics |= _recalls(ranks, "r@")
        self.judged = self.judge(ranks)
        return metrics

    @property
    def deepest(self) -> int:
        """Images of a text that reading as few as possible is compared with reading all of."""
        images: int = self.data.relevant.shape[1]
        return min(_DEEPEST, images)

    def rerank_depth(self, model: InterBertForImageTextRetrieval) -> RerankDepth | None:
        """Which of the dual encoder's best images a finished model, with its mixture, has to read."""
        cosines = dual_matrix(model, self._texts, self.images)
        candidates = np.argsort(-cosines, axis=1, kind="stable")[:, : self.deepest]
        dual = np.take_along_axis(cosines, candidates, axis=1) * np.float32(model.config.dual_score_weight or 0.0)
        joint = score_pairs(model, self._texts, self.images, candidates) - dual
        relevant = np.take_along_axis(self.data.relevant, candidates, axis=1)
        return fit_rerank_depth(joint, dual, relevant, self.data.relevant.argmax(axis=1))

    def judge(self, ranks: NDArray[Any]) -> Judged:
        """Whether each text's first image is right, from the rank [texts] of its best right one.

        Texts of one image are one unit.
        """
        return Judged.of(ranks == 1, self.data.relevant.argmax(axis=1))

    def calibrate(self, model: Any, seed: int = 0) -> None:
        """Make the matching head's logits log-odds, in place, so that its loss starts from a sane value.

        A head taught by contrast knows an order and no scale: its first cross-entropy would undo what it knows. Fitted
        on a right and a random wrong image of each text, as pretraining has them; a text that every image is right
        for has no wrong one, and where all are such the head stays as it is.
        """
        relevant = self.data.relevant
        draws = np.random.default_rng(seed).random(relevant.shape)
        positive, negative = (np.where(side, draws, -1).argmax(axis=1) for side in (relevant, ~relevant))
        told = ~relevant.all(axis=1)
        if not told.any():
            return
        candidates, relevant = np.stack([positive, negative], axis=1)[told], relevant[told]
        texts = [self._texts[place] for place in np.flatnonzero(told).tolist()]
        joint = score_pairs(model, texts, self.images, candidates)
        build_in(model, calibration(joint, np.take_along_axis(relevant, candidates, axis=1)))


def retrieval_losses(model: InterBertForImageTextRetrieval, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matching and contrastive losses, and ``loss``, their sum by the configuration's weights.

    Args:
        model: to train.
        batch: of :class:`~interbert.data.collation.RetrievalCollator`: labelled pairs, of which ``contrast_rows``
            int64 [K] are the true ones that are contrasted; or, with ``negative_draws``, true pairs alone
            (:mod:`~interbert.tasks.contrast`).
    """
    if "negative_draws" in batch:
        losses = in_batch_losses(model, batch)
    else:
        logits = model.pair_logits(**inputs_of(batch))
        losses = {"matching_loss": matching_loss(logits, batch["matching_labels"])}
        if "contrast_rows" in batch:
            losses["contrastive_loss"] = _true_pairs_contrast(model, batch)
    return {"loss": model.total_loss(losses), **losses}


def _true_pairs_contrast(model: InterBertForImageTextRetrieval, batch: Mapping[str, Tensor]) -> Tensor:
    """Contrast of a batch's true pairs in dual mode; rows that are chosen on the device stay padded on a GPU."""
    names = ("input_ids", "attention_mask", "region_features", "region_locations", "region_mask")
    pairs = {name: batch[name][batch["contrast_rows"]] for name in names if name in batch}
    ids, mask = pairs["input_ids"], pairs.get("attention_mask")
    text_pooled = model.pool_text(ids, mask)
    image_pooled = model.pool_image(pairs["region_features"], pairs["region_locations"], pairs.get("region_mask"))
    first = model.global_token(pairs["region_features"], pairs["region_locations"])
    return contrast(model, text_pooled, image_pooled, batch.get("contrast_same"), model.words(ids, mask), first)


def _ranks_among(scores: NDArray[np.floating], positive: Bool) -> NDArray[Any]:
    """Ranks among candidates [texts, k]; a right image that is not among them ranks after all of them."""
    ranks = np.full(len(scores), positive.shape[1] + 1)
    found = positive.any(axis=1)
    if found.any():
        ranks[found] = best_ranks(scores[found], positive[found])
    return ranks


def _recalls(ranks: NDArray[Any], prefix: str) -> dict[str, float]:
    return {f"{prefix}{k}": float((ranks <= k).mean() * 100) for k in (1, 5, 10)}
