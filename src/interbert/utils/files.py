"""Files that are written whole or not at all, what may be replaced by them, and locks between processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interbert.errors import BusyError, UsageError, writing
from interbert.utils.bounded_files import json_value
from interbert.utils.texts import whole_text

_PART = ".part"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file to write into, in the same folder, that takes the place of ``path`` when the block ends well.

    Otherwise nothing is left of it, but after a kill a hidden file (:func:`is_part`). A link is followed, and what is
    no file, such as ``/dev/stdout``, is written itself.

    Raises:
        StorageError: the disk is full or not writable, or ``path`` is write-protected.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            yield target
            return
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(None, "Permission denied", str(path))
        part = target.with_name(f".{secrets.token_hex(8)}{_PART}")  # short: the name alone may be as long as may be
        try:
            yield part
            part.chmod(target.stat().st_mode & 0o777 if target.exists() else _usual_mode())  # safetensors: owner alone
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def atomic_write(path: str | Path, text: str) -> None:
    """Write a text file by :func:`replacing`, as UTF-8.

    Halves of pairs of surrogates, as in names of files that are no UTF-8, are written as JSON escapes them.

    Raises:
        StorageError: as :func:`replacing`.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def file_sha256(file: str | Path) -> str:
    """SHA-256 of a file, in hex digits."""
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def is_part(path: Path) -> bool:
    """Whether this is what a killed process left of a file that it was writing."""
    return path.name.startswith(".") and path.suffix == _PART


def _usual_mode() -> int:
    """Permissions of a new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


_MOST_BYTES = 16 * 2**20
"""Larger files are not looked through, and no command writes such metrics."""
_HEAD_BYTES = 4096
_LINE_BYTES = 2**20
"""Of a first line that may have long answers in it."""


@dataclass(frozen=True)
class Kind:
    """What a command writes into one file."""

    name: str
    """For messages, with its article."""
    recognises: Callable[[Path], bool]
    """Whether a file that is not empty is of this kind."""


def _page(file: Path) -> bool:
    return re.match(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", _head(file), re.IGNORECASE) is not None


def _drawing(file: Path) -> bool:
    return re.match(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<svg\b", _head(file), re.IGNORECASE) is not None


def _findings(file: Path) -> bool:
    return _has_keys(_head(file).split(b"\n")[0], {"row", "reason", "kind"})


def _judgements(file: Path) -> bool:
    """By their last column: judgements that people wrote by hand lack it, and stay."""
    first = _head(file).split(b"\n")[0].rstrip(b"\r")
    return first == b"query\tproduct_id\tgrade\tsearches" or _has_keys(
        first, {"query", "product_id", "grade", "searches"}
    )


def _head(file: Path, most: int = _HEAD_BYTES) -> bytes:
    with file.open("rb") as opened:
        return opened.read(most)


def _has_keys(text: bytes, keys: set[str]) -> bool:
    try:
        content = json_value(text)
    except ValueError:
        return False
    return isinstance(content, dict) and keys <= content.keys()


def _submission(file: Path) -> bool:
    return _head(file).split(b"\n")[0].strip() == b"query-id,product1,product2,product3,product4,product5"


def _predictions(file: Path) -> bool:
    """Lines of a text and images alone: a split's texts, which have the text too, stay."""
    first = _head(file).split(b"\n")[0]
    return _has_keys(first, {"text_id", "image_ids"}) and b'"text"' not in first


_TABLE_COLUMNS = ["id", "answer", "probability", "answers"]
_TABLE_LINE = re.compile(rb'\{"id": .*, "answer": .*, "probability": [-+.\de]+, "answers": \[')


def _table_predictions(file: Path) -> bool:
    head = _head(file, _LINE_BYTES)
    if head.startswith(b"PAR1"):
        return _parquet_columns(file) == _TABLE_COLUMNS
    first = head.split(b"\n")[0]
    return first.strip() == ",".join(_TABLE_COLUMNS).encode() or _TABLE_LINE.match(first) is not None


def _parquet_columns(file: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(file).names)
    except pa.ArrowException:
        return []


def _metrics(*keys: str) -> Callable[[Path], bool]:
    """Recognises a JSON object that has these keys, which no settings, topics or judgements have together."""
    return lambda file: file.stat().st_size <= _MOST_BYTES and _has_keys(file.read_bytes(), set(keys))


