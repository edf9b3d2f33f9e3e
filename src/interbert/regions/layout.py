"""How a store's rows lie on disk: Arrow columns, and what one store may do differently from another.

One row is one view of one image. N regions, F feature size, C classes, K kept classes.

==================  =============================  ===================================================================
column              Arrow type                     what, and its unit
==================  =============================  ===================================================================
picture_id          string                         unique together with ``view``
product_id          string                         shared by images of one product
digest              string                         SHA-256 of the image's file, hex
view                int8                           0 as it is, 1 mirrored left to right
source_row          int64                          row of the source, from 0
texts               list<string>                   captions, titles
text_fields         list<string>                   source column of each text
width, height       int32                          of the image, pixels
boxes               list<fixed<float32, 4>>        x1, y1, x2, y2 in pixels, N of them
features            list<fixed<float16, F>>        N feature vectors, as extracted, no unit
class_probs         list<fixed<float16, C>>        whole distributions: C probabilities; null without a classifier
class_ids           list<fixed<uint16, K>>         instead of ``class_probs``: the K most probable classes, best first
class_shares        list<fixed<float16, K + 1>>    their probabilities; last the remainder: all other classes together
regions_checksum    uint64                         XXH3 of the regions (:mod:`interbert.regions.conversion`)
row_checksum        uint64                         XXH3 of everything else and of ``regions_checksum``
==================  =============================  ===================================================================

The schema's metadata says who extracted the regions, the version of this layout and which versions of which libraries
made the store. Version 1 had no checksums and whole distributions only; it is read, and added to in its own layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interbert.errors import ConfigError, StoreError
from interbert.regions.schema import ExtractorInfo
from interbert.utils.bounded_files import json_value
from interbert.utils.environment import installed_versions

LAYOUT_VERSION = 2
ID_COLUMN = "picture_id"
"""Column of image ids. Stores and indexes keep the name that earlier versions wrote: a file has one format."""
TEXT_COLUMNS = [ID_COLUMN, "product_id", "digest", "view", "source_row", "texts", "text_fields"]
TEXT_FIELDS = ["image_id", *TEXT_COLUMNS[1:]]
"""What those columns are called in :class:`~interbert.regions.schema.RegionRecord`."""
SIZE_COLUMNS = ["width", "height"]
ROW_CHECKSUM, REGIONS_CHECKSUM = "row_checksum", "regions_checksum"
_WHOLE, _TOP = ["class_probs"], ["class_ids", "class_shares"]
_EXTRACTOR_KEY, _VERSION_KEY, _MADE_BY_KEY = b"interbert.extractor", b"interbert.layout", b"interbert.made_by"
_LARGEST_WIDTH = 2**31
"""Numbers of a feature or a distribution stay below: more fit into no Arrow list."""
_MOST_CLASSES = 2**16
_LIBRARIES = ("interbert", "pylance", "torch", "torchvision", "transformers", "timm", "efficientnet-lite-pytorch")
_REMEDY = "It is damaged: remove the folder and extract the images again."


@dataclass(frozen=True)
class RowLayout:
    """The layout of one store; pickles, so that other processes can make rows for it."""

    info: ExtractorInfo
    top_k_classes: int | None = None
    """So many classes are stored of each region, and the remainder; None stores whole distributions."""
    checksums: bool = True
    version: int = LAYOUT_VERSION
    made_by: Mapping[str, str] | None = None
    """Library -> its version, when the store was created."""

    @classmethod
    def new(cls, info: ExtractorInfo, top_k_classes: int | None = None) -> RowLayout:
        """Layout of a store to create.

        Raises:
            ConfigError: ``top_k_classes`` does not fit the extractor's classes.
        """
        if top_k_classes is not None:
            if info.num_classes is None:
                raise ConfigError(f"The {info.name} extractor gives no classes here. Leave --top-k-classes out.")
            if not 1 <= top_k_classes < info.num_classes:
                raise ConfigError(
                    f"top_k_classes must be at least 1 and below the {info.num_classes} classes, not {top_k_classes}."
                )
            if info.num_classes > _MOST_CLASSES:
                raise ConfigError(f"top_k_classes: at most {_MOST_CLASSES} classes, not {info.num_classes}.")
        return cls(info, top_k_classes, made_by=installed_versions(_LIBRARIES))

    @classmethod
    def of(cls, schema: Any, where: str) -> RowLayout:
        """Layout of a store by its Arrow schema.

        Raises:
            StoreError: it is no region store, lacks a column, or a newer interbert made it.
        """
        said = schema.metadata or {}
        if _EXTRACTOR_KEY not in said:
            raise StoreError(f"{where}: is a Lance data set but not a region store.")
        try:
            info = ExtractorInfo.from_json(said[_EXTRACTOR_KEY].decode())
            version = int(said.get(_VERSION_KEY, b"1"))
            made_by = json_value(said[_MADE_BY_KEY].decode()) if _MADE_BY_KEY in said else None
            _require_possible(info, made_by)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise StoreError(f"{where}: does not say who extracted it. {_REMEDY}") from error
        if version > LAYOUT_VERSION:
            raise StoreError(
                f"{where}: has layout {version}, this interbert reads up to {LAYOUT_VERSION}. Install a newer one."
            )
        names = set(schema.names)
        top = _width(schema, _TOP[0]) if _TOP[0] in names else None
        layout = cls(info, top, ROW_CHECKSUM in names or version > 1, version, made_by)
        if lacking := sorted(set(layout.columns) - names):
            raise StoreError(f"{where}: has no column {lacking[0]!r}. {_REMEDY}")
        for name, told in (("features", info.feature_size), ("class_probs", info.num_classes or 1)):
            if name in names and _width(schema, name) != told:
                raise StoreError(
                    f"{where}: {name!r} does not have the {told} numbers that its extractor gives. {_REMEDY}"
                )
        return layout

    @property
    def class_columns(self) -> list[str]:
        """Columns of the class distributions."""
        return _WHOLE if self.top_k_classes is None else _TOP

    @property
    def region_columns(self) -> list[str]:
        """What ``take`` reads."""
        sums = [REGIONS_CHECKSUM] if self.checksums else []
        return [*SIZE_COLUMNS, "boxes", "features", *self.class_columns, *sums]

    @property
    def text_columns(self) -> list[str]:
        """What ``captions`` reads."""
        return [*TEXT_COLUMNS, *([ROW_CHECKSUM, REGIONS_CHECKSUM] if self.checksums else [])]

    @property
    def columns(self) -> list[str]:
        """All columns, in the schema's order."""
        sums = [REGIONS_CHECKSUM, ROW_CHECKSUM] if self.checksums else []
        return [*TEXT_COLUMNS, *SIZE_COLUMNS, "boxes", "features", *self.class_columns, *sums]

    @cached_property
    def schema(self) -> Any:
        """Arrow schema with metadata."""
        import pyarrow as pa

        info, kept = self.info, self.top_k_classes or 0
        kinds = {
            **dict.fromkeys((ID_COLUMN, "product_id", "digest"), pa.string()),
            "view": pa.int8(),
            "source_row": pa.int64(),
            **dict.fromkeys(("texts", "text_fields"), pa.list_(pa.string())),
            **dict.fromkeys(SIZE_COLUMNS, pa.int32()),
            "boxes": pa.list_(pa.list_(pa.float32(), 4)),
            "features": pa.list_(pa.list_(pa.float16(), info.feature_size)),
            # without a class distribution the column holds nulls; its width must still be positive
            "class_probs": pa.list_(pa.list_(pa.float16(), info.num_classes or 1)),
            "class_ids": pa.list_(pa.list_(pa.uint16(), max(kept, 1))),
            "class_shares": pa.list_(pa.list_(pa.float16(), kept + 1)),
            **dict.fromkeys((REGIONS_CHECKSUM, ROW_CHECKSUM), pa.uint64()),
        }
        said = {_EXTRACTOR_KEY: info.to_json().encode()}
        if self.version > 1:
            said |= {_VERSION_KEY: str(self.version).encode(), _MADE_BY_KEY: json.dumps(self.made_by).encode()}
        return pa.schema([(name, kinds[name]) for name in self.columns], metadata=said)


def _require_possible(info: ExtractorInfo, made_by: Any) -> None:
    """Check what shapes and names are told by.

    Raises:
        ValueError: a field has a value that no extraction writes.
    """
    sound = (
        type(info.name) is str
        and all(type(name) is str for name in info.settings)
        and 0 < info.feature_size < _LARGEST_WIDTH
        and (info.num_classes is None or (type(info.num_classes) is int and 0 < info.num_classes < _LARGEST_WIDTH))
        and (made_by is None or (isinstance(made_by, dict) and all(type(one) is str for one in made_by.values())))
    )
    if not sound:
        raise ValueError


def _width(schema: Any, name: str) -> int | None:
    """Numbers per region of a column; None when it is no list of lists of a fixed length."""
    width: int | None = getattr(getattr(schema.field(name).type, "value_type", None), "list_size", None)
    return width
