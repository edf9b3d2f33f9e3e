"""Fine-tune a model to classify texts alone, images alone, or pairs of both.

MODEL is a model directory, or a BERT for texts (minilm, a directory, a Hub id). SOURCE has a column with labels.
Accuracy is measured on --validation, or on a held-out share of SOURCE; `interbert report` shows the confusion matrix.
Rows without a label or text are left out, counted and listed. The same command continues a stopped run.

    interbert finetune classification models/pretrained train.csv models/tone --text sentence --validation dev.csv
    interbert finetune classification models/pretrained products.parquet models/kind --image-column image \\
        --label articleType
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from interbert.training.options import FinetuneClassificationOptions as Options
from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.model.processing import InterBertProcessor
    from interbert.training.classify import Labelled


def run(options: Options) -> None:
    """Read, extract what has images, fine-tune."""
    from interbert.training.classify import finetune_classification, processor_for

    processor = processor_for(options)
    train = _read(options, options.source, "train", processor)
    validation = None
    if options.validation is not None:
        validation = _read(options, options.validation, "validation", processor)
    finetune_classification(options, processor, train, validation)
    say(f"model: {options.out}")


def _read(options: Options, source: str, name: str, processor: InterBertProcessor) -> Labelled:
    from interbert.data.text_sources import LeftOut
    from interbert.errors import SourceError
    from interbert.extraction.attributes import read_labelled
    from interbert.extraction.extract import extract_to_store
    from interbert.extraction.extractor import build_extractor
    from interbert.regions.commits import SKIPPED
    from interbert.regions.store import RegionStore
    from interbert.tasks.retrieval import encode_images
    from interbert.training.classify import Labelled

    found = read_labelled(source, options.text, options.image_column, options.label)
    left_out = LeftOut()
    for row, reason in found.left_out:
        left_out.add(source, row, reason)
    if found.images is None:
        return Labelled(found.labels, found.texts, None, found.fingerprint, found.rows, left_out)
    regions = f"{options.out.rstrip('/')}.regions/{name}"
    extractor = build_extractor(processor.extractor_info, processor.extractor_folder)
    report = extract_to_store(found.images, regions, extractor, need_texts=False)
    if report.skipped:
        say(f"{source}: {report.skipped} rows cannot be used, see {regions}/{SKIPPED}")
    store = RegionStore.open(regions)
    rows = {one.image_id: one.row for one in store.captions() if one.view == 0}
    usable = [place for place, image in enumerate(found.images.image_ids()) if image in rows]
    if not usable:
        raise SourceError(f"{source}: none of its images could be used.")
    ids = found.images.image_ids()
    images = encode_images(store, [rows[ids[place]] for place in usable], processor)
    everything = Labelled(found.labels, found.texts, None, found.fingerprint, found.rows, left_out)
    return replace(everything.select(usable), images=tuple(images))


__all__ = ["Options", "run"]
