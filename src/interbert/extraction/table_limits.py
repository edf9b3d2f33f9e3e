"""How large a table of products may be, in the parts that its readers hold in memory.

The libraries that read tables have no limits of their own: what is checked against these is checked before them.
"""

from __future__ import annotations

from interbert.utils.bounded_parquet import BATCH_BYTES, MAX_COLUMNS, MAX_DEPTH
from interbert.utils.texts import MAX_TEXT

__all__ = [
    "BATCH_BYTES",
    "MAX_CELL",
    "MAX_COLUMNS",
    "MAX_DEPTH",
    "MAX_ID",
    "MAX_LINE",
    "MAX_RECORD",
    "MAX_TEXT",
    "MAX_TEXTS",
    "MAX_VALUES",
]

MAX_TEXTS = 1_000
"""Texts of a row's column."""
MAX_ID = 4_096
"""Characters of an id; paths of files are no longer."""
MAX_CELL = 1 << 20
"""Characters of a cell of a csv or tsv file."""
MAX_LINE = 1 << 24
"""Characters of a line of a csv or tsv file, and of the lines of one row together."""
MAX_RECORD = 1 << 26
"""Characters of a record of a JSON file."""
MAX_VALUES = 1_000_000
"""Values of a record of a JSON file: each takes up to 250 bytes in memory, whatever the file holds of it."""
