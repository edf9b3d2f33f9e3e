"""What a stranger may send to `interbert serve`, and what comes back: one JSON error each, or a sound answer.

    OMP_NUM_THREADS=1 python benchmarks/guards_of_serving.py

A real service of the shop of guards_of_writing.py, with limits of 1 MiB for a body, 100 characters for a query and 200
for a filter. Prints a Markdown table (docs/security.md has it), then tracebacks in the log and the peak of memory.
Exit code 1 when an answer has another shape, is an error of the service (5xx), or the log has a traceback.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from guards_of_trust import MARKED
from guards_of_writing import shop
from service_clients import Service, picture

LIMITS = ("--limits.body-mib", "1", "--limits.query-characters", "100", "--limits.where-characters", "200")
SEARCH, PRODUCTS = "POST /v1/search", "POST /v1/products"
UP = quote("../../../etc/passwd", safe="")
LISTS: Any = 1
for _ in range(900):
    LISTS = [LISTS]


def product(**fields: Any) -> dict[str, Any]:
    """A write of one product."""
    return {"products": [{"product_id": "new", "image": f"data:image/png;base64,{picture(1)}"} | fields]}


REQUESTS: dict[str, tuple[str, Any]] = {
    "a sound search": (SEARCH, {"text": "red"}),
    "a body of 8 MiB": (SEARCH, b'{"text": "' + b"a" * (8 << 20) + b'"}'),
    "a bulk write whose line has 100 MiB": (PRODUCTS, b'{"product_id": "' + b"a" * (100 << 20) + b'"}\n'),
    "50,000 levels of lists": (SEARCH, b"[" * 50_000 + b"]" * 50_000),
    "30,000 levels of objects, cut": (SEARCH, b'{"a": ' * 30_000),
    "900 levels of lists in a product's field": (PRODUCTS, product(kind=LISTS)),
    "half of an emoji in a query": (SEARCH, rb'{"text": "red \ud83d"}'),
    "half of an emoji in a product's title": (PRODUCTS, product(texts=["red \ud83d"])),
    "half of an emoji in a product's id": (PRODUCTS, product(product_id="a\ud83d")),
    "markup and control characters in a query": (SEARCH, {"text": MARKED}),
    "a NUL in a query": (SEARCH, {"text": "red\x00"}),
    "markup and control characters in title and id": (PRODUCTS, product(product_id=f"a{MARKED}", texts=[MARKED])),
    "an id of 5,000 characters": (PRODUCTS, product(product_id="a" * 5_000)),
    "a title of 200,000 characters": (PRODUCTS, product(texts=["a" * 200_000])),
    "an image named by a path": (PRODUCTS, product(image="../../../etc/passwd")),
    "an image named by an address": (PRODUCTS, product(image="http://127.0.0.1:9/a.png")),
    "a product's id with parts of a path": (f"GET /v1/products/{UP}", None),
    "an image's id with parts of a path": (f"GET /v1/products/{UP}/image", None),
    "a topic's id with parts of a path": (f"PUT /v1/topics/{UP}", {"texts": ["red"]}),
    "a topic's items, its id with parts of a path": (f"GET /v1/topics/{UP}/items", None),
    "a task's id with a NUL": ("GET /v1/tasks/%00", None),
    "an index's name with parts of a path": (SEARCH, {"text": "red", "index": "../../shop"}),
    "a query of 101 characters": (SEARCH, {"text": "a" * 101}),
    "a filter of 201 characters": (SEARCH, {"text": "red", "where": f"kind = '{'a' * 192}'"}),
    "a filter of 90 levels": (SEARCH, {"text": "red", "where": f"{'(' * 90}kind = 'a'{')' * 90}"}),
    "a filter with SQL behind it": (SEARCH, {"text": "red", "where": "kind = 'a'; DROP TABLE products"}),
    "a filter with a NUL": (SEARCH, {"text": "red", "where": "kind = 'a\x00'"}),
    "top_k of 10^30": (SEARCH, {"text": "red", "top_k": 10**30}),
    "a number of 6,000 digits": (SEARCH, b'{"text": "red", "top_k": ' + b"9" * 6_000 + b"}"),
    "min_probability NaN": (SEARCH, b'{"text": "red", "min_probability": NaN}'),
    "a cursor of somebody else": (SEARCH, {"text": "red", "cursor": "../../etc"}),
    "a sound search again": (SEARCH, {"text": "red"}),
}


def row(service: Service, name: str) -> tuple[str, bool]:
    """The table's row of a request, and whether its answer is right."""
    (method, path), body = REQUESTS[name][0].split(" ", 1), REQUESTS[name][1]
    bulk = isinstance(body, bytes) and path == "/v1/products"
    began = time.monotonic()
    status, reply = service.call(method, path, body, "application/x-ndjson" if bulk else "application/json")
    seconds = time.monotonic() - began
    error = reply.get("error") if isinstance(reply, dict) and status >= 400 else None
    lines = [one["error"] for one in (reply.get("results") or []) if isinstance(one, dict) and one.get("error")]
    said = error or (lines or [{"code": "", "message": ""}])[0]
    right = status < 400 or (status < 500 and set(error or ()) == {"code", "message", "where"})
    text = json.dumps(said["message"], ensure_ascii=True)[1:-1].replace("|", "\\|")[:160]
    return f"| {name} | {status} | {said['code']} | {seconds:.2f} | {text} |", right


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")

        def start(words: Any) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "interbert", *words]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log.open("wb"))

        service = Service(shop(Path(folder)) / "index", Path(folder, "state"), start, *LIMITS)
        try:
            service.wait_ready()
            print("| request | status | code | seconds | said |\n| --- | --- | --- | --- | --- |", flush=True)
            wrong = []
            for name in REQUESTS:
                line, right = row(service, name)
                wrong += [] if right else [name]
                print(line, flush=True)
            status = Path(f"/proc/{service.process.pid}/status").read_text()
            known = dict(line.split(":", 1) for line in status.splitlines())
        finally:
            service.kill()
        tracebacks = log.read_text(errors="replace").count("Traceback (most recent call last)")
    print(f"\ntracebacks: {tracebacks}; peak: {int(known['VmHWM'].split()[0]) // 1024:,} MiB; wrong: {wrong or 'none'}")
    return int(bool(tracebacks or wrong))


if __name__ == "__main__":
    sys.exit(main())
