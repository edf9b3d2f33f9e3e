"""Two replicas over one index and one PostgreSQL, one of which is killed at work (benchmarks/service_replicas.py)."""

from __future__ import annotations

import importlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text
from tests.conftest import AT_LENGTH
from tests.forked import COMMAND, Fork


def start(words: Sequence[str]) -> Fork:
    return Fork(COMMAND, *words)


@AT_LENGTH
def test_two_replicas_agree_and_one_goes_on_with_the_work_of_the_other(
    built: Path,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = f"test_{secrets.token_hex(8)}"
    server = make_url(postgres_url).set(drivername="postgresql+psycopg")
    with create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    database = server.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    replicas = importlib.import_module("service_replicas")
    words = [str(built), "--database", database, "--out", str(tmp_path / "replicas"), "--seconds", "4"]
    code = replicas.main(words, start)
    output = capsys.readouterr().out
    seen = json.loads(output.splitlines()[-1])
    assert code == 0, output
    assert seen["lost"] == seen["duplicated"] == seen["failed"] == 0
    assert seen["acknowledged"] > 0
    assert seen["searches"] > 0
    assert seen["fresh"]["changes"] > 0
    assert seen["taken_over"] < 15
