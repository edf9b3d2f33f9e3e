"""What a source holds: rows of each shard, which columns are read for what, and the types of the others."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from interbert.curation.cells import ERROR, STATUS, ChosenColumns
from interbert.curation.damaged import PartlyRead
from interbert.curation.judged_rows import first_equal, text_keys
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.shards_of_source import OpenShards, SourceShard, is_archive, passed_over
from interbert.errors import ColumnError, InterBertError, NoRowsError, SourceError, StorageError, listed
from interbert.extraction.columns import PRODUCT_NAMES, TEXT_NAMES, find_image, find_texts, id_text
from interbert.extraction.image_cells import image_file
from interbert.extraction.sources import some_rows
from interbert.extraction.table_files import common_type

CAPTION = "caption"
OURS = ("image", "title", "title_raw", "id", "group", "category", "flags")
"""Columns of the output; one of the source that has such a name is called ``source_NAME`` there."""
_IDS = tuple(dict.fromkeys(("id", *PRODUCT_NAMES, "key", "text_id")))
_OF_PRODUCTS = frozenset(PRODUCT_NAMES) - {"id"}
"""Columns whose ids rows of one product share, whatever shard they are in; others may count the rows of a file."""


@dataclass(frozen=True)
class ListedShard:
    """A shard of a source."""

    name: str
    rows: int
    problems: list[str] = field(default_factory=list)
    """What is wrong with its last rows, those that cannot be read; or one reason for all of them."""
    lost: int = 0
    """Rows that cannot be read; of a shard that does not say how many it has, one."""
    row_bytes: int = 0
    """Of a row with its image, in the mean."""
    prefix: str = ""
    """What stands before its ids: they are in an earlier shard, too, and name other rows there."""

    @property
    def sound(self) -> int:
        """Rows that can be read, the first ones."""
        return self.rows - self.lost


@dataclass(frozen=True)
class SourceListing:
    """A source as the build reads it."""

    shards: list[ListedShard]
    columns: ChosenColumns
    others: dict[str, str] = field(default_factory=dict)
    """Further columns of the source -> their names in the output."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Columns that are not in the output, with why."""
    passed_over: list[str] = field(default_factory=list)
    """Files of the source's folder that are not read."""
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
        return cls(**{**found, "shards": shards, "columns": columns})


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
    has_samples, folder = False, None
    for number, shard in enumerate(opened.shards):
        try:
            source = opened.rows(number)
        except StorageError:
            raise
        except NoRowsError:
            shards.append(ListedShard(shard.name, 0))
            continue
        except InterBertError as error:
            first = first or SourceError(str(error))
            shards.append(_lost(shard, str(error)))
            continue
        rows, problems = source.rows, list(source.problems) if isinstance(source, PartlyRead) else []
        count = len(rows)
        size = 0 if not count else _bytes(rows, shard) // count
        shards.append(ListedShard(shard.name, count + len(problems), problems, len(problems), size))
        if not count:
            continue
        folder = source.folder
        _unify(types, _types(rows), shard.name, misfits)
        has_samples |= is_archive(rows) and CAPTION in rows.column_names
        empty = [name for name in types if not any(map(_is_filled, sample.get(name, ())))]
        here = [name for name in empty if name in rows.column_names]
        sample |= {name: [None] for name in empty} | (some_rows(rows.select_columns(here)) if here else {})
    if not types:
        raise first or SourceError(f"{recipe.source}: holds no rows.")
    columns = _choose(recipe, list(types), sample, has_samples)
    if columns.image is not None:
        of_file = _mean_file(sample[columns.image], folder, recipe.source)
        shards = [replace(shard, row_bytes=max(shard.row_bytes, of_file)) for shard in shards]
    shards = _told_apart(opened, shards, columns, recipe)
    others, left_out = _others(types, columns, misfits, sample, recipe)
    unread = passed_over(recipe.source, opened.shards)
    return SourceListing(shards, columns, others, left_out, unread, _encoded({name: types[name] for name in others}))


def _bytes(rows: Any, shard: SourceShard) -> int:
    """Of all rows of a shard, without files that they name."""
    if not is_archive(rows):
        return int(rows.data.nbytes)
    path = Path(shard.path).expanduser()
    return path.stat().st_size if path.is_file() else 0


