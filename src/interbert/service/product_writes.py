"""From a request that writes products to a task, and from the task to an answer."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from interbert.search.index import ProductIndex
from interbert.service.access import Principal
from interbert.service.applying import Kind, LineResult
from interbert.service.errors import ServiceError
from interbert.service.product_lines import LineError, LineReader
from interbert.service.service import ServedIndex, Service
from interbert.service.spool import SpoolFile
from interbert.service.state import Task
from interbert.service.writes import ProductWriter
from interbert.utils.bounded_files import json_value

_log = logging.getLogger(__name__)

NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
SMALL = 16
"""Products of a write that is waited for."""
WAIT_SECONDS = 5.0
_BUFFER = 1 << 20
_LIST = {"products.write": "products", "products.update": "products", "products.remove": "product_ids"}
"""Field of a JSON body that has the lines."""
_KEY_CHARACTERS = 255


@dataclass(frozen=True)
class Lines:
    """What a request writes."""

    kind: Kind
    lines: Sequence[bytes] | SpoolFile
    digest: str
    """SHA-256 of the request."""
    single: bool = False
    """One product, whose error is that of the request."""

    def __len__(self) -> int:
        return self.lines.lines if isinstance(self.lines, SpoolFile) else len(self.lines)


@dataclass(frozen=True)
class WriteRequest:
    """A request that writes, and where."""

    request: Request
    service: Service
    served: ServedIndex
    writer: ProductWriter
    principal: Principal
    wait: float | None
    """Seconds to wait for the task; by its size when None."""

    @classmethod
    def of(cls, request: Request, index: str | None, principal: Principal, wait: float | None = None) -> WriteRequest:
        """Check what a request asks for.

        Raises:
            ServiceError: ``draining``, ``not_found``, ``forbidden``; ``invalid`` for a wrong idempotency key.
        """
        service: Service = request.app.state.service
        if service.draining:
            raise ServiceError("draining", "The service is about to stop. Nothing was changed.", retry_after=5.0)
        served = service.index(index, principal)
        if served.writer is None:
            raise ServiceError(
                "index_unavailable", f"The index {served.name!r} is not written by this service.", "index"
            )
        key = request.headers.get("idempotency-key")
        if key is not None and not (0 < len(key) <= _KEY_CHARACTERS and key.isprintable()):
            raise ServiceError("invalid", f"It has 1 to {_KEY_CHARACTERS} printable characters.", "Idempotency-Key")
        return cls(request, service, served, served.writer, principal, wait)

    async def answer_body(self, kind: Kind) -> JSONResponse:
        """Write the lines of the request's body: JSON, or NDJSON, which goes to the disk as it comes.

        Raises:
            ServiceError: the body as a whole cannot be used, or cannot be kept: nothing was changed.
        """
        media = self.request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
        if media in NDJSON:
            with await run_in_threadpool(self.writer.spool_file) as file:
                digest = await self._spooled(file)
                return await self.answer(Lines(kind, file, digest))
        if media != "application/json" and not media.endswith("+json"):
            raise ServiceError("unsupported_media_type", f"Send application/json or {NDJSON[0]}.", "Content-Type")
        value, digest = await self.json_body()
        return await self.answer(await run_in_threadpool(_json_lines, kind, value, digest))

    async def json_body(self) -> tuple[Any, str]:
        """The value of the request's JSON body, and the request's digest.

        Raises:
            ServiceError: ``too_large``, ``bad_request``.
        """
        most = int(self.service.limits.body_mib * 2**20)
        raw = bytearray()
        async for part in self.request.stream():
            raw += part
            if len(raw) > most:
                raise ServiceError("too_large", f"JSON has at most {most / 2**20:g} MiB. Send {NDJSON[0]}.", "body")
        digest = self._digest()
        digest.update(raw)
        try:
            return await run_in_threadpool(json_value, bytes(raw)), digest.hexdigest()
        except (ValueError, RecursionError) as error:
            raise ServiceError(
                "bad_request", "The body is no JSON that can be read, or nests too deeply.", "body"
            ) from error

    def digest(self) -> str:
        """Of a request without a body."""
        return str(self._digest().hexdigest())

    def _digest(self) -> Any:
        image = self.request.query_params.get("image_id", "")
        asked = [self.request.method, self.request.url.path, self.served.name, image]  # not how long to wait
        return hashlib.sha256(json.dumps(asked).encode())

    async def _spooled(self, file: SpoolFile) -> str:
        """Put the body into a file; returns the request's digest."""
        digest, buffer = self._digest(), bytearray()

        def flush() -> None:
            digest.update(buffer)
            file.write(bytes(buffer))
            buffer.clear()

        async for part in self.request.stream():
            buffer += part
            if len(buffer) >= _BUFFER:
                await run_in_threadpool(flush)
        await run_in_threadpool(flush)
        return str(digest.hexdigest())

    async def answer(self, lines: Lines) -> JSONResponse:
        """Write lines once, also when the same request comes again with its idempotency key.

        Raises:
            ServiceError: as :meth:`answer_body`; ``conflict``.
        """
        if not len(lines):
            raise ServiceError("invalid", "There is nothing to write: send one product at least.", "body")
        key, store = self.request.headers.get("idempotency-key"), self.service.state.idempotency
        if key is None:
            return _response(*await self._write(lines, None))
        known = await run_in_threadpool(store.begin, self.principal.key_id, key, lines.digest)
        if known is not None:
            return _response(*known, replayed=True)

        def remember(status: int, body: Any) -> None:
            try:
                store.store(self.principal.key_id, key, status, body)
            except ServiceError as error:  # the write itself is kept, and is the same when it is done again
                _log.warning("the answer of an idempotency key cannot be kept: %s", error.message)

        try:
            status, body = await self._write(lines, remember)
        except BaseException:
            with contextlib.suppress(ServiceError):
                await run_in_threadpool(store.forget, self.principal.key_id, key)
            raise
        await run_in_threadpool(remember, status, body)
        return _response(status, body)

    async def _write(self, lines: Lines, remember: Callable[[int, Any], None] | None) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""
        if isinstance(lines.lines, list) and len(lines) <= SMALL:
            refused = await run_in_threadpool(self._refused, lines)
            if len(refused) == len(lines):
                return _written(None, refused, lines.single)
        experiment = self.service.settings.experiments.get(self.served.name)
        also = None if experiment is None else experiment.treatment
        task = await run_in_threadpool(self.writer.submit, lines.kind, lines.lines, self.principal.key_id, also)
        if remember is not None:
            await run_in_threadpool(remember, 202, task_body(task))
        seconds = self.wait if self.wait is not None else WAIT_SECONDS if len(lines) <= SMALL else 0.0
        if seconds:
            task = await self.writer.wait(task.id, seconds)
        results = (task.result or {}).get("results")
        if task.finished_at is None or (results is None and task.result is not None and "error" not in task.result):
            return 202, task_body(task, self.writer.note(task.id))
        if results is None:
            raise ServiceError("internal", f"The write failed: {(task.result or {}).get('error')}")
        return _written(task.id, results, lines.single)

    def _refused(self, lines: Lines) -> list[dict[str, Any]]:
        """Lines that cannot be used whatever the index holds."""
        index = self.served.engine.index
        assert isinstance(index, ProductIndex)
        reader = LineReader(index.manifest, self.service.limits.image_megapixels)
        read = {"products.write": reader.product, "products.update": reader.update, "products.remove": reader.removal}
        refused = []
        assert not isinstance(lines.lines, SpoolFile)
        for number, line in enumerate(lines.lines, 1):
            try:
                read[lines.kind](line)
            except LineError as error:
                detail = {"code": error.code, "message": error.reason}
                refused.append(asdict(LineResult(number, error.product_id, None, "rejected", detail)))
        return refused


