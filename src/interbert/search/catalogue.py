"""Joint search of a small catalogue: every image is scored together with the text.

One pair costs one pass through the model, so this suits catalogues up to some ten thousand images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interbert.checkpoints.directory import load_model, load_processor
from interbert.errors import SourceError
from interbert.extraction.extract import extract_images, extract_to_store
from interbert.extraction.extractor import build_extractor
from interbert.extraction.same_source import image_digest
from interbert.extraction.sources import ImageSource
from interbert.model.processing import InterBertProcessor
from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.model.scoring import score_matrix
from interbert.region_arrays import RegionArrays
from interbert.regions.commits import read_skipped
from interbert.regions.store import RegionStore


@dataclass(frozen=True)
class Entry:
    """An image of a catalogue."""

    image_id: str
    source_row: int
    """Of the source that is searched."""
    texts: tuple[str, ...]
    """As the source has them now."""
    digest: str
    """SHA-256 of the file that was scored; empty where a store of imported regions does not say."""
    view: int = 0


@dataclass(frozen=True)
class Catalogue:
    """Images ready to be searched."""

    entries: tuple[Entry, ...]
    images: tuple[RegionArrays, ...]
    """Model inputs, one for each entry."""
    problems: tuple[tuple[str, str], ...]
    """(image id, reason) of what could not be used."""


@dataclass(frozen=True)
class Hit:
    """A result."""

    rank: int
    """1 is best."""
    entry: Entry
    score: float
    """Matching logit difference; what results are ordered by."""
    probability: float
    """softmax(matching logits)[0] (SPEC part 4)."""


class CatalogueSearch:
    """A model that ranks images for texts.

    Args:
        model: with a matching head.
        processor: of the same model directory.
        bf16: score in bf16; None does where the device has it.
    """

    def __init__(
        self, model: InterBertForImageTextRetrieval, processor: InterBertProcessor, bf16: bool | None = None
    ) -> None:
        self.model = model
        self.processor = processor
        self._bf16 = bf16

    @classmethod
    def load(cls, directory: str | Path, bf16: bool | None = None) -> CatalogueSearch:
        """Open a model directory.

        Raises:
            CheckpointError: it is missing, damaged or no retrieval model.
        """
        return cls(load_model(directory), load_processor(directory), bf16)

    def catalogue(self, source: ImageSource, regions: str | None = None, progress: bool = False) -> Catalogue:
        """Extract the regions of a source's images.

        Args:
            source: images, with or without texts.
            regions: store that keeps the regions, so that the next search need not extract; None keeps nothing.
            progress: show a bar.

        Raises:
            SourceError: no image can be used.
            StoreError: ``regions`` was made by another extractor.
        """
        extractor = build_extractor(self.processor.extractor_info, self.processor.extractor_folder)
        if regions is None:
            records, problems = extract_images(source, extractor, progress)
            entries = [Entry(one.image_id, one.source_row, one.texts, one.digest) for one in records]
            images = [self.processor.image_inputs(one.regions, where=one.image_id) for one in records]
        else:
            extract_to_store(source, regions, extractor, need_texts=False, progress=progress)
            store = RegionStore.open(regions)
            rows, entries, problems = _stored(store, source)
            found = store.take(rows)
            images = [self.processor.image_inputs(one, where=regions) for one in found]
        if not entries:
            raise SourceError(f"{source.name}: none of its images could be used ({problems[0][1]}).")
        return Catalogue(tuple(entries), tuple(images), tuple(problems))

    def search(
        self,
        texts: Sequence[str],
        catalogue: Catalogue,
        top_k: int = 10,
        progress: Callable[[int], None] | None = None,
    ) -> list[list[Hit]]:
        """The best ``top_k`` images of each text, best first.

        Raises:
            SourceError: a text is empty.
        """
        if any(not text.strip() for text in texts):
            raise SourceError("the text to search for is empty. Say what the image should show.")
        ids = self.processor.texts_to_ids(texts)
        scores = score_matrix(self.model, ids, catalogue.images, progress, bf16=self._bf16)
        results = []
        for line in scores:
            best = np.argsort(-line, kind="stable")[:top_k]
            results.append(
                [
                    Hit(rank, catalogue.entries[index], float(line[index]), float(1 / (1 + np.exp(-line[index]))))
                    for rank, index in enumerate(best, start=1)
                ]
            )
        return results


def _stored(store: RegionStore, source: ImageSource) -> tuple[list[int], list[Entry], list[tuple[str, str]]]:
    """What a store has of a source's images: its rows, the source's entries, and what cannot be used.

    A store may be of an earlier state of the source, whose row numbers and texts are not those of today, and whose
    images need not be either: every file is compared with the one whose regions are kept.
    """
    places = {name: row for row, name in enumerate(source.image_ids())}
    texts = [found for _, found in source.products_and_texts()]
    rows, entries, problems = [], [], []
    seen = set()
    for one in store.captions():
        place = places.get(one.image_id)
        if place is None or one.view != 0:
            continue
        seen.add(one.image_id)
        if one.digest and image_digest(source[place]) not in (one.digest, None):
            problems.append((one.image_id, f"{store.path} has the regions of another file under this id"))
        else:
            rows.append(one.row)
            entries.append(Entry(one.image_id, place, texts[place], one.digest))
    skipped = read_skipped(store.path)  # what the extraction could not use, with its reasons, rows without an id too
    seen |= {"", *(name for name, _ in skipped)}
    problems += [*skipped, *((name, "could not be read") for name in sorted(places.keys() - seen))]
    return rows, entries, problems
