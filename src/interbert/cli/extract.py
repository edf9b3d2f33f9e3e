"""Turn pictures and texts into a region store that training reads.

SOURCE is a parquet, csv or jsonl file, a folder of pictures (with a metadata.csv or metadata.jsonl that has a
file_name column), tar files of samples (img2dataset, webdataset), a tsv of ids and base64 pictures (MUGE), or a Hub
id. Texts that stand apart are joined by picture id or file name with --captions. The same command continues where it
was stopped; pictures that cannot be read are skipped and listed in OUT/skipped.jsonl.

    interbert extract catalogue.parquet regions/train --texts '[title, title_zh]'
    interbert extract photos/ regions/photos --picture file_name --texts '[caption]'
    interbert extract MR_train_imgs.tsv regions/muge --captions MR_train_queries.jsonl
    interbert extract train2014/ regions/coco --captions dataset_coco.json --caption_split train

Who finds regions is chosen with --extractor: grid (windows over the picture, offline), frcnn (the paper's detector),
detector (any of transformers), given (boxes that the source has in a column). docs/regions.md compares them.

    interbert extract photos/ regions/frcnn --extractor frcnn --frcnn.weights unc-nlp/frcnn-vg-finetuned
    interbert extract photos/ regions/detr --extractor detector --detector.model facebook/detr-resnet-50
    interbert extract crops.jsonl regions/crops --extractor given --given.column boxes --given.format xywh
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interbert.cli.extract_options import Options
from interbert.extraction.detector_settings import DetectorSettings
from interbert.extraction.frcnn.settings import FrcnnSettings
from interbert.extraction.given_settings import GivenSettings

if TYPE_CHECKING:
    from interbert.extraction.extractor import RegionExtractor
    from interbert.extraction.frcnn.extractor import FrcnnExtractor
    from interbert.extraction.grid import GridExtractor


def run(options: Options) -> None:
    """Extract and say what was done."""
    from interbert.errors import UsageError
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.extract import extract_to_store
    from interbert.extraction.given_boxes import require_format
    from interbert.extraction.sources import open_source
    from interbert.regions.caption_index import open_captions
    from interbert.regions.commits import SKIPPED

    if options.limit is not None and options.limit < 1:
        raise UsageError(f"extract: --limit must be at least 1, not {options.limit}.")
    _require_used(options)
    if options.extractor == "given" and not options.given.column:
        raise UsageError("extract: --extractor given needs the column that holds the boxes: --given.column COLUMN.")
    require_format(options.given.format)
    mapping = ColumnMapping(
        options.picture,
        tuple(options.texts),
        options.picture_id,
        options.product_id,
        boxes=options.given.column if options.extractor == "given" else None,
        box_format=options.given.format,
    )
    captions = open_captions(options.captions, options.caption_split)
    source = open_source(options.source, mapping, options.split, not options.allow_no_text, captions)
    extractor = _extractor(options)
    columns = source.columns
    print(f"{options.source}: {len(source)} rows, pictures in {columns.picture!r}, texts in {list(columns.texts)}")
    describer = None
    if options.ray or options.ray_address is not None:
        from interbert.extraction.on_ray import ExtractorRecipe, OnRay

        recipe = ExtractorRecipe.of(extractor)
        describer = OnRay(recipe, options.ray_address, options.ray_cpus, options.ray_gpus)
    report = extract_to_store(
        source,
        options.out,
        extractor,
        mirrored=options.mirrored,
        need_texts=not options.allow_no_text,
        limit=options.limit,
        top_k_classes=options.top_k_classes,
        describer=describer,
    )
    if not report.written and not report.skipped:
        print(f"{options.out}: complete with {report.already} rows, nothing to do")
        return
    rate = report.written / max(report.seconds, 1e-6)
    print(
        f"{options.out}: {report.written} rows written in {report.seconds:.0f} s ({rate:.0f}/s), "
        f"{report.already} were there"
    )
    if report.skipped:
        print(f"{report.skipped} pictures skipped, see {options.out}/{SKIPPED}")


def _require_used(options: Options) -> None:
    """Refuse options of an extractor that was not chosen: who gives them thinks it was."""
    from interbert.errors import UsageError

    used = {options.extractor}
    if options.extractor == "given":
        used.add(options.given.described_by)
    for name, default in (("frcnn", FrcnnSettings()), ("detector", DetectorSettings()), ("given", GivenSettings())):
        if name not in used and getattr(options, name) != default:
            raise UsageError(
                f"extract: --{name} options are read by --extractor {name}; the extractor is {options.extractor}."
            )


def _extractor(options: Options) -> RegionExtractor:
    if options.extractor == "frcnn":
        return _frcnn(options)
    if options.extractor == "detector":
        from interbert.extraction.detectors import open_detector

        return open_detector(options.detector, options.device)
    if options.extractor == "given":
        from interbert.extraction.given import GivenExtractor

        describer = _frcnn(options) if options.given.described_by == "frcnn" else _grid(options)
        return GivenExtractor(describer, options.given.keep_found)
    return _grid(options)


def _frcnn(options: Options) -> FrcnnExtractor:
    from interbert.extraction.frcnn.extractor import open_frcnn

    return open_frcnn(options.frcnn, options.device)


def _grid(options: Options) -> GridExtractor:
    from interbert.extraction.backbones import HUBS
    from interbert.extraction.grid import GridExtractor, GridSettings

    features = tuple(options.features)
    if options.backbone.partition(":")[0] in HUBS:  # other networks give their last map only
        features = tuple(name for name in features if name in ("colour", "head"))
    settings = GridSettings(options.backbone, options.input_size, tuple(options.scales), options.overlap, features)
    return GridExtractor(settings, device=options.device)


__all__ = ["Options", "run"]
