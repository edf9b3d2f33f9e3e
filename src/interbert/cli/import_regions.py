"""Turn region features that others extracted into a region store that training reads.

FORMAT is one of:

    bottom-up-tsv     bottom-up attention's TSV, width or height first
    lxmert-tsv        LXMERT's TSV (train2014_obj36.tsv), with object ids and confidences
    vinvl-tsv         VinVL's and Oscar's features.tsv, with predictions.tsv in --objects
    npy-folder        a folder with an .npz or .npy file per image
    finetuning-lmdb   the published code's LMDB of fine-tuning, ViLBERT's, VOLTA's
    pretraining-lmdb  the published code's LMDB of pretraining (tensorpack, msgpack)
    h5                VOLTA's and ViLBERT's HDF5 files
    kdd-tsv           KDD Cup 2020 Multimodalities Recall: Taobao queries and products

Data sets of images (MUGE, COCO, Flickr30K, Conceptual Captions through img2dataset) are read by interbert extract.
--captions joins texts by image id: Karpathy's JSON, COCO's annotations, jsonline, results.csv, csv, tsv; what is
ambiguous is joined to nothing and listed. The same command continues where it was stopped; records that cannot be used
are skipped and listed in OUT/skipped.jsonl.

    interbert import lxmert-tsv train2014_obj36.tsv regions/coco --captions dataset_coco.json
    interbert import kdd-tsv train.tsv regions/kdd
    interbert import finetuning-lmdb flickr30k.lmdb regions/test --captions all_data_final_test.jsonline
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interbert.cli.renamed import spelled
from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert import``."""

    format: str
    """What SOURCE is; the list stands above."""
    source: str
    """File, folder, or pattern of several files."""
    out: str
    """Folder of the region store."""
    captions: str | None = None
    """Caption file; its texts are joined by image id or file name."""
    caption_split: list[str] = field(default_factory=list)
    """Splits of Karpathy's file to take, such as train,restval; images of other splits are left out."""
    keep_without_text: bool = False
    """With --captions, keep images that have none."""
    made_by: str | None = None
    """Who extracted the regions; stores with the same name fit the same model. The format's name when not given."""
    feature_size: int | None = None
    """Floats of a region, where it is not 2048 or not the file's own."""
    num_classes: int | None = None
    """Classes with background, where a file has class ids: 1601 for Visual Genome, 33 for KDD Cup."""
    field_order: Literal["auto", "width,height", "height,width"] | None = None
    """bottom-up-tsv: which comes first; auto takes the order in which boxes lie inside their images."""
    box_order: Literal["top,left,bottom,right", "left,top,right,bottom"] | None = None
    """kdd-tsv: order of a box's numbers; top,left,bottom,right when not given."""
    answers: str | None = None
    """kdd-tsv: valid_answer.json, for files whose lines are candidates and not pairs."""
    objects: str | None = None
    """vinvl-tsv: predictions.tsv or a label.tsv, with boxes, classes and sizes."""
    labels: str | None = None
    """vinvl-tsv: JSON with label_to_idx or a text file of class names; without it classes are not stored. kdd-tsv:
    multimodal_labels.txt, for the number of classes."""
    sizes: str | None = None
    """Images' sizes where the regions have none: a hw.tsv, COCO's annotations, or a csv of id, width, height."""
    limit: int | None = None
    """Only the first so many records."""


def run(options: Options) -> None:
    """Import and say what was done."""
    from interbert.errors import require_range
    from interbert.regions.caption_index import open_captions
    from interbert.regions.commits import SKIPPED
    from interbert.regions.importers.engine import import_to_store
    from interbert.regions.importers.formats import importer_info, open_format

    for name in ("limit", "feature_size", "num_classes"):
        require_range(f"import: {spelled(name)}", getattr(options, name), 1, 100_001 if name != "limit" else 1 << 60)
    own = ("feature_size", "num_classes", "field_order", "box_order", "answers", "objects", "labels", "sizes")
    source = open_format(options.format, options.source, **{name: getattr(options, name) for name in own})
    captions = open_captions(options.captions, options.caption_split)
    info = importer_info(source, options.made_by or options.format)
    classes = "no classes" if info.num_classes is None else f"{info.num_classes} classes"
    say(f"{options.source}: {options.format}, regions of {info.feature_size} floats, {classes}")
    report = import_to_store(source, options.out, info, captions, options.keep_without_text, options.limit)
    if report.unjoined:
        say(f"{report.unjoined} captions could not be joined, see {options.out}/{SKIPPED}")
    if report.absent[0]:
        count, first = report.absent
        say(f"{options.captions}: {count} images in it are joined to none of {options.source}, such as {first[:60]!r}")
    if not report.written and not report.skipped and not report.left_out:
        say(f"{options.out}: complete with {report.already} images, nothing to do")
        return
    rate = (report.written + report.already) / max(report.seconds, 1e-6)
    say(
        f"{options.out}: {report.written} images written in {report.seconds:.0f} s ({rate:.0f}/s), "
        f"{report.already} were there"
    )
    if report.repeated:
        say(f"{report.repeated} more records of these images: their texts are joined")
    if report.left_out:
        say(f"{report.left_out} images left out: their captions are of other splits")
    if report.skipped:
        say(f"{report.skipped} records skipped, see {options.out}/{SKIPPED}")
