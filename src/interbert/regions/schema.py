"""What a region extractor gives for an image, and who extracted it.

Shapes: N regions of an image, F region feature size, C region classes (background included where there is one).
How these rows lie on disk: :mod:`interbert.regions.layout`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import RegionError, StoreError
from interbert.utils.bounded_files import json_value


@dataclass(frozen=True)
class Regions:
    """The regions of one image: the four things a detector gives (SPEC part 2)."""

    boxes: NDArray[np.float32]
    """[N,4] as x1, y1, x2, y2 in pixels of the image as it is shown (turned as its EXIF says), origin top left."""
    features: NDArray[Any]
    """[N,F], float16 or float32, as the extractor gives them: not scaled, no unit."""
    class_probs: NDArray[Any] | None
    """[N,C] probabilities, rows sum to 1; None when the extractor has no classifier."""
    width: int
    """Of the image, pixels."""
    height: int
    """Of the image, pixels."""

    def validate(self, where: str) -> Regions:
        """Return self when shapes agree and every value is finite.

        Raises:
            RegionError: naming ``where``.
        """
        count = len(self.boxes)
        shapes_agree = (
            count > 0
            and self.boxes.shape == (count, 4)
            and self.features.ndim == 2
            and len(self.features) == count
            and (self.class_probs is None or len(self.class_probs) == count)
        )
        if not shapes_agree:
            raise RegionError(
                f"{where}: boxes {self.boxes.shape}, features {self.features.shape}: need [N,4] and [N,F] with N > 0."
            )
        if self.width < 1 or self.height < 1:
            raise RegionError(f"{where}: the image's size {self.width}x{self.height} is impossible.")
        for name in ("boxes", "features", "class_probs"):
            values = getattr(self, name)
            if values is not None and not _finite(values):
                raise RegionError(f"{where}: {name} hold NaN or infinite values. Extract this image again.")
        if self.class_probs is not None and _negative(self.class_probs):
            raise RegionError(f"{where}: a class has a probability below 0. Extract this image again.")
        return self


@dataclass(frozen=True)
class RegionRecord:
    """One row of a region store: a view of an image with its texts and regions."""

    image_id: str
    """Unique together with ``view``."""
    product_id: str
    """Images of one product are never each other's negatives."""
    digest: str
    """SHA-256 of the image's file bytes, 64 hex digits; equal images have equal digests; "" when not known."""
    view: int
    """0 as it is, 1 mirrored left to right."""
    source_row: int
    """Row of the source, from 0."""
    texts: tuple[str, ...]
    """Captions, titles; may be empty."""
    text_fields: tuple[str, ...]
    """Source column of each text."""
    regions: Regions


@dataclass(frozen=True)
class CaptionRow:
    """A row of a store without its regions; fields as in :class:`RegionRecord`."""

    row: int
    """Of the store, from 0."""
    image_id: str
    product_id: str
    digest: str
    view: int
    source_row: int
    texts: tuple[str, ...]
    text_fields: tuple[str, ...]


LOOKUP_SETTINGS = frozenset({"weights_from"})
"""Settings that say where something is, not what: two extractors that differ in nothing else are equal."""


