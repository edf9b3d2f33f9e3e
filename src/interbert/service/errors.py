"""Every error of the service in one JSON shape: ``{"error": {"code", "message", "where"}}``."""

from __future__ import annotations

from typing import Any

from interbert.errors import (
    DataError,
    FilterError,
    ImageError,
    InterBertError,
    MissingExtraError,
    StorageError,
    UsageError,
    VectorIndexError,
)

CODES: dict[str, tuple[int, str]] = {
    "bad_request": (400, "The request cannot be read."),
    "bad_filter": (400, "The filter is wrong; `where` names the character."),
    "bad_cursor": (400, "The cursor was not made by this service, or for another query."),
    "unauthorized": (401, "No key, or one that is not known, revoked or expired."),
    "forbidden": (403, "The key has not the right, or not for this index."),
    "not_found": (404, "There is no such thing."),
    "method_not_allowed": (405, "The path does not take this method."),
    "timeout": (408, "The body stopped coming. Send it again, in one go."),
    "conflict": (409, "It was changed meanwhile, or the idempotency key was used for another request."),
    "cursor_expired": (410, "The version of the index that the cursor belongs to is gone. Search again."),
    "too_large": (413, "The body, an image or a batch is larger than the service reads."),
    "unsupported_media_type": (415, "The content type is none that the endpoint reads."),
    "invalid": (422, "A field has an impossible value; `where` names it."),
    "bad_image": (422, "An image cannot be read; `where` names it."),
    "rate_limited": (429, "The key has used up its requests. Try again after `Retry-After` seconds."),
    "overloaded": (429, "The queues are full. Try again after `Retry-After` seconds."),
    "client_left": (499, "The client left before it was answered; nobody reads this."),
    "internal": (500, "An error of the service."),
    "index_unavailable": (503, "The index cannot be read now."),
    "storage_full": (503, "The disk is full or not writable. Nothing was changed."),
    "state_unavailable": (503, "The database of topics, keys, events and tasks cannot be reached now."),
    "draining": (503, "The service is about to stop."),
}
"""Code -> (HTTP status, what it means)."""


class ServiceError(Exception):
    """An answer other than success.

    Args:
        code: of :data:`CODES`.
        message: a sentence that says what is wrong and what to do about it.
        where: the place: a field as ``queries[1].image``, a line as ``line 3``, a character of a filter.
        retry_after: seconds, for the header of that name.
    """

    def __init__(self, code: str, message: str, where: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = CODES[code][0]
        self.message = message
        self.where = where
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {"error": {"code": self.code, "message": self.message, "where": self.where}}

    @classmethod
    def of(cls, error: InterBertError, where: str | None = None) -> ServiceError:
        """An error of the library as one of the service."""
        codes = {
            FilterError: "bad_filter",
            ImageError: "bad_image",
            VectorIndexError: "index_unavailable",
            StorageError: "storage_full",
            UsageError: "invalid",
            DataError: "invalid",
            MissingExtraError: "internal",
        }
        code = next((code for kind, code in codes.items() if isinstance(error, kind)), "internal")
        return cls(code, str(error), where)


def require_length(text: str | None, most: int, where: str) -> None:
    """Check the characters of a text of a request; None passes.

    Raises:
        ServiceError: ``invalid``.
    """
    if text is not None and len(text) > most:
        raise ServiceError("invalid", f"It has {len(text):,} characters, at most {most:,} are read.", where)
