"""A finished data set's folder, as the page, the card and the Croissant file describe it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from interbert.utils.bounded_files import read_json, reading

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class FinishedDataset:
    """What ``manifest.json`` and ``report.json`` say.

    Attributes:
        folder: of the data set.
        manifest: how it was made, and its shards with their sizes and digests.
        report: counts.
    """

    folder: Path
    manifest: dict[str, Any]
    report: dict[str, Any]

    @classmethod
    def read(cls, folder: str | Path) -> FinishedDataset:
        """Read a folder.

        Raises:
            DataError: there is no finished data set in it, or its files are damaged.
        """
        values = []
        for name in ("manifest.json", "report.json"):
            file = Path(folder) / name
            with reading(file, "Build the data set with `interbert dataset build`."):
                values.append(dict(read_json(file)))
        found = cls(Path(folder), *values)
        with reading(found.folder / "manifest.json", "Build the data set again."):
            for one in found.manifest["shards"]:
                if Path(one["file"]).name != one["file"] or one["split"] not in SPLITS:
                    raise ValueError(f"{one['file']!r} of split {one['split']!r} is no shard")
                _ = int(one["rows"]), bytes.fromhex(one["sha256"])
        with reading(found.folder / "report.json", "Build the data set again."):
            _ = [int(found.report[name]) for name in ("rows", "kept", "dropped")] + list(found.rules)
        return found

    @property
    def shards(self) -> list[dict[str, Any]]:
        """Each with ``file``, ``split``, ``rows``, ``bytes``, ``sha256``."""
        return list(self.manifest["shards"])

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split that has any."""
        rows = {split: sum(int(one["rows"]) for one in self.shards if one["split"] == split) for split in SPLITS}
        return {split: count for split, count in rows.items() if count}

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(int(one.get("bytes", 0)) for one in self.shards)

    @property
    def rules(self) -> dict[str, dict[str, int]]:
        """Rows that each rule dropped, flagged and stripped something of, in the order in which rows meet them."""
        kinds = ("dropped", "flagged", "stripped")
        return {
            name: {kind: int(counts.get(kind, 0)) for kind in kinds} for name, counts in self.report["rules"].items()
        }

    @property
    def suffix(self) -> str:
        """Of the shards: ``.parquet`` or ``.tar``."""
        return Path(self.shards[0]["file"]).suffix if self.shards else ".parquet"

    @property
    def lengths(self) -> dict[int, int]:
        """Kept rows by characters of their clean title."""
        found = self.report.get("lengths", {})
        counts = found.get("title", found.get("kept", {}))
        return {int(length): int(rows) for length, rows in sorted(counts.items(), key=lambda one: int(one[0]))}

    @cached_property
    def schema(self) -> Any:
        """Arrow's schema of a parquet shard; None of tar files."""
        import pyarrow.parquet as pq

        if self.suffix != ".parquet" or not self.shards:
            return None
        file = self.folder / self.shards[0]["file"]
        with reading(file, "Build the data set again."):
            return pq.read_schema(file)

    @cached_property
    def categories(self) -> dict[str, int]:
        """Kept rows by category, most first; empty without such a column."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        if "categories" in self.report:
            counts = {str(name): int(rows) for name, rows in self.report["categories"].items()}
        elif self.schema is not None and "category" in self.schema.names:
            files = [self.folder / shard["file"] for shard in self.shards]
            columns = [pq.read_table(file, columns=["category"])["category"] for file in files]
            both = pa.chunked_array([part for column in columns for part in column.chunks], pa.string())
            counts = {str(one["values"]): one["counts"] for one in pc.value_counts(both).to_pylist()}
        else:
            counts = {}
        return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
