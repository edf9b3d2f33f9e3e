"""What a retrieval model finds for texts it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from interbert.model.processing import InterBertProcessor
from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_pairs
from interbert.region_arrays import RegionArrays
from interbert.report.held_out import HeldOut
from interbert.report.parts import QueryResult, by_hash
from interbert.tasks.retrieval import RetrievalSet, encode_images

HITS = 6


@dataclass(frozen=True)
class Rankings:
    """Some texts, each with the images found for it.

    Attributes:
        queries: by image key (:meth:`HeldOut.image_key`).
        rows: store row of each image key shown.
        candidates: images that were ranked.
        reranked: of them the joint model ordered so many; the dual encoder chose them.
    """

    queries: tuple[QueryResult, ...]
    rows: Mapping[str, int]
    candidates: int
    reranked: int


def rank_texts(
    model: InterBertForImageTextRetrieval,
    processor: InterBertProcessor,
    held_out: HeldOut,
    recipe: Mapping[str, Any],
    count: int,
) -> Rankings:
    """Rank as the run's validation does: the dual encoder's best, ordered by the joint model, before the others.

    Without a dual encoder the joint model orders everything.

    Args:
        model: fine-tuned.
        processor: of the same directory.
        held_out: pairs; the texts are chosen by their hash.
        recipe: of the run, for the size of its validation.
        count: texts at most.
    """
    seed = int(recipe["training"]["seed"])
    data = RetrievalSet.from_table(held_out.table, int(recipe["validation_limit"]), seed)
    shown = by_hash(data.texts)[:count]
    texts = processor.texts_to_ids([data.texts[place] for place in shown])
    images = encode_images(held_out.store, data.image_rows, processor)
    order, scores = _ranked(model, texts, images, data.relevant[shown], int(recipe["rerank"]))
    keys = [held_out.image_key(row) for row in data.image_rows]
    queries = []
    rows: dict[str, int] = {}
    for place, ranked, line in zip(shown, order, scores, strict=True):
        hits = ranked[: min(HITS, len(line))]
        answers = np.flatnonzero(data.relevant[place])
        queries.append(
            QueryResult(
                text=data.texts[place],
                relevant=frozenset(keys[image] for image in answers),
                rank=1 + int(np.isin(ranked, answers).argmax()),
                hits=tuple(
                    (keys[one], float(expit(score))) for one, score in zip(hits, line[: len(hits)], strict=True)
                ),
            )
        )
        rows |= {keys[one]: data.image_rows[one] for one in [*hits.tolist(), *answers.tolist()]}
    return Rankings(tuple(queries), rows, len(images), scores.shape[1])


def _ranked(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    relevant: NDArray[np.bool_],
    rerank: int,
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Images [texts, images] from best to worst, and joint scores [texts, k] of the best k.

    Of equal scores the right image's comes last, as in every metric here (``tasks/metrics.py``).
    """
    candidates = np.tile(np.arange(len(images)), (len(texts), 1))
    rest = candidates[:, :0]
    if model.config.contrastive_size:
        order = np.lexsort((relevant, -dual_matrix(model, texts, images)), axis=-1)
        candidates, rest = order[:, :rerank], order[:, rerank:]
    scores = score_pairs(model, texts, images, candidates)
    best = np.lexsort((np.take_along_axis(relevant, candidates, axis=1), -scores), axis=-1)
    ranked = np.concatenate([np.take_along_axis(candidates, best, axis=1), rest], axis=1)
    return ranked, np.take_along_axis(scores, best, axis=1)
