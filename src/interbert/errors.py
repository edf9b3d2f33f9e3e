"""Every error a user can cause, in one tree.

Each message says what is wrong, where (file, row, column or option) and what to do about it. The command line
prints the message alone, without a traceback, and exits with ``exit_code``.

::

    InterBertError
    ├── UsageError (ValueError)       an option, a path or a recipe is wrong; exit code 2
    │   ├── ConfigError               a model or recipe field has an impossible value
    │   ├── SourceError               a source of images and texts is missing, empty or unreadable
    │   │   ├── ColumnError           a column that was named is not there
    │   │   └── NoRowsError           it can be read, and holds no rows
    │   ├── CheckpointError           a checkpoint or model directory does not fit
    │   ├── FilterError               a filter is wrong at a character that is named
    │   ├── BusyError                 another command is writing what was to be written; later it can be
    │   └── UnknownProductError       a product that was named is not in the index
    ├── DataError (ValueError)        something inside the data is wrong; exit code 2
    │   ├── ImageError              one image cannot be used
    │   ├── RegionError               region arrays have wrong shapes or values that are not finite
    │   ├── StoreError                a region store is missing, damaged or made by another extractor
    │   └── VectorIndexError          a search index is missing, unfinished or damaged
    │       └── VersionGone           a version of an index that was named was cleaned up
    ├── StorageError (OSError)        the disk is full or not writable; exit code 1
    ├── WorseBuildError               a new build of an index is or may be worse than the old one; exit code 1
    ├── TrainingError (RuntimeError)  training cannot go on (a loss that is not finite); exit code 1
    └── MissingExtraError (ImportError)  an optional dependency is not installed; exit code 2
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import math
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from interbert.utils.redaction import without_credentials

MAX_MESSAGE = 4000
"""Characters of a message; the longest that is meant lists 60 columns."""


class Terminated(KeyboardInterrupt):
    """SIGTERM ended the work between two steps, with everything saved."""


class InterBertError(Exception):
    """Base of all errors that carry a message for the user, in which no URI has credentials."""

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_credentials(one) if isinstance(one, str) else one for one in args))

    def __str__(self) -> str:
        """The message; what a file or an option puts into it, however long, leaves its beginning and its end."""
        return shortened(super().__str__(), MAX_MESSAGE)


class UsageError(InterBertError, ValueError):
    """An option, a path or a recipe is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A model or recipe field has an impossible value."""


def require_range(name: str, value: float | None, least: float, below: float = math.inf) -> None:
    """Check an option that is a number; None passes.

    Args:
        name: as the user writes it.
        value: what was given.
        least: smallest allowed value.
        below: every allowed value is below this.

    Raises:
        ConfigError: it is outside, or no number.
    """
    if value is not None and not least <= value < below:
        upper = f" and below {below:g}" if below < math.inf else ""
        raise ConfigError(f"{name} must be at least {least:g}{upper}, not {value}.")


class SourceError(UsageError):
    """A source of images and texts is missing, empty or unreadable."""


class NoRowsError(SourceError):
    """A source can be read, and holds no rows."""


class ColumnError(SourceError):
    """A column that was named is not in the source."""

    @classmethod
    def missing(cls, column: str, available: Iterable[str], where: str) -> ColumnError:
        """Build the error for a missing column, with the nearest name that exists.

        Args:
            column: the name that was asked for.
            available: names that exist.
            where: the source, as the user wrote it.
        """
        names = list(available)
        lowered = {name.lower()[:60]: name for name in names}
        close = difflib.get_close_matches(column.lower(), list(lowered), n=1, cutoff=0.4)
        hint = f" Did you mean {lowered[close[0]][:60]!r}?" if close else ""
        return cls(f"{where}: there is no column {column[:60]!r}.{hint} Columns: {listed(names)}.")


class CheckpointError(UsageError):
    """A checkpoint or model directory does not fit what was asked of it."""


class FilterError(UsageError):
    """A filter is wrong at a character that is named."""


class BusyError(UsageError):
    """Another command is writing what was to be written; the same can be tried again later."""


class UnknownProductError(UsageError):
    """A product that was named is not in the index."""


class DataError(InterBertError, ValueError):
    """Something inside the data is wrong."""

    exit_code = 2


class ImageError(DataError):
    """One image cannot be used."""


class RegionError(DataError):
    """Region arrays have wrong shapes or values that are not finite."""


class StoreError(DataError):
    """A region store is missing, damaged or was made by another extractor."""


class VectorIndexError(DataError):
    """A search index is missing, unfinished or damaged."""


class VersionGone(VectorIndexError):  # noqa: N818 -- what happened, not a fault
    """A version of an index that was named was cleaned up."""

    @classmethod
    def of(cls, version: str) -> VersionGone:
        """Build the error that names the version."""
        return cls(f"version {version[:80]!r} of the index is gone, or never was. Search anew, without a version.")


class StorageError(InterBertError, OSError):
    """The disk is full or not writable."""


def shortened(text: str, most: int = 100) -> str:
    """A text of so many characters at most: of a longer one its beginning and its end, where the remedy stands."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 5]} ... {text[-end:]}"


