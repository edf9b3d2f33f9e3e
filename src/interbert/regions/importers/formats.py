"""Which formats there are: a name, what opens it, and what a store made from it says about who extracted it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from interbert.errors import UsageError, shortened
from interbert.regions.importers.rows import ForeignSource
from interbert.regions.schema import ExtractorInfo
from interbert.utils.redaction import published


@dataclass(frozen=True)
class Format:
    """One foreign format."""

    opener: str
    """Module in this folder and class of its source."""
    what: str
    """For help and documents."""
    options: frozenset[str] = frozenset()
    """Of the command's options, those that it takes beside the common ones."""


_SHAPED = frozenset({"feature_size", "num_classes", "sizes"})

FORMATS: dict[str, Format] = {
    "bottom-up-tsv": Format(
        "detector_tsv:DetectorTsv",
        "bottom-up attention's TSV, width or height first; class probabilities of ViLBERT's copy",
        frozenset({"feature_size", "num_classes", "field_order"}),
    ),
    "lxmert-tsv": Format(
        "detector_tsv:DetectorTsv",
        "LXMERT's TSV (train2014_obj36.tsv), with object ids and confidences",
        frozenset({"feature_size", "num_classes"}),
    ),
    "vinvl-tsv": Format(
        "vinvl_tsv:VinvlTsv",
        "VinVL's and Oscar's features.tsv with predictions.tsv",
        frozenset({"feature_size", "objects", "labels", "sizes"}),
    ),
    "npy-folder": Format("numpy_files:NpyFolder", "a folder with an .npz or .npy file per image", _SHAPED),
    "finetuning-lmdb": Format(
        "lmdb_files:FinetuningLmdb", "the published code's LMDB of fine-tuning, ViLBERT's, VOLTA's", _SHAPED
    ),
    "pretraining-lmdb": Format(
        "lmdb_files:PretrainingLmdb",
        "the published code's LMDB of pretraining (tensorpack, msgpack)",
        frozenset({"feature_size", "num_classes"}),
    ),
    "h5": Format("h5:H5", "VOLTA's and ViLBERT's HDF5 files", _SHAPED),
    "kdd-tsv": Format(
        "kdd_tsv:KddTsv",
        "KDD Cup 2020 Multimodalities Recall: Taobao queries and products",
        frozenset({"feature_size", "num_classes", "box_order", "answers", "labels"}),
    ),
}

IMAGE_FORMATS = {
    "muge": "interbert extract train_imgs.tsv OUT --captions train_queries.jsonl",
    "img2dataset": "interbert extract 'cc3m/*.tar' OUT",
    "webdataset": "interbert extract 'shards/*.tar' OUT",
    "flickr30k": "interbert extract flickr30k-images OUT --captions dataset_flickr30k.json",
    "coco": "interbert extract train2014 OUT --captions dataset_coco.json",
    "chinese-clip": "interbert extract lmdb/train/imgs OUT --captions lmdb/train/pairs",
    "coco-cn": "interbert extract coco2014 OUT --captions imageid.human-written-caption.txt",
    "flickr30k-cn": "interbert extract flickr30k-images OUT --captions seg.flickr30kzhbbosontrain.caption.txt",
    "conceptual-captions": "interbert extract 'cc3m/*.tar' OUT",
}
"""Names of data sets that are images, and the command that reads them."""


def find_format(name: str) -> Format:
    """The format of a name.

    Raises:
        UsageError: there is none; the message names the nearest, or the command for a data set of images.
    """
    if name in FORMATS:
        return FORMATS[name]
    if name in IMAGE_FORMATS:
        raise UsageError(f"import: {name} has images, not regions; extract them: {IMAGE_FORMATS[name]}")
    close = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"import: there is no format {shortened(name)!r}.{hint} Formats: {', '.join(FORMATS)}.")


def open_format(name: str, source: str, **options: Any) -> ForeignSource:
    """Open a foreign file.

    Args:
        name: of the format.
        source: file, pattern or folder.
        options: of the format's own; None means not given.

    Raises:
        UsageError: there is no such format, or it does not take an option.
        SourceError: the file is missing or of another kind.
    """
    kind = find_format(name)
    given = {option: value for option, value in options.items() if value is not None}
    foreign = sorted(set(given) - kind.options)
    if foreign:
        unknown, known = (
            ", ".join(one.replace("_", "-") for one in names) for names in (foreign[:1], sorted(kind.options))
        )
        raise UsageError(f"import {name}: takes no --{unknown}. It takes: {known}.")
    if "sizes" in given:
        from interbert.regions.importers.sizes import SizeIndex

        given["sizes"] = SizeIndex(given["sizes"])
    module, _, cls = kind.opener.partition(":")
    opener = getattr(import_module(f"interbert.regions.importers.{module}"), cls)
    opened: ForeignSource = opener(source, **given)
    if "sizes" in given:
        given["sizes"].compare(opened.names)
    return opened


def importer_info(source: ForeignSource, made_by: str) -> ExtractorInfo:
    """What a store of imported regions says: another name or another size, and a model refuses them.

    Args:
        source: opened.
        made_by: who extracted the regions; stores with one name fit the same model. Models and pages are published with
            it: a path in it is named alone, a URI has no credentials.
    """
    return ExtractorInfo(f"imported:{published(made_by)}", {}, source.feature_size, source.num_classes)
