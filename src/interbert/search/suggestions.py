"""What a mistaken id or filter value may have meant: the same in other letters, width, spaces, without zeros, a typo.

Also what a filter leaves out by the rules of null. All of this reads whole columns, so it is for words to people.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from interbert.search.columns import Column
from interbert.search.conditions import compare, contains, is_null
from interbert.search.index import ProductIndex

_BATCH_ROWS = 65_536
_COMPARED = 50_000
"""So many texts at most are looked through for typos."""
_SHOWN = 5
_TYPOS = 5
"""For so many texts at most."""


def near_ids(index: ProductIndex, names: Sequence[str], typos: bool = False) -> dict[str, str]:
    """For ids that an index lacks those that it has and that may be meant: ``007`` for ``7``, ``A-1`` for ``a-1 ``.

    Args:
        typos: look for those that differ in some letters, too.
    """
    return _near(index, names, ["picture_id", "product_id"], typos) if names else {}


def unknown_ids(index: ProductIndex, names: Sequence[str]) -> list[tuple[str, str]]:
    """Ids that an index lacks, with those that may be meant."""
    near = near_ids(index, names, typos=True)
    hints = {name: f". Did you mean {there!r}?" for name, there in near.items()}
    return [(name, f"is not in the index{hints.get(name, '')}") for name in names]


def like_others(index: ProductIndex, names: Sequence[str]) -> list[str]:
    """That new ids are written nearly like ids that are there, such as 7 and 007."""
    near = near_ids(index, names) if len(index) else {}
    if not near:
        return []
    shown = ", ".join(f"{name} (there is {there})" for name, there in list(near.items())[:_SHOWN])
    more = f" and {len(near) - _SHOWN} more" if len(near) > _SHOWN else ""
    return [f"new, but written nearly like ids that were there: {shown}{more}. If the same is meant, remove these"]


def staying_note(index: ProductIndex, condition: str) -> list[str]:
    """That a filter lets some images of a product through, and not its others, which stay."""
    with index.reading():
        found = index.table.search().where(condition).select(["product_id"]).limit(None).to_arrow()
    products = found["product_id"].unique().to_pylist()
    more = sum(len(rows) for rows in index.by_ids(products, ["product_id"], "product_id")) - len(found)
    told = f"{more} other images of these products stay, which the filter does not let through"
    return [f"{told}. To remove whole products name them with --ids"] if more else []


def filter_notes(index: ProductIndex, where: str | None) -> list[str]:
    """What people should know of a filter's outcome: values that no image has, and what negations leave out.

    Raises:
        FilterError: the filter is wrong.
    """
    if where is None:
        return []
    index.refresh()
    read = index.read_filter(where)
    notes = []
    for column, value in read.values:
        condition = contains(column, value) if column.kind == "list" else compare(column, "=", value)
        if not _count(index, condition):
            near = _near(index, [value], [column.field], True).get(value)
            hint = f" Did you mean {near!r}?" if near is not None else ""
            notes.append(f"no image has {column.name} {value[:60]!r}.{hint}")
    notes += [note for column in read.dates if (note := _undated(index, column)) is not None]
    for column in read.negated:
        absent = 0 if column in read.nulls else _count(index, is_null(column, False))
        if absent:
            notes.append(
                f"images without {column.name}: {absent}, which != and not leave out. To have them, too: "
                f"({where.strip()[:200]}) or {_named(column)} is null"
            )
    return notes


def _undated(index: ProductIndex, column: Column) -> str | None:
    """That texts which are compared with a date are none, so that no comparison finds them."""
    condition = f"({column.field} IS NOT NULL AND {column.field} NOT LIKE '____-__-__%')"
    count = _count(index, condition)
    if not count:
        return None
    with index.reading():
        sample = index.table.search().where(condition).select([column.field]).limit(1).to_arrow()[column.field][0]
    return (
        f"{column.name} holds texts, {count} of which are no dates as filters compare them, such as "
        f"{str(sample.as_py())[:40]!r}. Write dates as 2026-01-05 and build the index anew (--rebuild)"
    )


def _named(column: Column) -> str:
    return column.name if column.name.isidentifier() else f"`{column.name}`"


def _count(index: ProductIndex, condition: str) -> int:
    with index.reading():
        return int(index.table.count_rows(condition))


def _near(index: ProductIndex, names: Sequence[str], fields: Sequence[str], typos: bool) -> dict[str, str]:
    """For each name the nearest text of these columns, where one is near."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = dict(zip(names, _keys(pa.array(names, pa.string())).to_pylist(), strict=True))
    wanted = pa.array(sorted(set(keys.values())), pa.string())
    same: dict[str, str] = {}
    texts: set[str] = set()
    for batch in index.scan(fields, _BATCH_ROWS):
        for field in fields:
            values = batch[field].flatten() if pa.types.is_list(batch[field].type) else batch[field]
            there = pc.unique(values.drop_null())
            found = _keys(there)
            chosen = pc.is_in(found, value_set=wanted)
            pairs = zip(found.filter(chosen).to_pylist(), there.filter(chosen).to_pylist(), strict=True)
            same |= {key: text for key, text in pairs if text not in keys}
            if typos and len(texts) <= _COMPARED:
                texts.update(there.to_pylist())
    near = {name: same[key] for name, key in keys.items() if key in same}
    if len(texts) <= _COMPARED:
        for name in [name for name in names if name not in near and not name.isdecimal()][:_TYPOS]:
            close = difflib.get_close_matches(name, sorted(texts), n=1, cutoff=0.75)
            if close:
                near[name] = close[0]
    return near


def _keys(texts: Any) -> Any:
    """Texts without what people overlook: width, case, spaces, leading zeros, the .0 of a number read as a float."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.utf8_lower(pc.utf8_normalize(texts.cast(pa.string()), "NFKC"))
    plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, r"\s+", " "))
    return pc.replace_substring_regex(pc.replace_substring_regex(plain, r"^(\d+)\.0+$", r"\1"), r"^0+(.)", r"\1")
