"""What a source holds: rows of each shard, which columns are read for what, and the types of the others."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interbert.curation.cells import ERROR, STATUS, ChosenColumns
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.shards_of_source import OpenShards, is_archive
from interbert.errors import ColumnError, InterBertError, SourceError, StorageError, listed
from interbert.extraction.columns import TEXT_NAMES, find_image, find_texts
from interbert.extraction.sources import some_rows
from interbert.extraction.table_files import common_type

OURS = ("image", "title", "title_raw", "id", "group", "category", "flags")
"""Columns of the output; one of the source that has such a name is called ``source_NAME`` there."""
_IDS = ("id", "item_id", "itemid", "product_id", "productid", "sku", "key", "text_id")


@dataclass(frozen=True)
class ListedShard:
    """A shard of a source."""

    name: str
    rows: int
    """A shard that cannot be read is one row, which says so."""
    problem: str | None = None


@dataclass(frozen=True)
class SourceListing:
    """A source as the build reads it."""

    shards: list[ListedShard]
    columns: ChosenColumns
    others: dict[str, str] = field(default_factory=dict)
    """Further columns of the source -> their names in the output."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Columns that are not in the output, with why."""
    types: str = ""
    """Arrow's schema of the others, in base64."""

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    def schema(self) -> Any:
        """Arrow's schema of the further columns, by their names in the source."""
        import pyarrow as pa

        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.types)))

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> SourceListing:
        """The inverse of ``dataclasses.asdict``."""
        shards = [ListedShard(**shard) for shard in found["shards"]]
        columns = ChosenColumns(**found["columns"])
        return cls(shards, columns, found["others"], found["left_out"], found["types"])


def list_source(opened: OpenShards, recipe: DatasetRecipe) -> SourceListing:
    """Open every shard once and choose the columns.

    Raises:
        SourceError: no shard can be read.
        ColumnError: a column that was named is not there, or none is clearly the title.
    """
    shards, sample = list[ListedShard](), dict[str, list[Any]]()
    types: dict[str, Any] = {}
    misfits: dict[str, str] = {}
    first: SourceError | None = None
    for number, shard in enumerate(opened.shards):
        try:
            rows = opened.rows(number).rows
        except StorageError:
            raise
        except InterBertError as error:
            first = first or SourceError(str(error))
            shards.append(ListedShard(shard.name, 1, str(error)))
            continue
        shards.append(ListedShard(shard.name, len(rows)))
        _unify(types, _types(rows), shard.name, misfits)
        if len(sample) < len(types):
            sample = {name: [None] for name in types} | some_rows(rows) | {k: v for k, v in sample.items() if any(v)}
    if not types:
        raise first or SourceError(f"{recipe.source}: holds no rows.")
    columns = _choose(recipe, list(types), sample)
    others, left_out = _others(types, columns, misfits, sample, recipe)
    return SourceListing(shards, columns, others, left_out, _encoded({name: types[name] for name in others}))


def _types(rows: Any) -> dict[str, Any]:
    """Arrow's type of every column; of an archive they are texts."""
    import pyarrow as pa

    if is_archive(rows):
        return dict.fromkeys(rows.column_names, pa.string())
    return {field.name: field.type for field in rows.data.schema}


def _unify(types: dict[str, Any], more: Mapping[str, Any], where: str, misfits: dict[str, str]) -> None:
    for name, kind in more.items():
        common = common_type(types[name], kind) if name in types else kind
        if common is None:
            misfits.setdefault(name, f"is {str(kind)[:60]} in {where} and {str(types[name])[:60]} before it")
        else:
            types[name] = common


def _choose(recipe: DatasetRecipe, names: Sequence[str], sample: Mapping[str, Sequence[Any]]) -> ChosenColumns:
    named = (recipe.title_column, recipe.image_column, recipe.id_column, recipe.product_id_column)
    for name in (*named, recipe.category_column, recipe.splits.stratify_by):
        if name is not None and name not in names:
            raise ColumnError.missing(name, names, recipe.source)
    image = recipe.image_column or (None if recipe.images == "none" else find_image(names, sample))
    title = recipe.title_column or _title([name for name in names if name != image], sample, recipe)
    lowered = {name.lower(): name for name in names if name not in (image, title)}
    return ChosenColumns(
        title=title,
        image=image,
        id=recipe.id_column or next((lowered[name] for name in _IDS if name in lowered), None),
        product=recipe.product_id_column,
        category=recipe.category_column or recipe.splits.stratify_by or lowered.get("category"),
        status=STATUS if STATUS in names and ({"url", ERROR} & set(names)) and image is not None else None,
        error=ERROR if ERROR in names and STATUS in names else None,
    )


def _title(names: Sequence[str], sample: Mapping[str, Sequence[Any]], recipe: DatasetRecipe) -> str:
    """The one column of titles: that of the recipe's language, such as ``title_zh``, before all others."""
    language = recipe.title_rules.language
    for name in (f"{text}_{language}" for text in TEXT_NAMES):
        own = [one for one in names if one.lower() == name]
        if own and find_texts(own, sample):
            return own[0]
    found = find_texts(names, sample)
    if not found:
        raise ColumnError(
            f"{recipe.source}: no column is clearly the title. Name it with --title-column. Columns: {listed(names)}."
        )
    return found[0]


def _others(
    types: Mapping[str, Any],
    columns: ChosenColumns,
    misfits: Mapping[str, str],
    sample: Mapping[str, Sequence[Any]],
    recipe: DatasetRecipe,
) -> tuple[dict[str, str], dict[str, str]]:
    """Further columns of the source by their names in the output, and those that are left out."""
    left_out = dict(misfits)
    if recipe.images == "none" and (image := find_image(list(types), sample)) is not None:
        left_out[image] = "holds images, which --images none leaves out"
    read = (columns.title, columns.image, columns.id, columns.category)
    others: dict[str, str] = {}
    for name in (name for name in types if name not in read and name not in left_out):
        new = f"source_{name}" if name in OURS else name
        while new != name and (new in types or new in others.values()):
            new = f"source_{new}"
        others[name] = new
    return others, left_out


def _encoded(types: Mapping[str, Any]) -> str:
    import pyarrow as pa

    filled = [(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in types.items()]
    return base64.b64encode(pa.schema(filled).serialize().to_pybytes()).decode()


def starts(shards: Iterable[ListedShard]) -> list[int]:
    """Number of each shard's first row, counted over all shards."""
    found, total = [], 0
    for shard in shards:
        found.append(total)
        total += shard.rows
    return found