def listed(names: Iterable[str], most: int = 60) -> str:
    """Names for a message, each cut to 60 characters: a file without a header has cells in their place."""
    cut = [name if len(name) <= 60 else f"{name[:57]}..." for name in names]
    return ", ".join(cut[:most]) + (f" and {len(cut) - most} more" if len(cut) > most else "")


def first_line(error: BaseException, most: int = 200) -> str:
    """What a library's error says in its first line, cut to so many characters; its type when it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0][:most]


_FULL = re.compile(
    r"No space left|Disk quota exceeded|File too large|os error (?:28|122|27)\b"  # of Lance, safetensors, tokenizers
    r"|PytorchStreamWriter failed|enforce fail at inline_container"  # of torch.save
    r"|\d+ requested and \d+ written"  # of numpy, an OSError without a number
    r"|database or disk is full"  # of sqlite
)
_DENIED = re.compile(
    r"Permission denied|Read-only file system|Operation not permitted|disk I/O error"
)  # sqlite: the last


def is_full(error: BaseException) -> bool:
    """Whether an error of any library says that a disk is full; so may one that reads, when it keeps a copy."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return getattr(error, "errno", None) in full or _FULL.search(str(error)) is not None


def storage_problem(error: BaseException) -> str | None:
    """What is wrong with the disk, when that is what an error of any library says; else None.

    A full disk is an OSError of Python, and text of a RuntimeError, a SafetensorError or a plain Exception of libraries
    that write files themselves.
    """
    if is_full(error):
        return "the disk is full. What was finished stays; free some space and run the same command again."
    denied = _DENIED.search(str(error))
    if denied or getattr(error, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot be written ({denied.group() if denied else getattr(error, 'strerror', None)})."
    return None


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong while the block writes below ``path`` into a :class:`StorageError`."""
    try:
        yield
    except InterBertError:
        raise
    except Exception as error:
        problem = storage_problem(error)
        if problem is None and isinstance(error, OSError):
            problem = f"cannot be written ({error.strerror or first_line(error)})."
        if problem is None:
            raise
        raise StorageError(f"{path}: {problem}") from error


class WorseBuildError(InterBertError):
    """A new build of an index is worse than the one that is searched, or may be."""


class TrainingError(InterBertError, RuntimeError):
    """Training cannot go on."""


class MissingExtraError(InterBertError, ImportError):
    """An optional dependency is not installed."""

    exit_code = 2

    @classmethod
    def of(cls, package: str, extra: str) -> MissingExtraError:
        """Build the error that names the command which installs ``package``."""
        return cls(f"{package} is not installed. Install it with: pip install 'interbert[{extra}]'")


def __getattr__(name: str) -> type[InterBertError]:
    """``PictureError``, as :class:`ImageError` was called: for one more release."""
    if name == "PictureError":
        warnings.warn("interbert.errors.PictureError is ImageError now.", DeprecationWarning, stacklevel=2)
        return ImageError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
