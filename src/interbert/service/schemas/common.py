"""What all requests and answers share: strict fields, the one shape of errors, values that JSON can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from interbert.service.errors import CODES

Responses = dict[int | str, dict[str, Any]]
"""As FastAPI takes them: status -> description, model and examples."""


PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR4nGM4AQUMlDEA"
    "CLEyAaio5RMAAAAASUVORK5CYII="
)
"""A grey image as a data URI, for examples."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)
_UNION_MEMBERS = {"str", "int", "float", "bool"}


class Request(BaseModel):
    """A request's body: a field that is not known is an error, and no number is infinite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _has_characters(cls, value: Any) -> Any:
        """JSON may hold halves of surrogate pairs, which neither tokenizers nor databases take."""
        waiting = [value]  # no recursion: it may nest as deeply as JSON is read
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                try:
                    one.encode()
                except UnicodeEncodeError:
                    raise ValueError("a text holds half of a surrogate pair, which is no character") from None
            elif isinstance(one, dict):
                waiting += [*one.keys(), *one.values()]
            elif isinstance(one, list):
                waiting += one
        return value


def _require_text(value: Any) -> Any:
    # pydantic takes a text of digits for seconds or milliseconds since 1970, whichever it is nearer to
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError("a moment is a date and a time with its zone, such as 2026-12-01T08:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_require_text)]
"""A moment with its time zone, as RFC 3339 has it; numbers and their texts, whose unit is a guess, are refused."""


class Reply(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(protected_namespaces=())


class ErrorDetail(Reply):
    """What is wrong."""

    code: str = Field(description="One of: " + ", ".join(CODES) + ".", examples=["invalid"])
    message: str = Field(description="A sentence: what is wrong, and what to do about it.")
    where: str | None = Field(
        default=None, description="The place: a field, a line, a character of a filter.", examples=["queries[1].image"]
    )


class ErrorBody(Reply):
    """Every error, of every path and status."""

    error: ErrorDetail


def errors(*codes: str) -> Responses:
    """Error answers of a route for OpenAPI, by status, with an example of each code.

    Args:
        codes: of :data:`interbert.service.errors.CODES`.
    """
    found: Responses = {}
    for code in codes:
        status, meaning = CODES[code]
        reply = found.setdefault(status, {"model": ErrorBody, "description": "", "content": _content({})})
        reply["description"] = f"{reply['description']} {meaning}".strip()
        example = {"error": {"code": code, "message": meaning, "where": None}}
        reply["content"]["application/json"]["examples"][code] = {"summary": code, "value": example}
    return found


def example(value: Any, description: str, status: int = 200, media_type: str = "application/json") -> Responses:
    """The answer of a route for OpenAPI: what it is, with an example."""
    return {status: {"description": description, "content": {media_type: {"example": value}}}}


def _content(examples: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"examples": examples}}


def field_path(location: tuple[int | str, ...]) -> str | None:
    """Where pydantic found an error, as users write it: ``queries[1].image``; None for the whole body."""
    parts = list(location)
    if parts and parts[0] in ("body", "query", "path", "header", "cookie"):
        parts = parts[1:]
    path = ""
    for part in parts:
        if part in _UNION_MEMBERS or "[" in str(part):  # pydantic names the member of a union, which is no field
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path[:200] or None


def json_safe(value: Any) -> Any:
    """A value of a catalogue as JSON can hold it: dates as ISO texts, numbers that are not finite as null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): json_safe(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(one) for one in value]
    return json_safe(value.item()) if hasattr(value, "item") else str(value)  # numbers of numpy
