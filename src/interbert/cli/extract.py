"""Turn images and texts into a region store that training reads.

SOURCE is a parquet, csv or jsonl file, a folder of images (with a metadata.csv or metadata.jsonl that has a
file_name column), tar files of samples (img2dataset, webdataset), a tsv of ids and base64 images (MUGE), or a Hub
id. Texts that stand apart are joined by image id or file name with --captions. The same command continues where it
was stopped; images that cannot be read are skipped and listed in OUT/skipped.jsonl.

    interbert extract catalogue.parquet regions/train --text-columns '[title, title_zh]'
    interbert extract photos/ regions/photos --image-column file_name --text-columns '[caption]'
    interbert extract MR_train_imgs.tsv regions/muge --captions MR_train_queries.jsonl
    interbert extract train2014/ regions/coco --captions dataset_coco.json --caption-split train

Who finds regions is chosen with --extractor: grid (windows over the image, offline), frcnn (the paper's detector),
detector (any of transformers), given (boxes that the source has in a column). docs/regions.md compares them.

    interbert extract photos/ regions/frcnn --extractor frcnn --weights unc-nlp/frcnn-vg-finetuned
    interbert extract photos/ regions/detr --extractor detector --weights facebook/detr-resnet-50
    interbert extract crops.jsonl regions/crops --extractor given --given.column boxes --given.format xywh
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interbert.extraction.settings import FrcnnOptions, GivenSettings
from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert extract``."""

    source: str
    """Images and texts: a file, a folder or a Hub id."""
    out: str
    """Folder of the region store."""
    image_column: str | None = None
    """Column that holds the images; found when not given."""
    text_columns: list[str] = field(default_factory=list)
    """Columns that hold texts, one or several; found when not given."""
    image_id_column: str | None = None
    """Column with an id that is unique per image; the row number when not given. Rows without one are skipped."""
    product_id_column: str | None = None
    """Column with an id that images of one product share; 'product_id', 'item_id' or 'id' when there is one, and
    'group' of what interbert dataset build wrote. Rows without one are skipped."""
    split: str | None = None
    """Split of a Hub data set."""
    captions: str | None = None
    """Caption file: Karpathy's JSON, COCO's annotations, jsonline, MUGE's queries, results.csv, csv or tsv."""
    caption_split: list[str] = field(default_factory=list)
    """Splits of Karpathy's file to take, such as train,restval."""
    extractor: Literal["grid", "frcnn", "detector", "given"] = "grid"
    """Who finds and describes regions."""
    device: str = "auto"
    """Where to compute: cpu, cuda, cuda:1; auto takes CUDA where there is one."""
    weights: str = ""
    """Of frcnn or a detector: a Hub id (owner/name, owner/name@revision) or a folder; of frcnn also a file of weights
    (.bin, .pth, .pkl, .safetensors) beside its config.yaml."""
    min_boxes: int = 10
    """Of frcnn or a detector: at least so many regions, also below the threshold; equal to --max-boxes: a fixed number,
    such as 36."""
    max_boxes: int = 100
    """Of frcnn or a detector: at most so many regions."""
    threshold: float = 0.2
    """Of frcnn or a detector: probability that a region's best class has."""
    frcnn: FrcnnOptions = field(default_factory=FrcnnOptions)
    """The paper's detector."""
    given: GivenSettings = field(default_factory=GivenSettings)
    """Boxes that the source has."""
    backbone: str = "efficientnet_lite0"
    """Of the grid: network that describes regions, efficientnet_lite0 (offline), a folder that interbert finetune
    backbone wrote, or timm:NAME, torchvision:NAME, transformers:NAME."""
    input_size: int = 256
    """Of the grid: long side of what the backbone sees, in pixels; a multiple of 32."""
    scales: list[int] = field(default_factory=lambda: [1, 2, 3])
    """Of the grid: its windows, k means k x k; at most 36 windows."""
    features: list[str] = field(default_factory=lambda: ["colour", "stride8", "stride16", "head"])
    """Of the grid: parts of a region's feature."""
    mirrored: bool = False
    """Store each image's mirror image too, as one more view to train on."""
    allow_no_text: bool = False
    """Keep images that have no text (for search)."""
    limit: int | None = None
    """Only the first so many rows."""
    top_k_classes: int | None = None
    """Of a new store: keep so many classes of each region and the remainder, not all probabilities."""
    ray: bool | str = False
    """Extract on the workers of a Ray cluster: --ray finds it, and takes all cores of this machine without one;
    --ray=ADDRESS, such as auto or ray://head:10001, names it."""
    ray_gpus: float = 0.0
    """Share of a GPU that a worker takes; 0.5 puts two workers on each."""


def run(options: Options) -> None:
    """Extract and say what was done."""
    from interbert.cli.chosen_extractor import build_chosen, require_used
    from interbert.errors import UsageError
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.extract import extract_to_store
    from interbert.extraction.given import require_format
    from interbert.extraction.sources import open_source
    from interbert.regions.caption_index import open_captions
    from interbert.regions.commits import SKIPPED

    if options.limit is not None and options.limit < 1:
        raise UsageError(f"extract: --limit must be at least 1, not {options.limit}.")
    require_used(options)
    if options.extractor == "given" and not options.given.column:
        raise UsageError("extract: --extractor given needs the column that holds the boxes: --given.column COLUMN.")
    require_format(options.given.format)
    mapping = ColumnMapping(
        options.image_column,
        tuple(options.text_columns),
        options.image_id_column,
        options.product_id_column,
        boxes=options.given.column if options.extractor == "given" else None,
        box_format=options.given.format,
        by_group=True,
    )
    captions = open_captions(options.captions, options.caption_split)
    source = open_source(options.source, mapping, options.split, not options.allow_no_text, captions)
    extractor = build_chosen(options)
    columns = source.columns
    by_group = ", products in 'group'" if columns.product_id == "group" else ""
    say(f"{options.source}: {len(source)} rows, images in {columns.image!r}, texts in {list(columns.texts)}{by_group}")
    backend = None
    if options.ray:
        from interbert.extraction.backends.ray import ExtractorRecipe, RayBackend

        recipe = ExtractorRecipe.of(extractor)
        address = options.ray if isinstance(options.ray, str) else None
        backend = RayBackend(recipe, address, gpus=options.ray_gpus)
    report = extract_to_store(
        source,
        options.out,
        extractor,
        mirrored=options.mirrored,
        need_texts=not options.allow_no_text,
        limit=options.limit,
        top_k_classes=options.top_k_classes,
        backend=backend,
    )
    if report.unjoined:
        say(f"{report.unjoined} captions could not be joined, see {options.out}/{SKIPPED}")
    if report.absent[0]:
        count, first = report.absent
        say(f"{options.captions}: {count} images in it are joined to none of {options.source}, such as {first[:60]!r}")
    if not report.written and not report.skipped:
        say(f"{options.out}: complete with {report.already} rows, nothing to do")
        return
    rate = report.written / max(report.seconds, 1e-6)
    say(
        f"{options.out}: {report.written} rows written in {report.seconds:.0f} s ({rate:.0f}/s), "
        f"{report.already} were there"
    )
    if report.skipped:
        say(f"{report.skipped} images skipped, see {options.out}/{SKIPPED}")
