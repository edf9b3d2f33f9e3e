"""What a retrieval model finds for texts it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from interbert.checkpoints.directory import load_model, load_pretraining_model, load_processor
from interbert.errors import CheckpointError, InterBertError, UsageError
from interbert.extraction.weights import class_names
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import dual_matrix, score_pairs
from interbert.regions.schema import CaptionRow, ExtractorInfo
from interbert.report.predictions import PairPredictions, QueryResult, by_hash, predict_pairs
from interbert.report.runs import HeldOut, Run, held_out_pairs
from interbert.tasks.retrieval import RERANKED, RetrievalSet, encode_images
from interbert.training.run_setup import RECIPE
from interbert.utils.stored_names import RegionArrays

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
    order, scores = _ranked(model, texts, images, data.relevant[shown], int(recipe.get("rerank", RERANKED)))
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


_QUERIES_PER_PAIR = 0.5  # a card of a query is half as long as one of a pair, and says less


@dataclass(frozen=True)
class Samples:
    """A run's predictions on pairs that it was not trained on.

    Attributes:
        guesses: of a pretrained model.
        rankings: of a retrieval model.
        origin: where the pairs come from, in words.
        captions: store row of each image shown, by its key.
        keys: image key of each store row shown.
        note: why there are no predictions; "" when there are.
    """

    predictions: Sequence[PairPredictions] = ()
    rankings: Rankings | None = None
    origin: str = ""
    captions: Mapping[str, CaptionRow] = field(default_factory=dict)
    keys: Mapping[int, str] = field(default_factory=dict)
    note: str = ""


def samples_of(run: Run, count: int, regions: str | None = None) -> Samples:
    """Let the model that the run kept predict.

    Args:
        run: finished or not.
        count: pairs at most; 0 predicts nothing.
        regions: store to take pairs from; None takes the run's own held-out pairs.

    Raises:
        InterBertError: something is wrong with ``regions``. Without them what is wrong becomes a note.
    """
    if not count or run.kind in ("classification", "pretraining on texts"):
        return Samples()
    if run.kept_step is None or not (run.folder / "config.json").exists():
        return Samples(note="No model has been kept yet: the first validation keeps one.")
    try:
        return _predict(run, count, regions)
    except KeyError as error:
        return Samples(note=f"{run.folder / RECIPE} has no {error}: another version of interbert wrote it.")
    except InterBertError as error:
        if regions is not None:
            raise
        hint = "" if isinstance(error, CheckpointError) else " --regions takes pairs from another store."
        return Samples(note=f"{error}{hint}")


def _predict(run: Run, count: int, regions: str | None) -> Samples:
    processor = load_processor(run.folder)
    extractor = ExtractorInfo.from_dict(processor.extractor_info)
    held_out = held_out_pairs(run, extractor, regions)
    if not len(held_out.table):
        raise UsageError(f"{held_out.store.path}: holds no pair that {run.name} does not know.")
    if run.kind == "retrieval":
        model = load_model(run.folder)
        rankings = rank_texts(model, processor, held_out, run.recipe, max(1, round(count * _QUERIES_PER_PAIR)))
        return _with_images(held_out, list(rankings.rows.values()), Samples(rankings=rankings))
    names = class_names(extractor)
    predictions = predict_pairs(load_pretraining_model(run.folder), processor, held_out, run.recipe, count, names)
    return _with_images(held_out, [one.row for one in predictions], Samples(predictions=predictions))


def _with_images(held_out: HeldOut, rows: Sequence[int], samples: Samples) -> Samples:
    keys = {row: held_out.image_key(row) for row in rows}
    captions = {key: held_out.captions[row] for row, key in keys.items()}
    return Samples(samples.predictions, samples.rankings, held_out.origin, captions, keys)