def _mean_file(images: Sequence[Any], folder: Path | None, source: str) -> int:
    """Bytes of the files that some cells name, in the mean; 0 of cells that hold their images."""
    files = [image_file(value, folder, source)[0] for value in images]
    sizes = [file.stat().st_size for file in files if isinstance(file, Path)]
    return sum(sizes) // max(1, len(sizes))


def _lost(shard: SourceShard, problem: str) -> ListedShard:
    """A shard that cannot be read, with as many rows as its end says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 1
    if shard.path.lower().endswith(".parquet"):
        with suppress(pa.ArrowException, OSError):
            count = max(1, pq.read_metadata(shard.path).num_rows)
    return ListedShard(shard.name, count, [problem], count)


def _is_filled(value: Any) -> bool:
    return any(one is not None for one in value.values()) if isinstance(value, dict) else value not in (None, "")


def _told_apart(
    opened: OpenShards, shards: list[ListedShard], columns: ChosenColumns, recipe: DatasetRecipe
) -> list[ListedShard]:
    """The shards, those with a prefix whose ids begin anew: the first of each id keeps it when shards are added."""
    if recipe.id_column is not None or columns.id is None or columns.id.lower() in _OF_PRODUCTS or len(shards) < 2:
        return shards
    keys, origin = [np.zeros((0, 2), dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    for number, shard in enumerate(shards):
        if shard.sound and columns.id in (rows := opened.rows(number).rows).column_names:
            found = text_keys([id_text(one) or "" for one in rows.select_columns([columns.id])[columns.id]])
            found = found[(found != text_keys([""])).any(axis=1)]
            keys.append(found)
            origin.append(np.full(len(found), number))
    shard_of = np.concatenate(origin)
    first = shard_of[first_equal(np.concatenate(keys))]
    again = set(shard_of[first != shard_of].tolist())
    return [
        replace(one, prefix=f"{PurePosixPath(one.name).with_suffix('')}/") if number in again else one
        for number, one in enumerate(shards)
    ]


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


def _choose(
    recipe: DatasetRecipe, names: Sequence[str], sample: Mapping[str, Sequence[Any]], has_samples: bool
) -> ChosenColumns:
    named = (recipe.title_column, recipe.image_column, recipe.id_column, recipe.product_id_column)
    for name in (*named, recipe.category_column):
        if name is not None and name not in names:
            raise ColumnError.missing(name, names, recipe.source)
    image = recipe.image_column or (None if recipe.images == "none" else find_image(names, sample))
    texts = [name for name in names if name != image]
    title = recipe.title_column or _title(texts, sample, recipe, has_samples)
    lowered = {name.lower(): name for name in names if name not in (image, title)}
    found = recipe.id_column or next((lowered[name] for name in _IDS if name in lowered), None)
    return ChosenColumns(
        title=title,
        image=image,
        id=found,
        product=recipe.product_id_column or (found if found and found.lower() in _OF_PRODUCTS else None),
        category=recipe.category_column or lowered.get("category"),
        status=STATUS if STATUS in names and ({"url", ERROR} & set(names)) and image is not None else None,
        error=ERROR if ERROR in names and STATUS in names else None,
    )


def _title(names: Sequence[str], sample: Mapping[str, Sequence[Any]], recipe: DatasetRecipe, has_samples: bool) -> str:
    """The one column of titles: that of the recipe's language, such as ``title_zh``, before all others.

    The text of a sample in a tar file is its caption, whatever else its ``.json`` says.
    """
    language = recipe.title_rules.language
    for name in (f"{text}_{language}" for text in TEXT_NAMES):
        own = [one for one in names if one.lower() == name]
        if own and find_texts(own, sample):
            return own[0]
    found = (has_samples and find_texts([CAPTION], sample)) or find_texts(names, sample)
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
    import pyarrow as pa

    read: tuple[str | None, ...] = (columns.title, columns.image, columns.id, columns.category)
    left_out = {name: why for name, why in misfits.items() if name not in read}
    if recipe.images == "none" and (image := find_image(list(types), sample)) is not None:
        left_out[image] = "holds images, which --images none leaves out"
    others: dict[str, str] = {}
    if pa.types.is_list(types[columns.title]) or pa.types.is_large_list(types[columns.title]):
        read = (None, *read[1:])  # of several titles the first is one, and the others stay in their column
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
