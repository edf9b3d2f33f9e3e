"""Names of the files of a data set that was built."""

from __future__ import annotations

MANIFEST, REPORT, DROPPED = "manifest.json", "report.json", "dropped.parquet"
SPLITS = ("train", "validation", "test")
"""In the order of their numbers, wherever a split is one."""
