"""A data set out of any source of titles and images, stage by stage; killed at any moment, it goes on where it was.

1. read, normalise, rules of titles and images (:mod:`.judging`), a chunk at a time in parallel
2. placeholders and exact duplicates (:mod:`.duplicates`)
3. rows that are nearly the same, joined to groups
4. splits by group
5. shards (:mod:`.shards`), the list of dropped rows and the report (:mod:`.reporting`), manifest and pages
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert import __version__
from interbert.curation.card import CardOptions, write_card
from interbert.curation.cells import Chunk
from interbert.curation.chunks import chunks_of, read_cells
from interbert.curation.comparing import Comparison
from interbert.curation.croissant import write_croissant
from interbert.curation.engines import judged as judged_chunks
from interbert.curation.judged_rows import JudgedRows, read_judged
from interbert.curation.judging import JudgeSettings
from interbert.curation.listing import SourceListing, list_source
from interbert.curation.output_rows import output_columns, output_schema, output_table
from interbert.curation.page import write_page
from interbert.curation.progress import MANIFEST, BuildProgress
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.reporting import report_of, write_dropped
from interbert.curation.row_images import RowImages
from interbert.curation.samples import write_samples
from interbert.curation.shards import NOT_WRITTEN, ShardPlan, ShardWriter, plan_shards
from interbert.curation.shards_of_source import OpenShards, SourceShard, fingerprint, list_shards
from interbert.errors import SourceError, UsageError
from interbert.utils.environment import installed_versions
from interbert.utils.files import atomic_write, only_writer, replacing
from interbert.utils.terminal import progress_bar

REPORT, DROPPED = "report.json", "dropped.parquet"
_LIBRARIES = ("pyarrow", "pillow", "numpy", "scipy", "xxhash", "datasets", "opencc", "ahocorasick-rs", "rapidocr")


@dataclass(frozen=True)
class DatasetReport:
    """What a build left."""

    out: Path
    counts: Mapping[str, Any]
    """What ``report.json`` holds."""
    already: bool
    """All of it was there."""


def build_dataset(recipe: DatasetRecipe) -> DatasetReport:
    """Build a data set, or go on with one that was begun.

    Raises:
        UsageError: the folder was begun with another recipe or source, or holds other files.
        SourceError: there is no source, none of it can be read, or nothing of it is kept.
        ColumnError: a column is not there.
        StorageError: the disk is full or not writable.
        DataError: an image was there when it was judged, and is no more; or a process was ended by the system.
    """
    out = Path(recipe.out)
    with only_writer(out):
        return _Build(recipe, out).run()


class _Build:
    def __init__(self, recipe: DatasetRecipe, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.progress = BuildProgress(out)
        self.opened = OpenShards(list_shards(recipe.source, recipe.split))
        _require_outside(out, self.opened.shards)
        self.versions = {"interbert": __version__, "python": sys.version.split()[0], **installed_versions(_LIBRARIES)}

    def run(self) -> DatasetReport:
        """All stages that are not done."""
        asked = {
            "recipe": self.recipe.deciding(),
            "source": fingerprint(self.opened.shards, self.opened),
            "versions": self.versions,
        }
        already = self.progress.begin(asked)
        if not already:
            self._stages(asked)
        elif self.recipe.card != CardOptions():
            self._describe()
        counts = json.loads((self.out / REPORT).read_text(encoding="utf-8"))
        return DatasetReport(self.out, counts, already)

    def _stages(self, asked: Mapping[str, Any]) -> None:
        progress, recipe = self.progress, self.recipe
        listing = SourceListing.from_json(progress.json("source", lambda: asdict(list_source(self.opened, recipe))))
        chunks = chunks_of(listing)
        self._judge(listing, chunks)
        images = RowImages(self.opened, listing)
        judged = JudgedRows(progress.chunks, chunks)
        by_category = listing.columns.category is not None
        compared = Comparison(progress, judged, recipe, by_category, images.load).run()
        kept = np.flatnonzero(compared.splits != NOT_WRITTEN)
        counts = write_dropped(self.out / DROPPED, progress.chunks, chunks, listing, compared.late)
        if not len(kept):
            raise SourceError(f"{recipe.source}: no row is kept; the reasons are in {self.out / DROPPED}.")
        counts.flagged.update(compared.joined)
        plan = plan_shards(compared.splits, recipe.shard_rows, ".tar" if recipe.format == "webdataset" else ".parquet")
        self._write(listing, chunks, plan, compared.groups)
        told = report_of(listing, counts, compared.groups[kept], compared.splits[kept])
        told["excluded_unreadable"] = compared.problems
        atomic_write(self.out / REPORT, json.dumps(told, ensure_ascii=False, indent=1))
        self._manifest(asked, listing, plan, told)
        write_samples(self.out, images.shown)
        write_page(self.out)
        self._describe()
        progress.end()

    def _describe(self) -> None:
        """The card and the Croissant file."""
        write_card(self.out, self.recipe.card)
        write_croissant(self.out, self.recipe.card)

    def _judge(self, listing: SourceListing, chunks: list[Chunk]) -> None:
        """Stage 1 of every chunk whose table is not there."""
        import pyarrow.parquet as pq

        folder, recipe = self.progress.chunks, self.recipe
        there = {file.name for file in folder.iterdir()}
        missing = [chunk for chunk in chunks if chunk.name not in there]
        settings = JudgeSettings(
            listing.columns, recipe.images, recipe.normalise, recipe.title_rules, recipe.image_rules
        )
        names = listing.columns.judged()
        cells = (read_cells(self.opened, listing, chunk, names) for chunk in missing)
        total = sum(chunk.rows for chunk in missing)
        workers = min(recipe.workers, len(missing)) if recipe.workers and missing else recipe.workers
        with (
            progress_bar("judging", total, "rows", None if missing else False) as advance,
            closing(judged_chunks(settings, cells, workers, recipe.ray)) as parts,
        ):
            for one, table in parts:
                with replacing(folder / one.chunk.name) as part:
                    pq.write_table(table, part)
                advance(one.chunk.rows)

    def _write(self, listing: SourceListing, chunks: list[Chunk], plan: ShardPlan, groups: NDArray[np.int64]) -> None:
        """Every shard that is not there."""
        names = output_columns(listing)
        webdataset = self.recipe.format == "webdataset"
        with ShardWriter(self.out, plan, output_schema(listing), webdataset) as writer:
            wanted = [(chunk, writer.wanted(chunk.first, chunk.first + chunk.rows)) for chunk in chunks]
            wanted = [(chunk, rows) for chunk, rows in wanted if len(rows)]
            total = sum(len(rows) for _, rows in wanted)
            with progress_bar("writing", total, "rows", None if total else False) as advance:
                for chunk, rows in wanted:
                    cells = read_cells(self.opened, listing, chunk, names)
                    judged = read_judged(self.progress.chunks / chunk.name)
                    writer.write(rows, output_table(listing, cells, judged, rows - chunk.first, groups[rows]))
                    advance(len(rows))

    def _manifest(
        self, asked: Mapping[str, Any], listing: SourceListing, plan: ShardPlan, told: Mapping[str, Any]
    ) -> None:
        """How the data set was made, and what its files are; the last file that is written of the data itself."""
        shards = [
            {"file": shard.file, "split": shard.split, "rows": shard.rows, **_file(self.out / shard.file)}
            for shard in plan.shards
        ]
        manifest = {
            **asked,
            "seed": self.recipe.splits.seed,
            "format": self.recipe.format,
            "source_shards": [asdict(shard) for shard in listing.shards],
            "columns": asdict(listing.columns),
            "rows": told["splits"],
            "shards": shards,
        }
        atomic_write(self.out / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1))


def _require_outside(out: Path, shards: Sequence[SourceShard]) -> None:
    """Check that the data set does not become a part of its source.

    Raises:
        UsageError: it would.
    """
    for shard in shards:
        folder = Path(shard.path).expanduser()
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{out}: lies in the source {shard.path}, which is read whole. Name a folder outside of it."
            )


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
