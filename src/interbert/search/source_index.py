"""The images of a source in memory, ready to be searched: for catalogues up to some ten thousand images.

Shapes: n images, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from interbert.errors import SourceError, UsageError, VectorIndexError
from interbert.extraction.extract import extract_images, extract_to_store
from interbert.extraction.joining import image_digest
from interbert.extraction.sources import ImageSource
from interbert.regions.commits import read_skipped
from interbert.regions.schema import Regions
from interbert.regions.store import RegionStore
from interbert.search.full_text import Words
from interbert.search.hits import Hit
from interbert.search.query_encoder import ProductEncoder

Float32 = NDArray[np.float32]
Problems = list[tuple[str, str]]


@dataclass(frozen=True)
class Entry:
    """An image of a source."""

    image_id: str
    source_row: int
    """Of the source that is searched."""
    texts: tuple[str, ...]
    """As the source has them now."""
    product_id: str
    """As the source has it now; the image's id where it has none."""
    digest: str
    """SHA-256 of the file that was encoded; empty where a store of imported regions does not say."""
    view: int = 0


class SourceIndex:
    """Encoded images of a source, compared one by one; those of one product are ranked each, and one result.

    Args:
        entries: the images.
        vectors: [n,D].
        tokens: embedded tokens [R,H] of each.
        problems: (image id, reason) of what could not be used.
    """

    mirrored = False

    def __init__(
        self, entries: Sequence[Entry], vectors: Float32, tokens: Sequence[Float32], problems: Problems
    ) -> None:
        self.entries = tuple(entries)
        self.problems = problems
        self.metadata: Any = None
        """Arrow table of columns of the source, which results bring along; None without."""
        self._vectors = vectors
        self._tokens = tokens

    @classmethod
    def of(
        cls, source: ImageSource, encoder: ProductEncoder, regions: str | None = None, progress: bool = False
    ) -> SourceIndex:
        """Extract and encode a source's images.

        Args:
            source: images, with or without texts.
            encoder: the model that searches them.
            regions: store that keeps the regions, so that the next search need not extract; None keeps nothing.
            progress: show a bar.

        Raises:
            SourceError: no image can be used.
            StoreError: ``regions`` was made by another extractor.
        """
        found: Sequence[Regions]
        if regions is None:
            records, problems = extract_images(source, encoder.extractor, progress)
            entries = [Entry(one.image_id, one.source_row, one.texts, one.product_id, one.digest) for one in records]
            found, names = [one.regions for one in records], [one.image_id for one in records]
        else:
            extract_to_store(source, regions, encoder.extractor, need_texts=False, progress=progress)
            store = RegionStore.open(regions)
            rows, entries, problems = _stored(store, source)
            found, names = store.take(rows), [regions] * len(rows)
        if not entries:
            raise SourceError(f"{source.name}: none of its images could be used ({problems[0][1]}).")
        return cls(entries, *encoder.images(found, names), problems)

    def __len__(self) -> int:
        return len(self._tokens)

    def pinned(self) -> Self:
        """Itself, which never changes."""
        return self

    def vector_search(self, vector: Float32, k: int, where: str | None = None, *, tokens: bool = False) -> list[Hit]:
        """The ``k`` images with the largest inner products, as :meth:`~interbert.search.hits.Index.vector_search`.

        Raises:
            UsageError: there is a filter.
        """
        if where is not None:
            raise UsageError("search: --where needs an index. Make one with: interbert index build")
        scores: NDArray[Any] = self._vectors @ vector
        order = sorted(range(len(self)), key=lambda place: (-float(scores[place]), self.entries[place].image_id))
        return [
            Hit(
                rank=0,
                id=self.entries[place].image_id,
                texts=self.entries[place].texts,
                product_id=self.entries[place].product_id,
                score=float(scores[place]),
                metadata=self._metadata(place),
                vector=self._vectors[place],
                tokens=self._tokens[place] if tokens else None,
            )
            for place in order[:k]
        ]

    def full_text_search(
        self, text: str | Words, k: int, where: str | None = None, *, tokens: bool = False
    ) -> list[Hit]:
        """None: texts are shown, but not searched."""
        return []

    def regions(self, ids: Sequence[str]) -> list[Float32]:
        """Embedded tokens [R,H] of images, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not there.
        """
        return [self._tokens[place] for place in self._places(ids)]

    def vectors(self, ids: Sequence[str]) -> Float32:
        """Vectors [n,D] of images, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not there.
        """
        return self._vectors[self._places(ids)]

    def _metadata(self, place: int) -> dict[str, Any]:
        """Columns of the row of an image."""
        if self.metadata is None:
            return {}
        row: dict[str, Any] = self.metadata.slice(self.entries[place].source_row, 1).to_pylist()[0]
        return row

    def images_of(self, product_id: str) -> list[str]:
        """Ids of a product's images; an image's own id stands for it alone."""
        found = [one.image_id for one in self.entries if one.product_id == product_id]
        return found or [product_id]

    def _places(self, ids: Sequence[str]) -> list[int]:
        places = {entry.image_id: place for place, entry in enumerate(self.entries)}
        absent = next((name for name in ids if name not in places), None)
        if absent is not None:
            raise VectorIndexError(f"the source has no image {absent!r}.")
        return [places[name] for name in ids]


def _stored(store: RegionStore, source: ImageSource) -> tuple[list[int], list[Entry], Problems]:
    """What a store has of a source's images: its rows, the source's entries, and what cannot be used.

    A store may be of an earlier state of the source, whose row numbers and texts are not those of today, and whose
    images need not be either: every file is compared with the one whose regions are kept.
    """
    places = {name: row for row, name in enumerate(source.image_ids())}
    facts = list(source.products_and_texts())
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
            entries.append(Entry(one.image_id, place, facts[place][1], facts[place][0], one.digest))
    skipped = read_skipped(store.path)  # what the extraction could not use, with its reasons, rows without an id too
    seen |= {"", *(name for name, _ in skipped)}
    problems += [*skipped, *((name, "could not be read") for name in sorted(places.keys() - seen))]
    return rows, entries, problems
