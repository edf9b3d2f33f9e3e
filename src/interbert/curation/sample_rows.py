"""Samples of a tar file with all that the ``.json`` beside each image says, a column for each of its names."""

from __future__ import annotations

import json
from typing import Any

from interbert.errors import SourceError
from interbert.extraction.image_tsv import ArchiveRows
from interbert.extraction.table_limits import MAX_COLUMNS
from interbert.extraction.tar_rows import TarRows
from interbert.utils.texts import whole_text


class SampleRows(ArchiveRows):
    """Samples whose further columns are texts; numbers, lists and objects are JSON.

    Raises:
        SourceError: the samples have more names than columns are read.
    """

    image_id = TarRows.image_id

    def __init__(self, tar: TarRows, where: str) -> None:
        self._tar = tar
        self.column_names = (*tar.column_names, *further_fields(tar, where))

    def __len__(self) -> int:
        return len(self._tar)

    def value(self, row: int, column: str) -> Any:
        """What the tar file has as a cell, or a field of the sample's ``.json``."""
        if column in self._tar.column_names:
            value = self._tar.value(row, column)
            return whole_text(value) if isinstance(value, str) else value
        return field_text(self._tar.sidecar(row).get(column))


def further_fields(tar: TarRows, where: str) -> list[str]:
    """Names in the ``.json`` of all samples that are no columns of a tar file, in the order in which they come.

    Raises:
        SourceError: there are more than columns are read.
    """
    found = dict.fromkeys(tar.column_names)
    for row in range(len(tar)):
        found |= dict.fromkeys(map(whole_text, tar.sidecar(row)))
        if len(found) > MAX_COLUMNS:
            raise SourceError(
                f"{where}: the .json files of its samples have more than {MAX_COLUMNS:,} names, which are not read. "
                "Give all samples the same names."
            )
    return [name for name in found if name not in tar.column_names]


def field_text(value: Any) -> str | None:
    """A value of JSON as a text."""
    if value is None or isinstance(value, str):
        return None if value is None else whole_text(value)
    return whole_text(json.dumps(value, ensure_ascii=False))
