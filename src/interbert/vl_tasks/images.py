"""Region stores of the images that examples name, made from a folder of images."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.errors import DataError, SourceError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.extractor import RegionExtractor, build_extractor
from interbert.extraction.given import GivenExtractor
from interbert.extraction.sources import ImageSource
from interbert.model.processing import InterBertProcessor
from interbert.regions.name_index import NameIndex
from interbert.utils.texts import whole_text
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.task import BoxSource, names_of_images

_logger = logging.getLogger(__name__)
_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})


def extract_images(
    folder: str, examples: Sequence[Example], out: str, processor: InterBertProcessor, boxes: BoxSource
) -> tuple[list[str], list[str]]:
    """Extract what is not extracted yet, by the model's own extractor; resumable.

    Args:
        folder: of images, in any subfolders; file names are the examples' image ids, or like them.
        examples: whose images to extract.
        out: folder of the stores ``detected`` and ``given``.
        processor: of the model.
        boxes: which regions are read.

    Returns:
        Stores of detected regions and of those at given boxes; an image that is not in the folder is in none.

    Raises:
        SourceError: there is no such folder, or it has none of the images.
        DataError: an example of a task with given boxes has none, or two disagree about an image's.
        ConfigError: the model's regions cannot be extracted here.
    """
    files = _files(folder, {names[0]: names for one in examples for names in names_of_images(one)})
    extractor = build_extractor(processor.extractor_info, processor.extractor_folder)
    detected, given = [], []
    if boxes != "given":
        detected = [_extracted(_source(folder, files, None), f"{out}/detected", extractor)]
    if boxes != "detected":
        source = _source(folder, files, given_boxes(examples))
        given = [_extracted(source, f"{out}/given", GivenExtractor(extractor))]
    return detected, given


def given_boxes(examples: Sequence[Example]) -> dict[str, str]:
    """Boxes of each image as JSON text.

    Raises:
        DataError: an example has none, or two disagree.
    """
    found: dict[str, str] = {}
    for one in examples:
        if not one.boxes:
            raise DataError(
                f"example {one.id}: its file gives no boxes of image {one.images[0]}. Use --boxes detected."
            )
        text = json.dumps([list(box) for box in one.boxes])
        if found.setdefault(one.images[0], text) != text:
            raise DataError(f"example {one.id}: gives other boxes of image {one.images[0]} than an example before it.")
    return found


def _files(folder: str, wanted: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Path below the folder of each image that is there.

    Args:
        folder: of the images.
        wanted: image id -> its names, the id first.
    """
    root = Path(folder)
    if not root.is_dir():
        raise SourceError(f"{folder}: there is no such folder of images.")
    there = [str(one.relative_to(root)) for one in sorted(root.rglob("*")) if one.suffix.lower() in _ENDINGS]
    sound = [name for name in there if whole_text(name) == name]
    if len(sound) < len(there):
        _logger.warning(f"{folder}: {len(there) - len(sound)} images are passed over whose names are no UTF-8")
    index = NameIndex(sound, folder)
    files = {}
    for image, names in wanted.items():
        found = next((match.name for name in names if (match := index.find(name)).name is not None), None)
        if found is not None:
            files[image] = found
    if not files:
        raise SourceError(f"{folder}: has none of the {len(wanted)} images, such as {next(iter(wanted))}.")
    return files


def _source(folder: str, files: dict[str, str], boxes: dict[str, str] | None) -> ImageSource:
    from datasets import Dataset

    columns = {"image": list(files.values()), "id": list(files)}
    if boxes is not None:
        columns["boxes"] = [boxes[image] for image in files]
    mapping = ColumnMapping("image", (), "id", boxes=None if boxes is None else "boxes")
    return ImageSource(folder, Dataset.from_dict(columns), mapping, Path(folder))


def _extracted(source: ImageSource, out: str, extractor: RegionExtractor) -> str:
    report = extract_to_store(source, out, extractor, need_texts=False)
    if report.skipped:
        _logger.info(f"{source.name}: {report.skipped} images cannot be used, see {out}/skipped.jsonl")
    return out