@dataclass(frozen=True)
class ExtractorInfo:
    """Which extractor made regions; two with equal fingerprints give equal regions."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    feature_size: int = 0
    num_classes: int | None = None
    """None when the extractor gives no class distribution."""
    version: int = 1
    """Raised by whoever changes an extractor so that equal settings give other regions."""

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of everything above, but for where weights lie."""
        return hashlib.sha256(self._without_lookup().to_json().encode()).hexdigest()[:16]

    def _without_lookup(self) -> ExtractorInfo:
        what = {name: value for name, value in self.settings.items() if name not in LOOKUP_SETTINGS}
        return replace(self, settings=what)

    def to_dict(self) -> dict[str, Any]:
        """Plain fields, for JSON. Version 1 is left out: stores and models that know of none keep their fingerprint."""
        fields = asdict(self) | {"settings": dict(self.settings)}
        if self.version == 1:
            del fields["version"]
        return fields

    def to_json(self) -> str:
        """Canonical JSON."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ExtractorInfo:
        """Inverse of :meth:`to_dict`."""
        return cls(
            name=fields["name"],
            settings=dict(fields["settings"]),
            feature_size=int(fields["feature_size"]),
            num_classes=fields["num_classes"],
            version=int(fields.get("version", 1)),
        )

    @classmethod
    def from_json(cls, text: str) -> ExtractorInfo:
        """Inverse of :meth:`to_json`."""
        return cls.from_dict(json_value(text))

    def differences(self, other: ExtractorInfo) -> str:
        """Readable list of what differs: ``scales [1, 2], asked for [1, 2, 3]``."""
        mine, theirs = asdict(self._without_lookup()), asdict(other._without_lookup())
        flat_mine = {**mine.pop("settings"), **mine}
        flat_theirs = {**theirs.pop("settings"), **theirs}
        names = sorted(set(flat_mine) | set(flat_theirs))
        different = [n for n in names if flat_mine.get(n) != flat_theirs.get(n)]
        return "; ".join(f"{n} {flat_mine.get(n)}, asked for {flat_theirs.get(n)}" for n in different)


def _finite(values: NDArray[Any]) -> bool:
    """Whether no value is NaN or infinite; of float16 by its bits, as numpy has no fast loop for it."""
    if values.dtype == np.float16:
        return bool((values.view(np.uint16) & 0x7FFF).max(initial=0) < 0x7C00)
    return bool(np.isfinite(values).all())


def _negative(values: NDArray[Any]) -> bool:
    """Whether a finite value is below 0."""
    if values.dtype == np.float16:
        return bool(values.view(np.uint16).max(initial=0) > 0x8000)  # which is -0.0
    return bool(values.min(initial=0) < 0)


class RegionReader(ABC):
    """Rows of regions and captions, by number."""

    path: str
    """For messages."""
    folder: str
    """Where weights of the extractor lie that were trained here."""
    info: ExtractorInfo

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the data."""

    @abstractmethod
    def captions(self) -> Iterator[CaptionRow]:
        """Every row without its regions, one after the other."""

    @abstractmethod
    def take(self, rows: Sequence[int]) -> list[Regions]:
        """Regions of rows, in the asked order."""

    def require(self, info: ExtractorInfo) -> None:
        """Check that ``info``'s extractor made this store.

        Raises:
            StoreError: saying what differs and the remedy.
        """
        if self.info.fingerprint != info.fingerprint:
            raise StoreError(
                f"{self.path}: was made by another extractor ({self.info.differences(info)}). Extract into another "
                "folder, or give the settings the store was made with."
            )

    def feature_statistics(self, max_rows: int = 2048, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and standard deviation (at least 1e-3) of every feature, f32 [F] each, over a sample of rows."""
        count = len(self)
        rows = np.random.default_rng(seed).permutation(count)[:max_rows]
        total, squares, seen = 0.0, 0.0, 0
        for start in range(0, len(rows), 256):
            for regions in self.take(np.sort(rows[start : start + 256]).tolist()):
                values = regions.features.astype(np.float64)
                total, squares, seen = (
                    total + values.sum(0),
                    squares + np.square(values).sum(0),
                    seen + len(values),
                )
        mean = np.asarray(total) / max(seen, 1)
        variance = np.asarray(squares) / max(seen, 1) - np.square(mean)
        return mean.astype(np.float32), np.sqrt(variance.clip(min=1e-6)).astype(np.float32)

    def pooled_features(self, batch_rows: int = 512) -> NDArray[np.float32]:
        """Mean region feature of every row, [len,F], read in order without holding the whole store."""
        return np.concatenate([block for _, block in self.pooled_blocks(batch_rows)])

    def pooled_blocks(self, batch_rows: int = 512) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Numbers of rows, in order, and their mean region features [at most batch_rows,F]: all rows once."""
        for start in range(0, len(self), batch_rows):
            rows = np.arange(start, min(start + batch_rows, len(self)), dtype=np.int64)
            found = self.take(rows.tolist())
            yield rows, np.stack([regions.features.mean(axis=0, dtype=np.float32) for regions in found])
