"""Regions of the images that examples name, out of region stores, by image id.

Shapes: N regions of an image, F region feature size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from interbert.errors import SourceError, StoreError
from interbert.extraction.given import describer, join
from interbert.regions.name_index import NameIndex
from interbert.regions.schema import ExtractorInfo, Regions
from interbert.regions.store import RegionStore
from interbert.utils.files import atomic_write
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.settings import TaskSettings
from interbert.vl_tasks.task import names_of_images

_NAMED = 3


class ImageRows:
    """Rows of stores by image id; ids may differ in folder, ending and leading zeros, as those of files do.

    Args:
        paths: of stores; of an image that several have, the first is taken.

    Raises:
        StoreError: a store is missing, or two were made by different extractors.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.stores = [RegionStore.open(path) for path in paths]
        self.where = ", ".join(paths)
        self._rows: dict[str, tuple[int, int]] = {}
        self.digests: dict[str, str] = {}
        """SHA-256 of each image's file by the store's id, where the store knows it."""
        for place, store in enumerate(self.stores):
            store.require(self.stores[0].info)
            for one in store.captions():
                if one.view == 0 and one.image_id not in self._rows:
                    self._rows[one.image_id] = (place, one.row)
                    self.digests[one.image_id] = one.digest
        self._names = NameIndex(self._rows, self.where)
        self._known: dict[str, str | None] = {}

    @property
    def info(self) -> ExtractorInfo:
        """Who extracted them."""
        return self.stores[0].info

    @property
    def fingerprint(self) -> str:
        """Identifies the data."""
        return "+".join(store.fingerprint for store in self.stores)

    def know(self, names: Sequence[str]) -> bool:
        """Whether an image is there, by the first of its names that means one; it is found by its first name then."""
        image = names[0]
        if image not in self._known:
            found = (name if name in self._rows else self._names.find(name).name for name in names)
            self._known[image] = next((name for name in found if name is not None), None)
        return self._known[image] is not None

    def name_of(self, image: str) -> str | None:
        """The stores' id of a known image; None when they have none."""
        return self._known.get(image)

    def take(self, images: Sequence[str]) -> list[Regions]:
        """Regions of images that are there, in their order; each store is read once."""
        places = [self._rows[self.name_of(image) or image] for image in images]
        found: dict[tuple[int, int], Regions] = {}
        for number, store in enumerate(self.stores):
            rows = [row for place, row in places if place == number]
            found |= {(number, row): one for row, one in zip(rows, store.take(rows) if rows else (), strict=True)}
        return [found[place] for place in places]


@dataclass(frozen=True)
class Missing:
    """Examples whose images no store has."""

    images: tuple[str, ...]
    """Ids, each once, in the order of the examples."""
    examples: int
    """How many examples name one."""

    def told(self, where: str, listed: Path | None) -> str:
        """One line for people."""
        first = ", ".join(self.images[:_NAMED])
        more = f" and {len(self.images) - _NAMED} more" if len(self.images) > _NAMED else ""
        kept = "" if listed is None else f", all listed in {listed}"
        return f"{where}: lacks {len(self.images)} images of {self.examples} examples ({first}{more}{kept})"


class TaskRegions:
    """Regions as a model reads them: detected, at given boxes, or both.

    Args:
        settings: of the model.
        detected: stores of an extractor's own regions; none where given boxes are all that is read.
        given: stores of regions at the boxes of the task's files; none where these are not read.

    Raises:
        SourceError: a store that the settings ask for is not given.
        StoreError: a store is missing, or the two describe regions differently.
    """

    def __init__(self, settings: TaskSettings, detected: Sequence[str], given: Sequence[str]) -> None:
        self.settings = settings
        wanted = {"given": settings.boxes != "detected", "detected": settings.boxes != "given"}
        for part, paths, option in (("detected", detected, "--regions"), ("given", given, "--given-regions")):
            if wanted[part] and not paths:
                raise SourceError(
                    f"{settings.name} reads {settings.boxes} boxes: name the store of {part} ones with {option}, or "
                    "the images with --images."
                )
        parts = {"given": given, "detected": detected}
        self._parts = [ImageRows(list(paths)) for part, paths in parts.items() if wanted[part]]
        first, last = self._parts[0], self._parts[-1]
        if first.info.feature_size != last.info.feature_size:
            raise StoreError(
                f"{first.where} has {first.info.feature_size} numbers a region, {last.where} has "
                f"{last.info.feature_size}. Extract both with one extractor."
            )

    @property
    def where(self) -> str:
        """The stores, for messages."""
        return " and ".join(part.where for part in self._parts)

    @property
    def fingerprint(self) -> str:
        """Identifies the data."""
        return "+".join(part.fingerprint for part in self._parts)

    def require(self, info: ExtractorInfo) -> None:
        """Check that the model's extractor made the stores; given boxes may be described by it.

        Raises:
            StoreError: another one did.
        """
        for part in self._parts:
            if info.fingerprint not in (part.info.fingerprint, describer(part.info).fingerprint):
                raise StoreError(
                    f"{part.where}: was made by another extractor than the model reads "
                    f"({describer(part.info).differences(info)}). Extract the images with the model's own: --images."
                )

    def split(self, examples: Sequence[Example]) -> tuple[list[Example], Missing]:
        """Examples all of whose images are there, which can be taken from now on, and what the others lack."""
        known: dict[str, bool] = {}
        lacking: dict[str, None] = {}
        there = []
        for one in examples:
            for names in names_of_images(one):
                if names[0] not in known:
                    known_to = [part.know(names) for part in self._parts]  # every part, so that each finds it later
                    known[names[0]] = all(known_to)
            absent = [image for image in one.images if not known[image]]
            lacking |= dict.fromkeys(absent)
            if not absent:
                there.append(one)
        return there, Missing(tuple(lacking), len(examples) - len(there))

    def take(self, images: Sequence[str]) -> list[Regions]:
        """Regions of images, in their order: given ones first, cut to as many as the model reads."""
        parts = [part.take(images) for part in self._parts]
        return [joined_regions(of_image, self.settings.max_regions) for of_image in zip(*parts, strict=True)]

    def digest(self, image: str) -> str:
        """SHA-256 of an image's file; "" when it is not known."""
        name = self._parts[0].name_of(image)
        return "" if name is None else self._parts[0].digests[name]


def joined_regions(parts: Sequence[Regions], most: int) -> Regions:
    """Regions of an image from one source or two, the first so many of them."""
    regions = reduce(join, parts)
    if len(regions.boxes) <= most:
        return regions
    classes = None if regions.class_probs is None else regions.class_probs[:most]
    return replace(regions, boxes=regions.boxes[:most], features=regions.features[:most], class_probs=classes)


def write_missing(path: Path, missing: Missing) -> None:
    """List the images, one JSON text a line.

    Raises:
        StorageError: the file cannot be written.
    """
    atomic_write(path, "".join(json.dumps({"image": image}, ensure_ascii=False) + "\n" for image in missing.images))