def line_of(value: Any) -> bytes:
    """A JSON value as a line."""
    return json.dumps(value).encode()


def _json_lines(kind: Kind, value: Any, digest: str) -> Lines:
    """Lines of a JSON body.

    Raises:
        ServiceError: ``invalid``.
    """
    name = _LIST[kind]
    if isinstance(value, dict) and name not in value and kind != "products.remove":
        return Lines(kind, [line_of(value)], digest, single=True)
    found = value.get(name) if isinstance(value, dict) else value
    if not isinstance(found, list):
        raise ServiceError("invalid", f'Send {{"{name}": [...]}}.', name if isinstance(value, dict) else "body")
    if isinstance(value, dict) and (more := next((one for one in value if one != name), None)) is not None:
        raise ServiceError("invalid", f"There is no such field beside {name}. Leave it out.", str(more)[:200])
    return Lines(kind, [line_of(one) for one in found], digest)


def _written(task_id: str | None, results: list[dict[str, Any]], single: bool) -> tuple[int, dict[str, Any]]:
    """Status and body of a write that is done; a single product's error is that of the request."""
    error = results[0]["error"] if single else None
    if error is not None:
        failed = ServiceError(error["code"], error["message"], "body")
        return failed.status, failed.body()
    return 200, {"task_id": task_id, "counts": Counter(one["status"] for one in results), "results": results}


def _response(status: int, body: Any, replayed: bool = False) -> JSONResponse:
    headers = {"Location": f"/v1/tasks/{body['id']}"} if status == 202 else {}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(body, status, headers)


def task_body(task: Task, note: str | None = None, most: int = 100) -> dict[str, Any]:
    """A task as it is sent, with so many of its errors at most."""
    result = task.result or {}
    return {
        "id": task.id,
        "kind": task.kind,
        "index": task.index,
        "state": task.state,
        "total": task.total,
        "done": task.done,
        "error_count": task.error_count,
        "errors": [{"line": one.line, "product_id": one.id, "message": one.reason} for one in task.errors[:most]],
        "counts": result.get("counts"),
        "results": result.get("results"),
        "error": result.get("error"),
        "note": note,
        "created_at": task.created_at.isoformat(),
        "finished_at": None if task.finished_at is None else task.finished_at.isoformat(),
    }
