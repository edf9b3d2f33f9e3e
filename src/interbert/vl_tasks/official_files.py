"""What the readers of all tasks share: rows of official files, their ids and labels, and checks of predictions."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from interbert.data.row_files import BadRows, Row, cell_text, read_json_lines
from interbert.errors import DataError, SourceError, listed
from interbert.regions.json_stream import json_elements
from interbert.utils.texts import too_long
from interbert.vl_tasks.left_out import LeftOut

_log = logging.getLogger("interbert")


def object_lines(path: Path, what: str, id_field: str) -> Iterator[tuple[int, str, Row]]:
    """Line number, id and fields of each line of a file of JSON lines.

    Args:
        path: of the file.
        what: it holds, for messages.
        id_field: that names a line; each has its own id.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: a line is no JSON object, has no id, or has that of a line before; raised after the last line.
    """
    yield from _with_ids(path, what, id_field, read_json_lines(path, what, whole_texts=True))


def list_elements(path: Path, what: str, key: str | None, id_field: str) -> Iterator[tuple[int, str, Row]]:
    """As :func:`object_lines`, of the elements of a JSON list: the file's own (key None), or that under a key."""
    found = (element for name, element in _elements(path, what) if name == key)
    rows = ((number, one if isinstance(one, Mapping) else "is no JSON object") for number, one in enumerate(found, 1))
    yield from _with_ids(path, what if key is None else f'"{key}"', id_field, rows)


def read_answers_by_id(path: Path, what: str, id_field: str, field: str) -> dict[str, str]:
    """Texts of a field by id, of the elements of a JSON list.

    Args:
        path: of the file.
        what: it holds, for messages.
        id_field: that names an element.
        field: with the text.

    Raises:
        SourceError: the file is missing or cannot be read.
        DataError: elements are bad; the first is named.
    """
    bad, found = BadRows(str(path)), dict[str, str]()
    for number, name, row in list_elements(path, what, None, id_field):
        if not isinstance(row.get(field), str):
            bad.add(number, f"question {name[:60]}: its {field} is no text")
        else:
            found[name] = row[field]
    bad.refuse()
    return found


def keyed_elements(path: Path, what: str, seen: set[str] | None = None) -> Iterator[tuple[int, str, Row]]:
    """Number, key and fields of each value of a JSON object that has ids as its keys.

    Args:
        path: of the file.
        what: it holds, for messages.
        seen: keys of files before, which may not come again; gets those of this file.

    Raises:
        SourceError: the file is missing, empty or no JSON.
        DataError: a value is no object, or two have one key; raised after the last value.
    """
    seen = set() if seen is None else seen
    bad, number = BadRows(str(path)), 0
    for number, (key, value) in enumerate(_elements(path, what), 1):
        if not isinstance(value, Mapping) or not key:
            bad.add(number, f"{what} are a JSON object of objects by id, and this is none")
        elif key in seen:
            bad.add(number, f"id {key[:60]!r} stands before")
        else:
            seen.add(key)
            yield number, key, value
    bad.refuse()
    if not number:
        raise SourceError(f"{path}: holds no {what}.")


def top_level(path: Path, what: str, names: Collection[str]) -> dict[str, Any]:
    """Values other than lists that a JSON object has under some names, such as ``data_subtype``."""
    return {name: value for name, value in _elements(path, what) if name in names and name is not None}


def _elements(path: Path, what: str) -> Iterator[tuple[str | None, Any]]:
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file of {what}.")
    try:
        yield from json_elements(path, whole_texts=True)
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path}: cannot be read ({error.strerror}).") from error


def _with_ids(
    path: Path, what: str, id_field: str, rows: Iterable[tuple[int, Row | str]]
) -> Iterator[tuple[int, str, Row]]:
    bad, seen = BadRows(str(path)), dict[str, int]()
    for number, row in rows:
        name = "" if isinstance(row, str) else cell_text(row.get(id_field))
        if isinstance(row, str):
            bad.add(number, row)
        elif not name:
            bad.add(number, f"has no {id_field}")
        elif problem := too_long(name):
            bad.add(number, problem)
        elif seen.setdefault(name, number) != number:
            bad.add(number, f"{id_field} {name[:60]} stands in row {seen[name]}, too")
        else:
            yield number, name, row
    bad.refuse()
    if not seen:
        raise SourceError(f"{path}: holds no {what}. Is it another file?")


class Labels:
    """Watches that a file has labels in every row, or in none as a blind test.

    Args:
        path: of the file.
        field: what a label is called.
        labelled: True requires labels, False forbids them; None takes what the first row has.
    """

    def __init__(self, path: Path, field: str, labelled: bool | None) -> None:
        self._path, self._field, self._labelled = path, field, labelled
        self._asked = labelled is not None

    def problem(self, present: bool) -> str | None:
        """What is wrong with a row that has a label or has none."""
        if self._labelled is None:
            self._labelled = present
        if present == self._labelled:
            return None
        if self._asked and present:
            return f"has a label ({self._field}), and a test file must have none"
        if self._asked:
            return f"has no {self._field}, which training and evaluation need"
        return f"{'has a' if present else 'has no'} {self._field}, unlike the rows before: the file mixes splits"


def text_field(row: Row, name: str) -> str | None:
    """A field that has to be a text with something in it; None when it is not."""
    value = row.get(name)
    return value if isinstance(value, str) and value.strip() and too_long(value) is None else None


MOST_DIGITS = 18
"""Of an id that is a whole number, which has 64 bits; of thousands of digits Python makes no number."""


def is_number(name: str) -> bool:
    """Whether an id is a whole number in decimal digits."""
    return name.isascii() and name.isdigit() and len(name) <= MOST_DIGITS


def repeated(names: Sequence[str]) -> str | None:
    """The first name of those that stand twice; None where all differ."""
    return next((one for one, count in Counter(names).items() if count > 1), None)


def inner_path(name: Any) -> PurePosixPath | None:
    """A file's name that stays in its folder; None for another."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        return None
    path = PurePosixPath(name)
    return None if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] else path


def report(found: Sequence[LeftOut], left_out: list[LeftOut] | None) -> None:
    """Hand what was left out to the caller's list; without one, log how much it is of each file and reason."""
    if left_out is not None:
        left_out += found
        return
    first: dict[tuple[str, str], LeftOut] = {}
    for one in found:
        first.setdefault((one.file, one.reason), one)
    counts = Counter((one.file, one.reason) for one in found)
    for (file, reason), count in counts.items():
        where = f"the first is {first[file, reason].id[:60]}, row {first[file, reason].row}"
        _log.warning("%s: %d left out: %s; %s", file, count, reason, where)


def require_predicted(
    path: Path, predicted: Collection[str], wanted: Collection[str], what: str, truth: Path, surplus: bool = False
) -> int:
    """Check that predictions are of exactly the items of the truth.

    Args:
        path: of the predictions.
        predicted, wanted: ids.
        what: an item is called.
        truth: the file of answers.
        surplus: predictions of other items are passed over.

    Returns:
        Predictions of other items.

    Raises:
        DataError: an item has no prediction, or a prediction no item.
    """
    missing = [one for one in wanted if one not in predicted]
    if missing:
        raise DataError(
            f"{path}: has no prediction for {len(missing)} of {len(wanted)} {what}s of {truth}: "
            f"{listed(missing, 3)}. Predict every {what}."
        )
    more = [one for one in predicted if one not in wanted]
    if more and not surplus:
        raise DataError(
            f"{path}: {len(more)} of its predictions are of no {what} of {truth}: {listed(more, 3)}. Is it another "
            "split? Remove them."
        )
    return len(more)
