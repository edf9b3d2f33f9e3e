"""OpenAPI made complete: every operation has the errors it may answer, in the service's own shape."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from interbert.service.schemas.common import ErrorBody, errors

_COMMON = ("bad_request", "method_not_allowed", "timeout", "invalid", "too_large", "internal")
_WITH_KEY = ("unauthorized", "forbidden", "rate_limited", "state_unavailable")
_REFERENCE = "#/components/schemas/{model}"
_METHODS = ("get", "post", "put", "patch", "delete")


def complete_openapi(document: dict[str, Any], models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The document with the errors that every route may answer, and without FastAPI's own shape of them.

    Args:
        document: as FastAPI makes it; changed.
        models: of bodies that routes read themselves.
    """
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    every: list[type[BaseModel]] = [ErrorBody, *models]
    for model in every:
        schema = model.model_json_schema(ref_template=_REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document["paths"].values():
        for method, operation in path.items():
            if method in _METHODS:
                _complete(operation)
    return document


def _complete(operation: dict[str, Any]) -> None:
    replies = operation["responses"]
    if "HTTPValidationError" in json.dumps(replies.get("422", "")):
        del replies["422"]
    needs_key = bool(operation.get("security"))
    for status, reply in errors(*_COMMON, *(_WITH_KEY if needs_key else ())).items():
        content = reply["content"]["application/json"]
        known = replies.setdefault(str(status), {"description": reply["description"], "content": {}})
        described = known["content"].setdefault("application/json", {})
        described.setdefault("schema", {"$ref": _REFERENCE.format(model="ErrorBody")})
        examples = described.setdefault("examples", {})
        for code, example in content["examples"].items():
            examples.setdefault(code, example)
    for reply in replies.values():
        for example in reply.get("content", {}).get("application/json", {}).get("examples", {}).values():
            if "error" in example.get("value", {}):
                example["value"]["error"].setdefault("where", None)  # FastAPI leaves null out, answers do not
