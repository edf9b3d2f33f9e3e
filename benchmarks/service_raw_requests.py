"""Requests that no client library would send, as bytes, and what the service answers to them.

No program: benchmarks/service_fuzz.py sends them. A request is made from its number and a seed alone, so that one that
was answered badly can be made again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from service_clients import picture
from service_raw_values import BROKEN_HEADERS, FIELDS, FILTERS, HEADERS, IDS, MEDIA, METHODS, NUMBERS, ROUTES, TEXTS


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    """0: the connection was closed without an answer."""
    problem: str | None
    """What is wrong with it."""


class RawRequest:
    """A request.

    Args:
        seed: with the number, of everything that is random.
        number: of the request.
        key: secret that is sent with most of them.
    """

    def __init__(self, seed: int, number: int, key: str) -> None:
        self._random = random.Random(f"{seed} {number}")
        self._key = key
        route = self._pick(ROUTES).split(" ")
        self.method = route[0] if self._random.random() < 0.9 else self._pick(METHODS)
        self.path = self._path(route[1])
        self.hangs_up = self._random.random() < 0.03
        self.breaks_http = self._random.random() < 0.05
        self.body = b"" if self.method in ("GET", "HEAD") and self._random.random() < 0.9 else self._body(route[1])
        self.bytes = self._whole()

    def _pick(self, among: tuple[Any, ...]) -> Any:
        return among[self._random.randrange(len(among))]

    def _path(self, template: str) -> str:
        name = self._pick(IDS)
        written = (
            name if name.isascii() and name.isprintable() and self._random.random() < 0.2 else quote(name, safe="")
        )
        path: str = template.replace("{id}", written.replace(" ", "%20"))
        if self._random.random() < 0.05:
            path = self._pick(
                ("/" + path, path + "/", path + "/" + "a/" * 2000, path.upper(), path + "%00", "*", path + "/..")
            )
        if self._random.random() < 0.4:
            query = [f"{self._pick(FIELDS)}={self._pick((*IDS, *FILTERS, *NUMBERS))}" for _ in range(3)]
            path += "?" + "&".join(quote(one, safe="=&%", errors="surrogatepass") for one in query)
        return path

    def _value(self, depth: int = 0) -> Any:
        """Any JSON value."""
        kinds: list[Callable[[], Any]] = [
            lambda: self._pick(TEXTS),
            lambda: self._pick(NUMBERS),
            lambda: self._pick(FILTERS),
            lambda: self._pick(IDS),
            lambda: self._pick((None, True, False, [], {}, "")),
            lambda: f"data:image/png;base64,{picture(self._random.randrange(10**6))}",
        ]
        if depth < 3:
            kinds += [lambda: [self._value(depth + 1) for _ in range(self._random.randrange(4))]]
            kinds += [lambda: {self._pick(FIELDS): self._value(depth + 1) for _ in range(self._random.randrange(4))}]
        return self._pick(tuple(kinds))()

    def _sensible(self, template: str) -> dict[str, Any]:
        """A body that is near to what a route reads."""
        sound = self._random.random() < 0.4  # else nothing but refusals would be seen
        text = "a red circle" if sound else self._pick(TEXTS)
        where = self._pick((None, "price < 50", "stock > 0")) if sound else self._pick(FILTERS)
        top_k = 5 if sound else self._pick(NUMBERS)
        near: dict[str, Any] = {
            "search": {
                "text": text,
                "where": where,
                "top_k": top_k,
                "facets": ["colour"],
                "sort": "-price",
            },
            "embeddings": {"input": [text, self._value(3)], "encoding_format": "base64"},
            "rerank": {"query": text, "documents": [self._value(2), "red-circle"], "top_n": top_k},
            "products": {"products": [self._product() for _ in range(self._random.randrange(4))]},
            "events": {"kind": "click", "query_id": text, "product_id": self._pick(IDS), "rank": top_k},
            "topics": {
                "texts": [text, "red" if sound else self._pick(TEXTS)],
                "where": where,
                "pinned": [self._pick(IDS)],
                "diversity": 0.5,
            },
        }
        return dict(next((body for name, body in near.items() if name in template), {"text": text}))

    def _product(self) -> dict[str, Any]:
        product = {"product_id": self._pick(IDS), "texts": [self._pick(TEXTS)], "price": self._pick(NUMBERS)}
        if self._random.random() < 0.7:
            product["image"] = f"data:image/png;base64,{picture(self._random.randrange(10**6))}"
        return product

    def _body(self, template: str) -> bytes:
        body = self._sensible(template)
        for _ in range(self._random.randrange(3)):
            body[self._pick(FIELDS)] = self._value()
        raw = json.dumps(body).encode()
        if self._random.random() < 0.2:
            raw = b"\n".join(json.dumps(self._value()).encode() for _ in range(self._random.randrange(20)))
        damage = self._random.randrange(14)
        if damage == 0:
            raw = raw[: self._random.randrange(len(raw) + 1)]
        elif damage == 1:
            place = self._random.randrange(len(raw) + 1)
            raw = raw[:place] + self._random.randbytes(4) + raw[place:]
        elif damage == 2:
            raw = self._pick(
                (b"[" * 50_000 + b"]" * 50_000, b'{"a":' * 30_000, b"1" * 6000, b"\xef\xbb\xbf{}", b"NaN", b"null")
            )
        elif damage == 3:
            raw = self._random.randbytes(self._random.randrange(3000))
        elif damage == 4:
            raw = self._form(raw)
        return raw

    def _form(self, raw: bytes) -> bytes:
        """A form with the boundary ``b``, whole or not."""
        names = [self._pick(FIELDS).encode("utf-8", "surrogatepass") for _ in range(self._random.randrange(1, 5))]
        parts = [
            b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, raw[:400]) for name in names
        ]
        image = b'--b\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\nContent-Type: x\r\n\r\n'
        parts.append(image % self._pick((b"a.png", b"../a", b"\xff", b"")) + self._random.randbytes(100) + b"\r\n")
        form = b"".join(parts) + b"--b--\r\n"
        return form if self._random.random() < 0.5 else form[: self._random.randrange(len(form))]

    def _whole(self) -> bytes:
        media = self._pick(MEDIA)
        if self.body.startswith(b"--b\r\n"):
            media = "multipart/form-data; boundary=b"
        headers = [b"Host: a"]
        if media:
            headers.append(f"Content-Type: {media}".encode())
        if self._random.random() < 0.95:
            headers.append(f"Authorization: Bearer {self._key}".encode())
        headers += [self._pick(HEADERS) for _ in range(self._random.choice((0, 0, 0, 1, 2)))]
        chunked = self.body and self._random.random() < 0.2
        if chunked:
            middle = len(self.body) // 2
            pieces = [one for one in (self.body[:middle], self.body[middle:]) if one]
            sent = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
            headers.append(b"Transfer-Encoding: chunked")
        else:
            sent = self.body
            headers.append(b"Content-Length: %d" % len(self.body))
        if self.breaks_http:
            headers.append(self._pick(BROKEN_HEADERS))
        line = f"{self.method} {self.path} HTTP/1.1".encode("utf-8", "surrogatepass")
        return b"\r\n".join([line, *headers, b"", b""]) + sent

    def send(self, port: int, seconds: float = 60.0) -> Answer:
        """Send it to a port of loopback and read the answer.

        Raises:
            OSError: nothing listens there.
        """
        with socket.create_connection(("127.0.0.1", port), seconds) as sock:
            if self.hangs_up:
                sock.sendall(self.bytes[: len(self.bytes) * 2 // 3])
                return Answer(-1, None)
            with contextlib.suppress(ConnectionError):  # an answer may come before the whole request was read
                sock.sendall(self.bytes)
                if self.breaks_http:  # a server that waits for more gets none
                    sock.shutdown(socket.SHUT_WR)
            reply = http.client.HTTPResponse(sock, method=self.method)
            try:
                reply.begin()
                return self._judged(reply.status, reply.read())
            except TimeoutError:
                return Answer(0, "no answer in time")
            except (http.client.HTTPException, ConnectionError) as error:
                return Answer(0, None if self.breaks_http else f"closed without an answer ({error!r})")

    def _judged(self, status: int, body: bytes) -> Answer:
        if status >= 500:
            return Answer(status, f"status {status}: {body[:200]!r}")
        if b"Traceback" in body:
            return Answer(status, "a traceback in the answer")
        if status >= 400 and not self._is_error(body):
            return Answer(status, f"an error of another shape: {body[:300]!r}")
        return Answer(status, None)

    def _is_error(self, body: bytes) -> bool:
        if self.method == "HEAD" or body == b"Invalid HTTP request received.":  # of the server, before the application
            return True
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            return False
        return set(error) == {"code", "message", "where"} and isinstance(error["message"], str)
