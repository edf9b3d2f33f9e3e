"""Rank the images of a store for every text of MUGE, or of any split in Chinese-CLIP's layout, and write predictions.

TEXT_FILE is {split}_texts.jsonl, MUGE's {split}_queries.jsonl, or an LMDB pairs; REGIONS is the store that interbert
extract made of {split}_imgs.tsv or an LMDB imgs: every image of it is a candidate of every text. The dual encoder
recalls, the joint model reranks the best --rerank. Where the texts name their images, R@1/5/10 by any right image and
their mean are printed with bootstrap 95% intervals, beside chance and the size of the gallery.

    interbert extract valid_imgs.tsv regions/valid --captions valid_texts.jsonl --allow-no-text
    interbert evaluate muge models/muge regions/valid valid_texts.jsonl --predictions predictions.jsonl
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Options:
    """Options of ``interbert evaluate muge``."""

    model: str
    """Model directory."""
    regions: str
    """Region store of the gallery, made by the model's extractor."""
    text_file: str
    """Texts of the split, with or without their images."""
    predictions: str | None = None
    """File of predictions to write."""
    out: str | None = None
    """JSON file of metrics to write."""
    rerank: int = 50
    """Images of a text that the joint model scores; 0 ranks by recall alone."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the CPU or GPU multiplies it in hardware; fp32: the same on every machine."""
    bootstrap: int = 1000
    """Resamplings of the texts for the intervals."""
    seed: int = 0
    """Seed of the resampling."""


def run(options: Options) -> None:
    """Rank, write, score."""
    from interbert.cli.benchmark_output import require_usable
    from interbert.errors import require_range
    from interbert.utils.files import MUGE_PREDICTIONS

    require_range("evaluate: --rerank", options.rerank, 0)
    require_usable(options, MUGE_PREDICTIONS)
    _evaluate(options)


def _evaluate(options: Options) -> None:
    from interbert.checkpoints.directory import load_model, load_processor
    from interbert.cli.benchmark_output import description, print_scores, write_metrics
    from interbert.errors import UsageError
    from interbert.regions.schema import ExtractorInfo
    from interbert.regions.store import RegionStore
    from interbert.tasks.muge import SCORER, predictions_text, read_texts, score_rankings
    from interbert.tasks.muge_ranking import chance_recalls, gallery_of, rank_gallery
    from interbert.training.model_card import versions
    from interbert.utils.files import MUGE_PREDICTIONS, write_output
    from interbert.utils.precision import asks_for_bf16
    from interbert.utils.terminal import progress_bar, say

    processor = load_processor(options.model)
    store = RegionStore.open(options.regions)
    store.require(ExtractorInfo.from_dict(processor.extractor_info))
    texts = read_texts(options.text_file)
    judged = any(texts.image_ids)
    if not judged and options.predictions is None:
        raise UsageError(f"evaluate muge: {options.text_file} names no images, so give --predictions FILE to write.")
    gallery = gallery_of(store)
    with progress_bar("ranking", len(texts.ids), "texts") as advance:
        ranked = rank_gallery(
            load_model(options.model),
            texts,
            gallery,
            store,
            processor,
            options.rerank,
            asks_for_bf16(options.precision),
            advance,
        )
    say(f"{len(texts.ids)} texts ranked {len(gallery.ids)} images each")
    if options.predictions is not None:
        write_output(options.predictions, predictions_text(ranked), MUGE_PREDICTIONS)
        say(f"predictions: {options.predictions}")
    known = set(gallery.ids)
    absent = sum(image not in known for images in texts.image_ids for image in images)
    if absent:
        say(f"{absent} right images are not in {options.regions}: a text without another is missed")
    scores = score_rankings(ranked, texts.answers) if judged else None
    chance = chance_recalls(gallery, texts.answers) if judged else None
    if scores is not None:
        print_scores(SCORER, scores, options.bootstrap, options.seed, chance)
    described = {
        **description("muge", options, store),
        "rerank": options.rerank,
        "texts": len(texts.ids),
        "gallery": len(gallery.ids),
        "absent": absent,
        "versions": versions(),
    }
    write_metrics(options.out, described, scores, options.bootstrap, options.seed, chance)


__all__ = ["Options", "run"]
