"""Every row as JSON lines and back, from and into each kind of database."""

from __future__ import annotations

from pathlib import Path

import pytest

from interbert.errors import DataError, UsageError
from interbert.service.state import State, database_url
from interbert.service.state.records import Event, SeenQuery, TopicRow

SEEN = SeenQuery("q1", "shop", "red 連衣裙", 3, 0.5, "c-1", "next", 41.5)


def filled(state: State) -> State:
    state.keys.create("front", ["search"], ["shop"], None, 60)
    for number in range(3):
        task = state.tasks.create("products.write", "shop", [f"{number}".encode(), b"\xff"], 2)
    state.tasks.finish(task.id, "succeeded", {"counts": {"added": 2}})
    state.topics.put("shop", TopicRow("shirts", ["shirts", "衬衫"], top_k=3))
    state.events.queries_seen([SEEN])
    state.events.add([Event("click", "1003", "q1", 1, "c-1")])
    state.audit.write(None, "shop", "products.write", "x", 2)
    return state


def written(state: State, folder: Path, personal: bool = True) -> dict[str, str]:
    folder.mkdir()
    counts = state.write_tables(folder, personal)
    files = {file.stem: file.read_text() for file in folder.iterdir()}
    assert {name: text.count("\n") for name, text in files.items()} == counts
    return files


def test_rows_are_the_same_after_both_ways(state: State, tmp_path: Path) -> None:
    first = written(filled(state), tmp_path / "first")
    other = State.open(database_url(tmp_path / "other", None))
    other.read_tables(tmp_path / "first")
    assert written(other, tmp_path / "second") == first
    assert [one.state for one in other.tasks.list("shop", 9)] == ["succeeded", "waiting", "waiting"]
    (_, waiting, _) = other.tasks.list("shop", 9)
    assert [other.tasks.lines(waiting.id, part) for part in range(3)] == [b"1", b"\xff", None]
    assert other.keys.list() == state.keys.list()
    assert other.events.variants("shop")[0].clicked == 1
    with pytest.raises(UsageError, match=r"holds 1 rows of \w+, which are not overwritten"):
        other.read_tables(tmp_path / "first")
    other.close()


def test_numbers_go_on_after_those_that_came(state: State, tmp_path: Path) -> None:
    other = filled(State.open(database_url(tmp_path / "other", None)))
    without = written(other, tmp_path / "first", personal=False)
    assert not {"queries", "events"} & without.keys()
    assert "c-1" not in "".join(without.values())
    state.read_tables(tmp_path / "first")
    assert state.tasks.create("products.write", "shop", [b"9"], 1).state == "waiting"
    state.topics.put("shop", TopicRow("dresses", ["dresses"]))
    filled_audit = len(state.audit.list())
    state.audit.write(None, None, "x", "y")
    assert len(state.audit.list()) == filled_audit + 1
    other.close()


def test_a_line_that_is_no_row_leaves_nothing(state: State, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "api_keys.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match=r"api_keys.jsonl, line 1: is no row of a snapshot"):
        state.read_tables(tmp_path / "first")
    state.require_empty()
