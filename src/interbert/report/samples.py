"""Which predictions a run's page shows, and why there are none when there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from interbert.checkpoints.directory import load_model, load_pretraining_model, load_processor
from interbert.errors import CheckpointError, InterBertError, UsageError
from interbert.extraction.class_names import class_names
from interbert.regions.schema import CaptionRow, ExtractorInfo
from interbert.report.held_out import HeldOut, held_out_pairs
from interbert.report.predicting import predict_pairs
from interbert.report.predictions import PairPredictions
from interbert.report.rankings import Rankings, rank_texts
from interbert.report.runs import Run
from interbert.training.run_setup import RECIPE

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
    if not count or run.kind == "classification":
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