PAGE = Kind("an HTML page", _page)
DRAWING = Kind("an SVG drawing", _drawing)
FINDINGS = Kind("a list of findings", _findings)
"""Of ``interbert regions verify``."""
JUDGEMENTS = Kind("a list of judgements by `interbert events export`", _judgements)
RETRIEVAL_METRICS = Kind("metrics of retrieval", _metrics("model", "regions", "regions_fingerprint"))
KDD_SUBMISSION = Kind("a submission of KDD Cup", _submission)
MUGE_PREDICTIONS = Kind("predictions of images for texts", _predictions)
TABLE_PREDICTIONS = Kind("predictions of a table by `interbert predict`", _table_predictions)
BENCHMARK_METRICS = Kind("metrics of a benchmark", _metrics("benchmark", "model", "regions"))
TOPIC_METRICS = Kind("metrics of topics", _metrics("index", "topics", "by_field"))


def require_replaceable(path: str | Path | None, kind: Kind) -> None:
    """Check, before long work too, that a file of a kind may be written at a path; None passes.

    Raises:
        UsageError: the path is a folder, its folder does not exist, or another kind of file is there.
    """
    if path is None:
        return
    file = Path(path)
    if file.is_dir():
        raise UsageError(f"{path}: is a folder. Name a file.")
    if not file.resolve().parent.is_dir():
        raise UsageError(f"{path}: its folder does not exist. Make it, or name another.")
    try:
        same = not file.is_file() or not file.stat().st_size or kind.recognises(file)
    except OSError as error:
        raise UsageError(f"{path}: is there already and cannot be read ({error.strerror}). Name another.") from error
    if not same:
        raise UsageError(
            f"{path}: is there already and is not {kind.name}, so it is not replaced. Name another file, or remove it."
        )


def require_apart(paths: Mapping[str, str | None]) -> None:
    """Check that options name different files, however they are spelt.

    Raises:
        UsageError: two name one.
    """
    places: dict[Path, str] = {}
    for option, path in paths.items():
        if path is not None and (other := places.setdefault(Path(path).resolve(), option)) != option:
            raise UsageError(f"{path}: is named by {other} and {option}. Name two files.")


def write_output(path: str | Path, text: str, kind: Kind) -> None:
    """Write a text file whole, in place of one of the same kind.

    Raises:
        UsageError: as :func:`require_replaceable`.
        StorageError: the disk is full or not writable; what was there stays.
    """
    require_replaceable(path, kind)
    atomic_write(path, text)


WRITER_SECONDS = 60.0
"""To wait for another command, or a service's writer, to let go of an index."""


@contextlib.contextmanager
def only_writer(folder: str | Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold a folder (or URI) for the length of a block; a killed process lets go of it.

    The lock lies in the machine's temporary folder: it holds among this user's processes on one machine.

    Args:
        folder: need not exist.
        seconds: to wait for another process that holds it.

    Raises:
        BusyError: another process holds it.
        UsageError: the place of locks is a file, a link or somebody else's; or the folder's name is no UTF-8.
        StorageError: the lock cannot be written.
    """
    from filelock import FileLock, Timeout

    locks = _own_folder(Path(tempfile.gettempdir()) / f"interbert-locks-{_user()}")
    name = str(folder) if "://" in str(folder) else str(Path(folder).resolve())
    if whole_text(name) != name:
        raise UsageError(f"{folder}: its name is no UTF-8, which no store and no index can have. Name another.")
    key = hashlib.sha256(name.encode()).hexdigest()[:16]
    file = locks / f"{key}.lock"
    lock = FileLock(file, thread_local=False)  # one thread may begin a block that another ends
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise UsageError(f"{file}: is no regular file; locks are kept there. Remove it.")
    with writing(file):
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            raise BusyError(
                f"{folder}: another command is writing it. Wait until it is done, or name another."
            ) from None
        except NotImplementedError as error:  # a file system without locks
            raise UsageError(f"{file}: {folder} cannot be locked there. Set TMPDIR to another folder.") from error
    try:
        yield
    finally:
        lock.release()


def _own_folder(locks: Path) -> Path:
    """The folder of locks, made when it is not there; others may prepare something under its name, which is known.

    Raises:
        UsageError: it is no folder, a link, or another user's.
        StorageError: it cannot be made.
    """
    with writing(locks), contextlib.suppress(FileExistsError):
        locks.mkdir(mode=0o700)
    found = locks.lstat()
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        raise UsageError(
            f"{locks}: locks are kept there, and it is no folder of yours. Remove it, or set TMPDIR to one of yours."
        )
    if stat.S_IMODE(found.st_mode) & 0o022:  # earlier versions made it as the umask says
        locks.chmod(0o700)
    return locks


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
