"""The page for people at ``/``, and its files: plain HTML, CSS and JavaScript of the package ``web``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from fastapi import APIRouter, Request, Response

from interbert.service.errors import ServiceError

router = APIRouter(include_in_schema=False)

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
}
"""Of the page and every file of it."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class WebFile:
    """A file of the page.

    Args:
        data: its bytes.
        etag: their digest, quoted.
        media_type: by its suffix.
    """

    data: bytes
    etag: str
    media_type: str


@cache
def web_files() -> dict[str, WebFile]:
    """Every file of the page, by its name; nothing else can be asked for."""
    found = {}
    for one in resources.files("interbert.service").joinpath("web").iterdir():
        media_type = _TYPES.get("." + one.name.rpartition(".")[2])
        if media_type is not None:
            data = one.read_bytes()
            found[one.name] = WebFile(data, f'"{hashlib.sha256(data).hexdigest()[:32]}"', media_type)
    return found


@router.get("/")
async def page(request: Request) -> Response:
    """The page; everything in it is relative, so that it works under any path of a proxy that ends with a slash."""
    return _sent(request, web_files()["index.html"])


@router.get("/web/{name}")
async def file(request: Request, name: str) -> Response:
    """A file of the page. Browsers ask each time whether it changed: its name stays the same over versions."""
    if name not in web_files():
        raise ServiceError("not_found", "The page has no such file.")
    return _sent(request, web_files()[name])


def _sent(request: Request, found: WebFile) -> Response:
    headers = {**PAGE_HEADERS, "ETag": found.etag, "Cache-Control": "no-cache"}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if found.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(found.data, media_type=found.media_type, headers=headers)
