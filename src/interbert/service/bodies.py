"""Bodies that routes read themselves: JSON, or a form with a file, as one and the same request."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from interbert.service.errors import ServiceError

Model = TypeVar("Model", bound=BaseModel)

_LARGE = 1 << 16
"""Bytes of JSON from which it is read beside the event loop."""
_FIELDS = 64
_LISTS = ("facets",)
"""Fields that a form may repeat, or separate by commas."""


async def json_or_form(request: Request, model: type[Model]) -> tuple[Model, bytes | None]:
    """A request's body, and the file of a form's field ``image``.

    Raises:
        ServiceError: ``unsupported_media_type``, ``bad_request``.
        RequestValidationError: a field is wrong.
    """
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async with request.form(max_files=1, max_fields=_FIELDS) as form:
            upload = form.get("image")
            image = await upload.read() if isinstance(upload, UploadFile) else None
            texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
            files = [name for name, value in form.multi_items() if not isinstance(value, str)]
        if any(name != "image" for name in files):
            raise ServiceError("invalid", "A file belongs into the field image.", files[0])
        return _validated(model, _fields(texts)), image
    if kind != "application/json" and not kind.endswith("+json"):
        raise ServiceError("unsupported_media_type", "Send application/json or multipart/form-data.", "Content-Type")
    raw = await request.body()
    if len(raw) > _LARGE:
        return await run_in_threadpool(_parsed, model, raw), None
    return _parsed(model, raw), None


def _parsed(model: type[Model], raw: bytes) -> Model:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


def _validated(model: type[Model], fields: Any) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


def _fields(texts: list[tuple[str, str]]) -> dict[str, Any]:
    """A form's fields; ``request`` is JSON with any of them, ``queries`` is JSON, too."""
    fields: dict[str, Any] = {}
    for name, value in texts:
        if name == "request":
            whole = _json(value, name)
            if not isinstance(whole, dict):
                raise ServiceError("invalid", "The field must be a JSON object with the fields of a search.", name)
            fields |= whole
        elif name == "queries":
            fields[name] = _json(value, name)
        elif name in _LISTS:
            fields[name] = [*fields.get(name, []), *(part.strip() for part in value.split(",") if part.strip())]
        elif name in fields:
            raise ServiceError("invalid", "The field is given twice.", name)
        else:
            fields[name] = value
    return fields


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ServiceError(
            "bad_request", "The field is no JSON that can be read, or nests too deeply.", where
        ) from error
