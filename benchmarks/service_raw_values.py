"""Values that requests are made of which no client library would send.

No program: benchmarks/service_raw_requests.py picks among them.
"""

from __future__ import annotations

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get", "QUERY")
ROUTES = (
    *("GET /v1/indexes", "GET /v1/models", "GET /readyz", "GET /livez", "GET /", "GET /metrics", "GET /openapi.json"),
    *("POST /v1/search", "POST /v1/search", "POST /v1/embeddings", "POST /v1/rerank", "POST /v2/rerank"),
    *("POST /v1/products", "PATCH /v1/products", "DELETE /v1/products", "POST /v1/events", "DELETE /v1/events"),
    *("GET /v1/products/{id}", "PATCH /v1/products/{id}", "DELETE /v1/products/{id}"),
    *("GET /v1/products/{id}/similar", "GET /v1/products/{id}/image", "GET /v1/tasks/{id}", "GET /v1/tasks"),
    *("GET /v1/topics", "POST /v1/topics", "POST /v1/topics/preview", "GET /v1/topics/{id}", "PUT /v1/topics/{id}"),
    *("DELETE /v1/topics/{id}", "GET /v1/topics/{id}/items", "GET /v1/topics/{id}/changes"),
    *("GET /v1/statistics/queries", "GET /v1/statistics/click-through"),
)
IDS = (
    *(
        "a",
        "red-circle",
        "a/b",
        "a/similar",
        "a/image",
        "..",
        ".",
        "%2F",
        "%2e%2e%2fetc",
        "红色 圆",
        "it's",
        'q"',
        "%00",
    ),
    *("x" * 5000, "🦆" * 300, "a\nb", "a;b=c", "nul", "NaN", "-1", "1e999", "é́", "\u202eabc", "?", "#", "%"),
)
TEXTS = (
    *(
        "",
        " ",
        "a red circle",
        "红色圆形",
        "x" * 1001,
        "🦆" * 400,
        "\x00",
        "\x1b[31m",
        "' OR 1=1 --",
        "\ud800",
        "\u202e",
    ),
    *(
        "{{7*7}}",
        "%s%n",
        "[CLS] [MASK] [SEP]",
        "data:image/png;base64,",
        "data:image/png;base64,AAAA",
        "http://a.invalid/x",
    ),
    *("a " * 500, "\t\r\n", "A" * 300, "-", "NaN", "🏳️‍🌈", "ﷺ" * 50, "adidass runing shoees"),
)
FILTERS = (
    *(
        "price < 50",
        "price <",
        "colour = 'red' and (stock > 0 or not sale)",
        "((((((((((a",
        "price < 1e999",
        "1 = 1",
        "not",
    ),
    *(
        "price in (" + "1," * 500 + "1)",
        "colour = '\ud800'",
        "colour = '",
        "price between 1 and",
        "colour like '%'",
        "(",
    ),
    *("nosuch = 1", "price = 'red'", "sale = 3", "drop table products", "price < -9223372036854775809", "price < nan"),
    *("(" * 900 + "price < 1" + ")" * 900, "not " * 400 + "sale", "stock = 99999999999999999999999", "colour = '红'"),
)
NUMBERS = (0, 1, -1, 5, 200, 201, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"))
FIELDS = (
    *("text", "image", "product_id", "queries", "where", "top_k", "candidates", "sort", "facets", "cursor", "weight"),
    *(
        "min_probability",
        "deadline_ms",
        "client_id",
        "index",
        "input",
        "model",
        "documents",
        "query",
        "top_n",
        "products",
    ),
    *(
        "product_ids",
        "image_id",
        "texts",
        "metadata",
        "price",
        "stock",
        "colour",
        "sale",
        "kind",
        "query_id",
        "rank",
        "at",
    ),
    *("events", "id", "pinned", "hidden", "diversity", "diversify_by", "valid_from", "valid_to", "expected_revision"),
    *(
        "published",
        "dimensions",
        "encoding_format",
        "return_documents",
        "rerank",
        "full_text",
        "spelling",
        "",
        "\ud800",
    ),
)
MEDIA = (
    *("application/json", "application/json", "application/json", "application/x-ndjson", "text/plain", "", "*/*"),
    *(
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "application/JSON;x",
    ),
    *(
        "application/json; charset=utf-16",
        "application/vnd.api+json",
        "image/png",
        "multipart/form-data; boundary=" + "b" * 300,
    ),
)
HEADERS = (
    *(b"X-API-Key: \xff\xfe", b"Authorization: Basic a", b'If-Match: "x"', b"If-Match: 99999999999999999999"),
    *(
        b"Idempotency-Key: \xe9",
        b"Idempotency-Key: same",
        b"If-None-Match: *",
        b"Accept-Encoding: \xff",
        b"Range: bytes=0-1",
    ),
    *(b"X: " + b"y" * 9000, b"Cookie: a=\x01", b"Origin: null", b"Expect: 100-continue", b"Content-Encoding: gzip"),
)
BROKEN_HEADERS = (b"Content-Length: -1", b"no header", b"Transfer-Encoding: x", b"\x00: a", b"Content-Length: 5")
"""With these a request is no HTTP, or another one than it says."""
