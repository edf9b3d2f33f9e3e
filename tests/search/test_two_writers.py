"""Real processes that change one index at once, and builds that change while a command waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.forked import COMMAND, Fork
from tests.search.conftest import priced_rows, source_of, write_table

import interbert.search.changes as changes_module
from interbert.errors import UsageError
from interbert.search.build import build_index
from interbert.search.changes import add_to_index, remove_from_index, update_columns
from interbert.search.index import ProductIndex
from interbert.search.manifest import append_manifest, connect, read_manifests
from interbert.search.writer import IndexWriter, table_schema
from interbert.utils.files import only_writer


def command(*words: object) -> Fork:
    return Fork(COMMAND, *words)


def new_rows(tmp_path: Path) -> Path:
    rows = [row | {"id": f"new-{place}"} for place, row in enumerate(priced_rows()[:4])]
    return write_table(tmp_path / "new.parquet", rows)


@pytest.fixture
def rebuilt_before_the_lock(
    index_path: Path, model: Path, priced: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Lets another command complete a rebuild at the last moment before this one holds the index."""

    def start() -> None:
        def late(path: str | Path) -> object:
            with monkeypatch.context() as patch:
                patch.setattr(changes_module, "only_writer", only_writer)
                build_index(model, source_of(priced), path, rebuild=True)
            return only_writer(path)

        monkeypatch.setattr(changes_module, "only_writer", late)

    return start


def test_changes_go_to_the_build_that_took_the_place_of_the_one_before(
    index_path: Path, tmp_path: Path, rebuilt_before_the_lock: Callable[[], None]
) -> None:
    rebuilt_before_the_lock()
    assert add_to_index(index_path, source_of(new_rows(tmp_path))).added == 4
    assert {f"new-{place}" for place in range(4)} <= set(ProductIndex.open(index_path).ids())
    prices = write_table(tmp_path / "prices.parquet", [{"id": "red-circle", "price": 77.0}])
    assert update_columns(index_path, str(prices), "id").updated == 1
    assert ProductIndex.open(index_path).ids("price = 77") == ["red-circle"]
    gone = {str(row["id"]) for row in priced_rows()[:2]}
    assert remove_from_index(index_path, ids=[str(priced_rows()[0]["id"])], where="price = 6").removed == 2
    assert not gone & set(ProductIndex.open(index_path).ids())


def test_a_source_is_opened_by_the_columns_of_the_build_that_is_written(
    index_path: Path, tmp_path: Path, rebuilt_before_the_lock: Callable[[], None]
) -> None:
    before, opened = ProductIndex.open(index_path).manifest.table, []
    rebuilt_before_the_lock()
    add_to_index(index_path, lambda manifest: opened.append(manifest.table) or source_of(new_rows(tmp_path)))  # type: ignore[func-returns-value]
    assert opened == [ProductIndex.open(index_path).manifest.table]
    assert opened != [before]


def test_nothing_is_written_to_a_build_that_another_machine_has_replaced(index_path: Path) -> None:
    """The lock is of one machine; an index in a bucket is written by several."""
    index = ProductIndex.open(index_path).pinned()
    writer, version = IndexWriter(index), index.table.version
    database = connect(index_path)
    newer = replace(index.manifest, table="products_0009_abc")
    database.create_table(newer.table, schema=table_schema(newer))
    append_manifest(database, newer, len(read_manifests(database, str(index_path))))
    for act in (lambda: writer.delete_ids(["red-circle"]), writer.maintain):
        with pytest.raises(UsageError, match="another command has built it anew meanwhile"):
            act()
    assert index.table.version == version


def test_two_commands_at_once_lose_nothing(index_path: Path, model: Path, priced: Path, tmp_path: Path) -> None:
    new = new_rows(tmp_path)
    one = command("index", "build", model, priced, index_path, "--text-columns", "title,title_zh", "--rebuild")
    other = command("index", "add", index_path, new)
    ended = [process.communicate(timeout=300) for process in (one, other)]
    codes = [one.returncode, other.returncode]
    assert set(codes) <= {0, 2}, ended
    assert 0 in codes, ended
    for code, (_, said) in zip(codes, ended, strict=True):
        assert code == 0 or "another command is writing it" in said, said
    if other.returncode:  # told so; then the same command again
        last = command("index", "add", index_path, new)
        out, err = last.communicate(timeout=300)
        assert (last.returncode, "4 added" in out) == (0, True), err
    index = ProductIndex.open(index_path)
    if "4 added" in ended[1][0] and codes == [0, 0] and len(index) == 24:  # added first, then made anew without them
        assert add_to_index(index_path, source_of(new)).added == 4
    assert len(ProductIndex.open(index_path)) == 28
