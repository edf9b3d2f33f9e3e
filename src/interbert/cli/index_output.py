"""What the verbs of an index print and write for people to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE

from interbert.cli.tables import TextTable, print_table
from interbert.extraction.sources import ImageSource
from interbert.search.index import ProductIndex
from interbert.search.products import identified
from interbert.search.rollback import KeptVersion
from interbert.search.source_changes import Changes
from interbert.search.verify import bytes_per_image, count_products
from interbert.utils.files import atomic_write
from interbert.utils.redaction import without_credentials
from interbert.utils.terminal import say

_SHOWN_SKIPS = 5
_SKIPPED = "skipped.jsonl"


def print_changes(path: str, changes: Changes, source: ImageSource | None = None) -> None:
    """What a command did, in one line, and the images it could not use.

    All of these are listed in ``skipped.jsonl`` inside the index; those of an index in a bucket are all printed.
    """
    counts = [
        (changes.added, "added"),
        (changes.replaced, "encoded anew"),
        (changes.updated, "updated without encoding"),
        (changes.removed, "removed"),
        (changes.unchanged, "unchanged"),
        (len(changes.skipped), "skipped"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing to do"
    say(f"{path}: {told}")
    shown = len(changes.skipped) if "://" in path else _SHOWN_SKIPS
    for name, reason in changes.skipped[:shown]:
        say(f"  skipped {name}: {reason}")
    if "://" not in path:
        _list_skipped(Path(path) / _SKIPPED, changes, source)
    if len(changes.skipped) > shown:
        say(f"  and {len(changes.skipped) - shown} more, see {Path(path) / _SKIPPED}")
    print_notes(changes.notes)


def _list_skipped(file: Path, changes: Changes, source: ImageSource | None) -> None:
    """One JSON line each, in place of the list of the command before."""
    rows: dict[str, int] = {}
    if source is not None and changes.skipped:
        names = identified(source, lasting=False).image_ids()
        rows = {name or f"row {row}": row for row, name in enumerate(names)}
    places = {name: source.place_of(rows[name]) for name, _ in changes.skipped if source is not None and name in rows}
    lines = [
        json.dumps({**places.get(name, {}), "id": name, "reason": without_credentials(reason)}, ensure_ascii=False)
        for name, reason in changes.skipped
    ]
    atomic_write(file, "".join(f"{line}\n" for line in lines))


def print_notes(notes: Sequence[str]) -> None:
    """What else to know, a line each."""
    for note in notes:
        say(f"  note: {note}")


def print_left_out(source: ImageSource) -> None:
    """Columns of a source that could not be read, a line each."""
    for name, reason in source.left_out.items():
        say(f"{source.name}: column {name!r} is left out: it {reason}")


def print_index(index: ProductIndex) -> None:
    """What an index holds."""
    manifest = index.manifest
    source, model = manifest.origin
    images = len(index)
    indexed = index.indexed_rows()
    search = f"approximate, {images - indexed} images wait to be indexed" if indexed else "exact"
    views = ", means of images and mirror images" if manifest.mirrored else ""
    table = TextTable(title=index.path, box=SIMPLE, show_header=False, padding=(0, 1, 0, 0))
    rows = [
        ("images", f"{images:,}"),
        ("products", f"{count_products(index):,}"),
        ("model", f"{model}, fingerprint {manifest.model_fingerprint}"),
        ("built from", source),
        ("vectors", f"{manifest.vector_size} numbers{views}, search is {search}"),
        ("regions", f"{manifest.token_quantisation}, hidden size {manifest.hidden_size}"),
    ]
    if images:
        sizes = bytes_per_image(index)
        parts = ", ".join(f"{name} {size:,.0f}" for name, size in sizes.items())
        rows.append(("bytes per image", f"{sum(sizes.values()):,.0f} ({parts})"))
    for name, text in rows:
        table.add_row(name, text)
    for column in index.metadata_columns:
        table.add_row("filter column", f"{column.name} ({column.description})")
    for name, column_name in manifest.aliases.items():
        table.add_row("filter column", f"{name} (text, the {column_name.replace('_', ' ')})")
    print_table(table)


def print_versions(path: str, kept: Sequence[KeptVersion]) -> None:
    """The versions that an index keeps, newest first."""
    table = TextTable(title=f"{path}: {len(kept)} versions", box=SIMPLE, padding=(0, 1, 0, 0))
    for header in ("version", "searched from", "images", "model", "made by", ""):
        table.add_column(header)
    for one in sorted(kept, key=lambda one: (one.point.at, one.name), reverse=True):
        at, now = f"{one.point.at.astimezone():%Y-%m-%d %H:%M:%S}", "now" if one.current else ""
        table.add_row(one.name, at, str(one.images), one.build.origin[1], one.point.made_by, now)
    print_table(table, 108)
