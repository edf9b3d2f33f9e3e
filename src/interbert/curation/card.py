"""``README.md`` of a finished data set: the card that the Hugging Face Hub shows, with the splits for ``datasets``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from interbert.curation.finished import FinishedDataset
from interbert.utils.files import Kind, atomic_write, require_replaceable
from interbert.utils.redaction import published

CARD = "README.md"
_MARK = "made with `interbert dataset build`"
"""Stands in every card, so that one that people wrote themselves is not replaced."""
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_COLUMNS = {
    "image": "the product's image, its file as it came",
    "title": "the clean title",
    "title_raw": "the title as it came",
    "id": "of the row in the source",
    "group": "rows that are nearly the same have one number; it is in one split alone",
    "category": "of the source",
    "flags": "rules that found something worth knowing, and dropped nothing",
}


@dataclass(frozen=True)
class CardOptions:
    """What only whoever publishes the data set knows."""

    name: str | None = None
    """What the data set is called; the folder's name when not given."""
    license: str | None = None
    """Identifier of its licence, as the Hugging Face Hub knows them (apache-2.0, cc-by-4.0, other). It is yours to
    name: titles and images of shops are somebody's."""
    description: str | None = None
    """What it holds and where it is from, in a few sentences."""
    url: str | None = None
    """Where it is published."""
    creator: str | None = None
    """Who publishes it."""


def write_card(folder: str | Path, options: CardOptions | None = None) -> list[str]:
    """Write the card of a finished data set.

    Returns:
        what a person has to add before it is published, in words.

    Raises:
        DataError: a file of the data set is missing or damaged.
        UsageError: the card that is there was not made here.
        StorageError: it cannot be written.
    """
    found, chosen = FinishedDataset.read(folder), options or CardOptions()
    file = found.folder / CARD
    require_replaceable(file, _CARD)
    atomic_write(file, card_text(found, chosen))
    return missing(chosen)


_CARD = Kind("a card by `interbert dataset build`", lambda file: _MARK in file.read_text("utf-8", errors="replace"))


def missing(options: CardOptions) -> list[str]:
    """What only a person can say, and has not."""
    said = {
        "the licence (--card.license)": options.license,
        "a description of where it is from (--card.description)": options.description,
    }
    return [name for name, value in said.items() if not value]


def dataset_name(found: FinishedDataset, options: CardOptions) -> str:
    """What the data set is called."""
    return options.name or published(found.folder.resolve().name)


def card_text(found: FinishedDataset, options: CardOptions) -> str:
    """The card: a YAML header, and Markdown."""
    header = yaml.safe_dump(_header(found, options), allow_unicode=True, sort_keys=False, width=1000)
    return f"---\n{header}---\n\n" + "\n".join(_body(found, options)) + "\n"


def _header(found: FinishedDataset, options: CardOptions) -> dict[str, Any]:
    """Metadata as the Hub knows them; without a licence where none was named."""
    rows = found.report["kept"]
    size = next((name for most, name in _SIZES if rows < most), "n>10M")
    files = [{"split": split, "path": f"{split}-*{found.suffix}"} for split in found.splits]
    header: dict[str, Any] = {"pretty_name": dataset_name(found, options)}
    if language := _language(found):
        header["language"] = [language]
    if options.license:
        header["license"] = options.license
    return header | {
        "task_categories": ["image-to-text", "text-retrieval"],
        "tags": ["image-text-retrieval", "e-commerce", "interbert"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
    }


def _language(found: FinishedDataset) -> str | None:
    language = found.manifest.get("recipe", {}).get("title_rules", {}).get("language")
    return str(language) if language in ("zh", "en") else None


def _body(found: FinishedDataset, options: CardOptions) -> Iterator[str]:
    report = found.report
    yield f"# {_cell(dataset_name(found, options))}"
    yield ""
    yield (
        options.description or "Nobody has described yet where these titles and images are from (`--card.description`)."
    )
    yield ""
    yield f"Pairs of product image and title, {_MARK}: {report['kept']:,} of {report['rows']:,} rows were kept."
    yield ""
    yield "## Licence"
    yield ""
    yield options.license or (
        "**No licence was named.** Titles and images belong to whoever made them; whoever built this data set knows on "
        "which terms it may be passed on, and has to say so here (`--card.license`) before it is published."
    )
    yield from _section("Splits", ("split", "rows", "files"), _splits(found))
    yield ""
    yield f"There are {report.get('groups', 0):,} groups of rows that are nearly the same, by title or image. The"
    yield f"largest has {report.get('largest_group', 0):,} rows. A group is in one split as a whole."
    yield from _section("Columns", ("column", "type", "what it holds"), _columns(found))
    yield from _section("Rules", ("rule", "dropped", "flagged", "stripped"), _rules(found))
    yield ""
    yield "Every row that was dropped stands in `dropped.parquet` with its rule and what the rule saw; `index.html`"
    yield "shows examples; `manifest.json` has the recipe and the digest of every file, `croissant.json` the fields."
    yield ""
    yield "## What to know before using it"
    yield ""
    yield "Titles are advertising: they name what sells, and praise. What the rules did not see is still there. Images"
    yield "may show people and trade marks. Nothing was done against what the source leaves out or has too much of."
    yield from _section("Recipe", ("option", "value"), _recipe(found))


def _section(title: str, head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield from ("", f"## {title}", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head))
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table, in which nothing of it acts."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _splits(found: FinishedDataset) -> Iterator[tuple[str, ...]]:
    for split, rows in found.splits.items():
        files = sum(shard["split"] == split for shard in found.shards)
        yield split, f"{rows:,}", f"{files:,}"


def _columns(found: FinishedDataset) -> Iterator[tuple[str, ...]]:
    if found.schema is None:
        for name, what in {"jpg, png, ...": _COLUMNS["image"], "txt": _COLUMNS["title"], "json": "all others"}.items():
            yield name, "file of a sample", what
        return
    for field in found.schema:
        yield (
            field.name,
            "image" if field.name == "image" else str(field.type),
            _COLUMNS.get(field.name, "of the source"),
        )


def _rules(found: FinishedDataset) -> Iterator[tuple[str, ...]]:
    for name, counts in found.rules.items():
        yield name, *(f"{counts[kind]:,}" for kind in ("dropped", "flagged", "stripped"))


def _recipe(found: FinishedDataset) -> Iterator[tuple[str, ...]]:
    yield from flat(published(found.manifest.get("recipe", {})))
    for package, version in published(found.manifest.get("versions", {})).items():
        yield f"version of {package}", str(version)


def flat(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Options of a recipe with their dotted names; empty ones are left out."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from flat(value, f"{name}.{key}" if name else str(key))
    elif values not in (None, [], ""):
        yield name, ", ".join(map(str, values)) if isinstance(values, list) else str(values)
