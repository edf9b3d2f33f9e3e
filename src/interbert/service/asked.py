"""From a request of /v1/search to a query of the engine: limits, images and products as vectors, cursors."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray

from interbert.errors import UnknownProductError
from interbert.search.query import Part, Query
from interbert.search.rewriting import Rewritten
from interbert.service.cursors import Cursor, query_digest
from interbert.service.errors import ServiceError, require_length
from interbert.service.images import decoded
from interbert.service.schemas.search import QueryPart, SearchRequest
from interbert.service.settings import Limits

if TYPE_CHECKING:
    from interbert.service.service import ServedIndex, Service

Vectors = dict[int, NDArray[np.float32]]
"""[D] of parts that are images or products, by place."""

_NOT_RANKING = {"cursor", "top_k", "deadline_ms", "client_id"}
"""Fields that pages of one ranking may differ in."""


def require_limits(asked: SearchRequest, limits: Limits) -> None:
    """Check what an operator limits.

    Raises:
        ServiceError: ``invalid``.
    """
    texts = {"text": (asked.text, limits.query_characters), "where": (asked.where, limits.where_characters)}
    for place, part in enumerate(asked.queries or []):
        texts[f"queries[{place}].text"] = part.text, limits.query_characters
    for where, (text, most) in texts.items():
        require_length(text, most, where)
    for name, most in (("top_k", limits.top_k), ("candidates", limits.candidates)):
        if name in asked.model_fields_set and getattr(asked, name) > most:
            raise ServiceError("invalid", f"It is at most {most}, not {getattr(asked, name)}.", name)


def parts_of(asked: SearchRequest, upload: bytes | None) -> list[QueryPart]:
    """The parts of a query; an uploaded file is the one whose image is the empty text.

    Raises:
        ServiceError: ``invalid``.
    """
    if upload is not None and asked.image is not None:
        raise ServiceError("invalid", "The image is given twice: as a file and as a data URI.", "image")
    try:
        return asked.parts(upload is not None)
    except ValueError as error:
        raise ServiceError("invalid", f"{str(error).capitalize()}.", "body") from error


def digest_of(asked: SearchRequest, index: str, upload: bytes | None) -> str:
    """Of all that the order of results depends on."""
    fields: dict[str, Any] = asked.model_dump(exclude=_NOT_RANKING) | {"index": index}
    if upload is not None:
        fields["upload"] = hashlib.sha256(upload).hexdigest()
    return query_digest(fields)


async def vectors_of(
    service: Service,
    served: ServedIndex,
    asked: SearchRequest,
    parts: list[QueryPart],
    upload: bytes | None,
    version: str | None,
) -> Vectors:
    """Vectors of the parts that are no texts, at a version of the index.

    Raises:
        ServiceError: ``bad_image``, ``too_large``, ``not_found``, ``overloaded``.
    """

    async def vector(place: int, part: QueryPart) -> NDArray[np.float32]:
        prefix = "" if asked.queries is None else f"queries[{place}]."
        if part.product_id is not None:
            return await _product_vector(served, part.product_id, f"{prefix}product_id", version)
        given = upload if upload is not None and part.image == "" else part.image
        assert given is not None
        async with service.image_slots.taking():
            image = await run_in_threadpool(decoded, given, f"{prefix}image", service.limits.image_megapixels)
            return await served.pipeline.image_vector(image, version)

    wanted = [place for place, part in enumerate(parts) if part.text is None]
    found = await asyncio.gather(*(vector(place, parts[place]) for place in wanted))
    return dict(zip(wanted, found, strict=True))


async def _product_vector(served: ServedIndex, product_id: str, where: str, version: str | None) -> NDArray[np.float32]:
    try:
        return await run_in_threadpool(served.engine.product_vector, product_id, version)
    except UnknownProductError as error:
        raise ServiceError("not_found", str(error), where) from error


def query_of(
    asked: SearchRequest,
    parts: list[QueryPart],
    vectors: Mapping[int, NDArray[np.float32]],
    wordings: Mapping[int, Rewritten],
    cursor: Cursor | None,
) -> Query:
    """The engine's query; a page after the first has the version and the candidates of the first."""
    sort = None if not asked.sort else (asked.sort.removeprefix("-"), asked.sort.startswith("-"))
    return Query(
        parts=tuple(
            Part(part.text, vectors.get(place), part.weight)
            if place not in wordings
            else Part(wordings[place].text, None, part.weight, wordings[place].synonyms)
            for place, part in enumerate(parts)
        ),
        where=asked.where,
        top_k=asked.top_k,
        candidates=max(asked.candidates, 2 * asked.top_k) if cursor is None else cursor.candidates,
        rerank=asked.rerank,
        read_all=asked.read_all,
        full_text=asked.full_text,
        min_probability=asked.min_probability,
        sort=sort,
        facets=tuple(asked.facets),
        offset=0 if cursor is None else cursor.offset,
        version=None if cursor is None else cursor.version,
        exclude=tuple(part.product_id for part in parts if part.product_id is not None),
    )


def text_of(asked: SearchRequest) -> str | None:
    """The words of a search, for popular queries; those of several parts joined, None without any."""
    texts = [asked.text] if asked.text is not None else [part.text for part in asked.queries or []]
    return " ".join(text for text in texts if text) or None
