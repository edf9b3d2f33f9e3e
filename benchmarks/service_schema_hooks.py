"""What schemathesis has to know of the service beside its OpenAPI document: how NDJSON is written.

No program: benchmarks/service_fuzz.py gives its name to schemathesis.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/jsonl")
def lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """Text as it is; anything else as one line a member."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    members = value if isinstance(value, list) else [value]
    return "".join(json.dumps(one) + "\n" for one in members).encode("utf-8", "surrogatepass")
