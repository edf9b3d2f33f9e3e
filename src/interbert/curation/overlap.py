"""What two sources share: images by id, by file and by likeness, and texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interbert.curation.groups import group_rows
from interbert.curation.image_hashes import HASH_BYTES
from interbert.curation.near_images import near_image_pairs
from interbert.curation.overlap_sources import (
    Asked,
    OverlapSource,
    Place,
    SourceImage,
    all_images,
    read_source,
    visual_genome_ids,
)
from interbert.errors import ImageError
from interbert.regions.name_index import NameIndex

BY_ID, BY_FILE, BY_HASH = "id", "file", "hash"
"""How an image was found: by its id, by the SHA-256 of its file, by its perceptual hash and its pixels."""


@dataclass(frozen=True)
class Shared:
    """An image or a text that both sources have."""

    a: Place
    b: Place
    by: tuple[str, ...] = ()
    """Of an image, how it was found."""


@dataclass(frozen=True)
class Overlap:
    """What two sources share; of each image and text of B the first place in A."""

    a: OverlapSource
    b: OverlapSource
    images: tuple[Shared, ...]
    texts: tuple[Shared, ...]
    compared: tuple[str, ...]
    """How images could be compared, with what the sources have."""

    def counts(self) -> dict[str, Any]:
        """Images and texts of each source, and how many of B's are in A."""
        found = {"images_a": len(self.a.images), "images_b": len(self.b.images), "shared_images": len(self.images)}
        found |= {f"shared_images_by_{way}": sum(way in one.by for one in self.images) for way in self.compared}
        return {
            **found,
            "texts_a": len(self.a.texts),
            "texts_b": len(self.b.texts),
            "shared_texts": len(self.texts),
        }

    def to_dict(self) -> dict[str, Any]:
        """Counts and whole lists, for JSON."""
        lists = {"images": [asdict(one) for one in self.images], "texts": [asdict(one) for one in self.texts]}
        return {**self.counts(), **lists, "problems": [*self.a.problems, *self.b.problems]}


def find_overlap(a: Asked, b: Asked, image_data: str | None = None, near: bool = True) -> Overlap:
    """What B shares with A.

    Args:
        a: source.
        b: source.
        image_data: Visual Genome's file of its images, which says what each is in COCO.
        near: compare images by hash too, where both sources have their files.

    Raises:
        SourceError, DataError, StoreError, ColumnError: a source is missing, bad or empty.
    """
    in_coco: Mapping[str, str] = {} if image_data is None else visual_genome_ids(Path(image_data).expanduser())
    first, second = (read_source(one, in_coco, near) for one in (a, b))
    return _compare(first, second)


def _compare(a: OverlapSource, b: OverlapSource) -> Overlap:
    ways = {BY_ID: _by_id(a, b), BY_FILE: _by_file(a, b), BY_HASH: _by_hash(a, b)}
    found: dict[str, dict[str, SourceImage]] = {}
    for way, pairs in ways.items():
        for image, other in pairs.items():
            found.setdefault(image, {})[way] = other
    images = [
        Shared(next(iter(found[name].values())).place, one.place, tuple(found[name]))
        for name, one in b.images.items()
        if name in found
    ]
    texts = [Shared(a.texts[text], place) for text, place in b.texts.items() if text in a.texts]
    return Overlap(a, b, tuple(images), tuple(texts), _compared(a, b))


def _compared(a: OverlapSource, b: OverlapSource) -> tuple[str, ...]:
    def both(has: str) -> bool:
        return all(any(getattr(one, has) for one in source.images.values()) for source in (a, b))

    fields = {BY_ID: "names", BY_FILE: "digest", BY_HASH: "hash"}
    return tuple(way for way, has in fields.items() if both(has))


def _by_id(a: OverlapSource, b: OverlapSource) -> dict[str, SourceImage]:
    """Image of A for each name of B's: by collection and id, or where a collection is unknown by name."""
    keyed = {key: one for one in reversed(a.images.values()) for key in one.keys}
    names = _ByName(a.images.values(), a.name)
    unknown = _ByName((one for one in a.images.values() if not one.keys), a.name)
    found = {}
    for name, one in b.images.items():
        match = next((keyed[key] for key in one.keys if key in keyed), None)
        match = match or (unknown if one.keys else names).find(one.names)
        if match is not None:
            found[name] = match
    return found


class _ByName:
    """Images by any name that may mean them."""

    def __init__(self, images: Iterable[SourceImage], where: str) -> None:
        self._images = {name: one for one in images for name in one.names}
        self._index = NameIndex(self._images, where)

    def find(self, names: Sequence[str]) -> SourceImage | None:
        """The image that the first of the names with one means."""
        if not self._images:
            return None
        found = (self._index.find(name).name for name in names)
        return next((self._images[name] for name in found if name is not None), None)


def _by_file(a: OverlapSource, b: OverlapSource) -> dict[str, SourceImage]:
    files = {one.digest: one for one in reversed(a.images.values()) if one.digest}
    return {name: files[one.digest] for name, one in b.images.items() if one.digest in files}


def _by_hash(a: OverlapSource, b: OverlapSource) -> dict[str, SourceImage]:
    """Image of A that shows the photo of one of B's; what both are near counts too."""
    images = list(all_images((a, b)))
    first, total = len(a.images), len(images)
    if not all(any(one.hash for one in part) for part in (images[:first], images[first:])):
        return {}
    blank = bytes(HASH_BYTES)
    hashes = np.frombuffer(b"".join(one.hash or blank for one in images), np.uint8).reshape(total, HASH_BYTES)
    groups = group_rows(total, near_image_pairs(hashes, lambda place: _loaded(images[place])))
    of_a = dict(zip(groups[:first][::-1].tolist(), images[:first][::-1], strict=True))
    names = list(b.images)
    return {
        names[place]: of_a[group]
        for place, group in enumerate(groups[first:].tolist())
        if group in of_a and images[first + place].hash
    }


def _loaded(image: SourceImage) -> bytes:
    data = b"" if image.load is None else image.load()
    if not data:
        raise ImageError(f"{image.place.file}, row {image.place.row}: was there when it was read, and is no more.")
    return data
