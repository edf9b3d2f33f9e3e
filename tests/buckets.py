"""Buckets over the real protocol: a server on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def bucket_on_loopback(name: str) -> Iterator[str]:
    """URI of an empty bucket, and the environment that its clients read; skips where the server is not installed."""
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    settings = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as cache:
        patch.setenv("XDG_CACHE_HOME", cache)  # of what is read out of the bucket
        for variable, value in settings.items():
            patch.setenv(variable, value)
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=name)
        yield f"s3://{name}"
    running.stop()
