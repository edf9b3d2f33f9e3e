"""``index.html`` of a finished data set: what each rule did, with examples and their images, lengths and categories.

One file that works offline: the small images of ``samples/`` are in it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interbert.curation.card import flat
from interbert.curation.finished import FinishedDataset
from interbert.curation.samples import SAMPLES, Sample, read_samples
from interbert.utils.files import PAGE, write_output
from interbert.utils.redaction import published
from interbert.utils.templating import render

INDEX = "index.html"
_MOST_CATEGORIES = 30
_MOST_BARS = 80
_MOST_IMAGE = 1 << 16
"""Bytes of a sample's file; those that are written have a tenth."""


@dataclass(frozen=True)
class Bar:
    """A line with a bar."""

    name: str
    count: int
    share: float
    """Of the longest bar, in [0, 1]."""


@dataclass(frozen=True)
class Rule:
    """What a rule did."""

    name: str
    dropped: Bar
    flagged: Bar
    stripped: Bar
    samples: Sequence[tuple[str, Sample]]
    """Key of the image, and the row."""

    @property
    def used(self) -> bool:
        """Whether any row met it."""
        return bool(self.dropped.count or self.flagged.count or self.stripped.count)


def write_page(folder: str | Path) -> None:
    """Write the page of a finished data set.

    Raises:
        DataError: a file of the data set is missing or damaged.
        UsageError: ``index.html`` is there and is no page.
        StorageError: it cannot be written.
    """
    found = FinishedDataset.read(folder)
    write_output(found.folder / INDEX, render_page(found, read_samples(found.folder)), PAGE)


def render_page(found: FinishedDataset, samples: Sequence[Sample]) -> str:
    """The page as HTML."""
    keyed = [(str(number), sample) for number, sample in enumerate(samples)]
    recipe = found.manifest.get("recipe", {})
    return render(
        "dataset.html",
        _images(found.folder, keyed),
        name=published(str(found.manifest.get("name") or found.folder.resolve().name)),
        report=found.report,
        rules=_rules(found, keyed),
        kept=[(key, sample) for key, sample in keyed if sample.kind == "kept"],
        splits=bars(found.splits.items()),
        lengths=histogram(found.lengths),
        longest=max(found.lengths, default=0),
        categories=bars(list(found.categories.items())[:_MOST_CATEGORIES]),
        more_categories=max(0, len(found.categories) - _MOST_CATEGORIES),
        shards=found.shards,
        size=found.size,
        recipe=list(flat(published(recipe))),
        versions=published(found.manifest.get("versions", {})),
        unreadable=found.report.get("shards_unreadable", []),
        left_out=found.report.get("columns_left_out", {}),
    )


def bars(counts: Iterable[tuple[str, int]]) -> list[Bar]:
    """A bar of each count, the longest as wide as there is room."""
    listed = list(counts)
    most = max((count for _, count in listed), default=0)
    return [Bar(name, count, count / most if most else 0.0) for name, count in listed]


def histogram(lengths: Mapping[int, int]) -> list[Bar]:
    """Titles by their characters: a bar a length, or several lengths where there are too many."""
    if not lengths:
        return []
    low, high = min(lengths), max(lengths)
    step = -(-(high - low + 1) // _MOST_BARS)
    counts = []
    for start in range(low, high + 1, step):
        end = start + step - 1
        rows = sum(lengths.get(length, 0) for length in range(start, end + 1))
        counts.append((str(start) if step == 1 else f"{start} to {end}", rows))
    return bars(counts)


def _rules(found: FinishedDataset, keyed: Sequence[tuple[str, Sample]]) -> list[Rule]:
    """Every rule in its order; all bars are on one scale."""
    counts = found.rules
    most = max((count for one in counts.values() for count in one.values()), default=0) or 1
    return [
        Rule(
            name,
            Bar("dropped", one["dropped"], one["dropped"] / most),
            Bar("flagged", one["flagged"], one["flagged"] / most),
            Bar("stripped", one["stripped"], one["stripped"] / most),
            [(key, sample) for key, sample in keyed if sample.rule == name and sample.kind != "kept"],
        )
        for name, one in counts.items()
    ]


def _images(folder: Path, keyed: Sequence[tuple[str, Sample]]) -> dict[str, str]:
    """Data URIs of the samples' images; one whose file is missing, or no small file, has none."""
    uris = {}
    for key, sample in keyed:
        if sample.image is None or Path(sample.image).name != sample.image:
            continue
        file = folder / SAMPLES / sample.image
        if file.is_file() and file.stat().st_size <= _MOST_IMAGE:
            uris[key] = "data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode("ascii")
    return uris
