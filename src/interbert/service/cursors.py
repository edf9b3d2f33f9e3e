"""Page cursors: which version of the index, how far, and of which query; signed, so that nobody else can make one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from interbert.service.errors import ServiceError

SECRET = "cursors"
"""Name of what signs them, among the secrets of the database: cursors of one replica are good at all."""
_SIGNATURE = 16
"""Bytes of a signature."""


@dataclass(frozen=True)
class Cursor:
    """The place of a page in a ranking that stays."""

    version: str
    """Of the index, which is pinned."""
    offset: int
    candidates: int
    """Of the first page, since another number would be another ranking."""
    query: str
    """Digest of the query (:func:`query_digest`)."""
    words: list[Any] = field(default_factory=list)
    """What was searched instead of the words as typed (:func:`interbert.service.wordings.kept_in_cursor`)."""
    variant: str | None = None
    """Of an experiment, the index that answers all pages."""


class Cursors:
    """Writes and reads cursors.

    Args:
        secret: what they are signed with.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def write(self, cursor: Cursor) -> str:
        """A cursor as clients see it."""
        body = json.dumps(asdict(cursor), separators=(",", ":")).encode()
        return f"{_encoded(body)}.{_encoded(self._sign(body))}"

    def read(self, text: str, query: str) -> Cursor:
        """A cursor of the query of that digest.

        Raises:
            ServiceError: ``bad_cursor``.
        """
        try:
            body, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.split("."))
        except (ValueError, binascii.Error):
            body, signature = b"", b""
        if not hmac.compare_digest(self._sign(body), signature):
            raise ServiceError("bad_cursor", "The cursor was not made by this service. Search without it.", "cursor")
        cursor = Cursor(**json.loads(body))
        if cursor.query != query:
            message = "The cursor belongs to another query: send it with the request of the first page."
            raise ServiceError("bad_cursor", message, "cursor")
        return cursor

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, body, "sha256")[:_SIGNATURE]


def query_digest(query: dict[str, Any]) -> str:
    """What makes two requests pages of one ranking: the digest of all that ranks."""
    text = json.dumps(query, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
