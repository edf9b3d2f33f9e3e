"""The FastAPI application: routes, errors in one shape, limits, CORS and a complete OpenAPI document."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from interbert import __version__
from interbert.errors import FilterError, InterBertError, shortened
from interbert.service import routes
from interbert.service.errors import CODES, ServiceError
from interbert.service.middleware import BodyLimit, ErrorAnswer, Observed, error_response
from interbert.service.openapi import complete_openapi
from interbert.service.schemas.common import field_path

if TYPE_CHECKING:
    from interbert.service.service import Service

_log = logging.getLogger(__name__)
_DESCRIPTION = """
Search products by text, image or example; topic pages; products; events. Every error has the shape
`{"error": {"code", "message", "where"}}`. Where keys are needed, send `Authorization: Bearer ib_...` or `X-API-Key`.
""".strip()
BULK = {(method, "/v1/products") for method in ("POST", "PATCH", "DELETE")}
"""Routes whose bodies may have ``limits.bulk_mib``."""


def create_app(service: Service) -> FastAPI:
    """The application of a service; every module of ``routes`` that has a ``router`` is part of it.

    Args:
        service: its state, at ``request.app.state.service``.
    """
    app = FastAPI(title="InterBERT", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False  # a redirect would name the host that the request said
    app.state.service = service
    for module in route_modules():
        app.include_router(module.router)
    for kind in (ServiceError, InterBertError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answered)

    def most(method: str, path: str) -> int:
        bulk = (method, path.rstrip("/")) in BULK
        return int((service.limits.bulk_mib if bulk else service.limits.body_mib) * 2**20)

    app.add_middleware(BodyLimit, metrics=service.metrics, most=most)
    app.add_middleware(Observed, metrics=service.metrics)
    if service.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "If-Match"],
            expose_headers=["Retry-After", "ETag"],
        )
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            models = [model for module in route_modules() for model in getattr(module, "MODELS", ())]
            app.openapi_schema = complete_openapi(generate(), models)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def route_modules() -> Iterator[ModuleType]:
    """The modules of ``routes`` with a ``router``, by name."""
    for found in pkgutil.iter_modules(routes.__path__):
        module = importlib.import_module(f"{routes.__name__}.{found.name}")
        if hasattr(module, "router"):
            yield module


async def _answered(request: Request, error: Exception) -> Response:
    paths = {one.path: one.name for one in request.app.state.service.indexes.values()}
    response = error_response(service_error(error, paths))
    if response.status_code == 405:
        response.headers["Allow"] = ", ".join(_methods(request)) or "GET"
    return response


def _methods(request: Request) -> list[str]:
    """The methods of a path's template, of all its routes: the error itself has those of the first one alone."""
    routes = [route for module in route_modules() for route in module.router.routes]
    first = next((route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE), None)
    return sorted({method for route in routes if route.path == first for method in route.methods})


def service_error(error: Exception, paths: Mapping[str, str]) -> ServiceError:
    """Any error of a request as the service sends it; ``paths`` of indexes give way to their names."""
    if isinstance(error, ErrorAnswer):
        return error.error
    if isinstance(error, ServiceError):
        if error.code in ("state_unavailable", "storage_full"):  # its words name the database or a file
            _log.warning("%s", error.message)
            error.message = CODES[error.code][1]
        error.message = _with_names(error.message, paths)
        return error
    if isinstance(error, InterBertError):
        return _of_library(error, paths)
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    return _http_error(cast(HTTPException, error))


def _of_library(error: InterBertError, paths: Mapping[str, str]) -> ServiceError:
    """An error of the library; one that is not the request's fault may name files, so only the log has its words."""
    character = re.search(r"character (\d+)", str(error)) if isinstance(error, FilterError) else None
    found = ServiceError.of(error, f"where, character {character.group(1)}" if character else None)
    if found.status < 500:
        found.message = _with_names(found.message, paths)
        return found
    _log.error("%s", error)
    return ServiceError(found.code, CODES[found.code][1])


def _with_names(message: str, paths: Mapping[str, str]) -> str:
    """A message in which whole paths of indexes gave way to their names; the longest first, they may lie in others."""
    for path in sorted(paths, key=len, reverse=True):
        message = re.sub(rf"(?<![\w/.-]){re.escape(path)}(?![\w-])", paths[path], message)
    return message


def _invalid(found: Any) -> ServiceError:
    """What pydantic found: the first error, and how many more there are."""
    first = found[0]
    if first["type"] == "json_invalid":
        return ServiceError("bad_request", "The body is no JSON that can be read, or nests too deeply.", "body")
    where = field_path(tuple(first["loc"]))
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "There is no such field. Leave it out."
    if first["type"] == "missing":
        message = "The field is missing." if where else "The body is missing: send JSON, as application/json."
    more = f" ({len(found) - 1} more fields are wrong.)" if len(found) > 1 else ""
    return ServiceError("invalid", f"{shortened(message, 500).rstrip('.')}.{more}", where or "body")


def _http_error(error: HTTPException) -> ServiceError:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}
    messages = {404: "There is no such path. See /openapi.json.", 405: "The path does not take this method."}
    code = codes.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
    return ServiceError(code, messages.get(error.status_code, str(error.detail)[:500]))
