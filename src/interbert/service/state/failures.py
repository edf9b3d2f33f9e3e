"""What a database's errors mean, in one line that names it without its password, with a remedy."""

from __future__ import annotations

import re
from typing import Literal

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from interbert.errors import InterBertError, StorageError, UsageError, first_line, is_full, storage_problem
from interbert.service.errors import ServiceError
from interbert.utils.redaction import without_credentials

_READ_ONLY = re.compile(r"readonly database|read-only transaction|read-only file", re.IGNORECASE)
_DAMAGED = re.compile(r"malformed|not a database|data.?corrupt|invalid page", re.IGNORECASE)
_LOCKED = re.compile(r"database (?:table )?is locked", re.IGNORECASE)
_RETRIED = {"40001", "40P01"}
"""PostgreSQL: a transaction that could not be ordered among others, or a deadlock."""

Problem = Literal["full", "damaged", "locked", "unreachable"]


def is_worth_retrying(error: BaseException) -> bool:
    """Whether the same transaction may go through when it is run again: others wrote the same row at that moment."""
    if isinstance(error, IntegrityError):
        return True
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _RETRIED


def is_locked(error: BaseException) -> bool:
    """Whether SQLite says that another process holds the file."""
    return _LOCKED.search(str(error)) is not None


def _cause(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, StatementError) and error.orig is not None else error


def _problem(name: str, error: BaseException) -> tuple[Problem, str]:
    """What is wrong, and a sentence that begins with the database's name."""
    cause = _cause(error)
    said = without_credentials(first_line(cause))
    if is_full(cause):
        return "full", f"{name}: the disk is full. Nothing was changed; free some space."
    if _READ_ONLY.search(said) or storage_problem(cause):
        return "full", f"{name}: cannot be written ({said}). Nothing was changed; make it and its folder writable."
    if _DAMAGED.search(said):
        return "damaged", f"{name}: is no sound database ({said}). Restore it from a copy, or name another."
    if _LOCKED.search(said):
        return "locked", f"{name}: another process holds it. Try again; end that process if it does not finish."
    return "unreachable", f"{name}: cannot be reached ({said}). Look whether it is there and running, and try again."


def at_open(name: str, error: BaseException) -> InterBertError:
    """The error of a command that cannot open the database."""
    problem, sentence = _problem(name, error)
    return StorageError(sentence) if problem == "full" else UsageError(sentence)


def at_run(name: str, error: BaseException) -> ServiceError:
    """The error of a call; what it was given may be wrong too."""
    cause = _cause(error)
    if isinstance(cause, ServiceError):
        return cause
    if isinstance(error, IntegrityError):
        return ServiceError("conflict", "It was changed meanwhile. Read it again, and send the change again.")
    if isinstance(error, DataError) or isinstance(cause, ValueError | TypeError | OverflowError):
        return ServiceError("invalid", f"A value cannot be kept ({first_line(cause)}). Send another.")
    problem, sentence = _problem(name, error)
    return ServiceError("storage_full" if problem == "full" else "state_unavailable", sentence, retry_after=1.0)
