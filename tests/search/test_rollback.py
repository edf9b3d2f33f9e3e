"""Going back to what an index was: within a build, over a rebuild with another model, and after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.search.conftest import priced_rows, source_of, write_table

import interbert.search.rollback as rollback
from interbert.cli.main import main
from interbert.search.build import build_index
from interbert.search.changes import remove_from_index, update_columns
from interbert.search.engine import SearchEngine
from interbert.search.index import ProductIndex
from interbert.search.manifest import connect
from interbert.search.restore_points import RestorePoint, kept_points, restore_points
from interbert.search.rollback import kept_versions, roll_back


class Killed(BaseException):
    """The process ends here: nothing of it is caught."""


def current(path: Path) -> str:
    (one,) = (one.name for one in kept_versions(path) if one.current)
    return one


def answers(path: Path) -> list[tuple[str, object]]:
    hits = SearchEngine.open(path, bf16=False).search("a red circle", top_k=5)
    return [(hit.product_id, hit.metadata["price"]) for hit in hits]


def test_a_change_is_undone_and_done_again(
    index_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, first = answers(index_path), current(index_path)
    opened = SearchEngine.open(index_path, bf16=False)
    prices = write_table(tmp_path / "prices.parquet", [{"id": "red-circle", "price": 77.5}])
    update_columns(index_path, str(prices), "id")
    remove_from_index(index_path, ids=["blue-circle"])
    changed, second = answers(index_path), current(index_path)
    assert changed != before
    assert main(["index", "rollback", str(index_path), "--to", first]) == 0
    third = current(index_path)
    assert third not in (first, second)
    assert answers(index_path) == before
    assert [hit.product_id for hit in opened.search("a red circle", top_k=5)] == [name for name, _ in before]
    index = ProductIndex.open(index_path)
    assert index.full_text_search("blue circle", 1)[0].product_id == "blue-circle"
    roll_back(index_path, second)
    assert answers(index_path) == changed
    capsys.readouterr()
    assert main(["index", "rollback", str(index_path)]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in (first, second, third))
    assert said.count("rollback") == 2
    assert main(["index", "rollback", str(index_path), "--to", third, "--dry-run"]) == 0
    assert "Nothing was changed" in capsys.readouterr().out
    assert answers(index_path) == changed


def test_over_rebuilds_with_their_models(
    index_path: Path, make_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, first = answers(index_path), current(index_path)
    assert main(["index", "rollback", str(index_path), "--keep-builds", "3"]) == 0
    few = source_of(write_table(tmp_path / "few.parquet", priced_rows()[:4]))
    other, third = make_model(1), make_model(2)
    build_index(other, few, index_path, rebuild=True)
    rebuilt = current(index_path)
    build_index(third, few, index_path, rebuild=True)
    opened = SearchEngine.open(index_path, bf16=False)
    roll_back(index_path, first)
    assert answers(index_path) == before
    time.sleep(1.1)  # an open index looks for builds once a second
    assert [hit.product_id for hit in opened.search("a red circle", top_k=5)] == [name for name, _ in before]
    build_index(third, few, index_path, rebuild=True)  # of 3 builds to keep, the one gone back to is one
    assert {one.build.table for one in kept_versions(index_path)} > {first.split("@")[0]}
    assert rebuilt not in [one.name for one in kept_versions(index_path)]
    roll_back(index_path, first)
    assert main(["index", "rollback", str(index_path), "--keep-builds", "2"]) == 0
    build_index(other, few, index_path, rebuild=True)
    build_index(third, few, index_path, rebuild=True)
    capsys.readouterr()
    assert main(["index", "rollback", str(index_path), "--to", first]) == 2
    said = capsys.readouterr().err
    assert f"version '{first}' is gone, or never was" in said
    assert said.count("\n") == 1
    assert len(list((index_path / "models").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "yesterday"), "is no version and no time"),
        (("--to", "2001-01-01"), "keeps no version that was searched at 2001-01-01"),
        (("--to", "products_0000_zz@1"), "is gone, or never was"),
        (("--to", "2099-01-01"), "is what is searched now"),
        (("--keep-builds", "1"), "--keep-builds must be at least 2"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    built: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", "rollback", str(built), *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("place", ["append_manifest", "IndexWriter.maintain"])
def test_a_kill_leaves_one_or_the_other(
    index_path: Path, model: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    before, first = answers(index_path), current(index_path)
    few = source_of(write_table(tmp_path / "few.parquet", priced_rows()[:6]))
    build_index(model, few, index_path, rebuild=True)
    rebuilt = answers(index_path)
    with monkeypatch.context() as patch:
        patch.setattr(f"interbert.search.rollback.{place}", killed)
        with pytest.raises(Killed):
            roll_back(index_path, first)
    assert answers(index_path) == (rebuilt if place == "append_manifest" else before)
    if place == "append_manifest":
        roll_back(index_path, first)
    assert answers(index_path) == before


def test_what_was_searched_at_full_hours_and_midnights_stays() -> None:
    now = datetime(2026, 1, 10, 12, 30, tzinfo=UTC)
    every_5_minutes = [
        RestorePoint(number, now - timedelta(minutes=5 * (3000 - number)), "change") for number in range(1, 3001)
    ]
    kept = kept_points(every_5_minutes, 7, now)
    assert len(kept) < 20 + 24 + 7
    for ago in (timedelta(minutes=30), timedelta(hours=20, minutes=30), timedelta(days=6, hours=12, minutes=30)):
        then = max(one.at for one in every_5_minutes if one.at <= now - ago)
        assert then in [one.at for one in kept]
    assert kept_points(every_5_minutes, 0, now) == []
    lasted = [RestorePoint(1, now - timedelta(days=90), "build"), RestorePoint(2, now - timedelta(minutes=1), "change")]
    assert kept_points(lasted, 7, now) == lasted


def test_an_index_without_restore_points_gets_one_before_it_changes(index_path: Path) -> None:
    before, first, index = answers(index_path), current(index_path), ProductIndex.open(index_path)
    for name in index.table.tags.list():
        index.table.tags.delete(name)
    assert current(index_path) == first
    remove_from_index(index_path, ids=["red-circle"])
    roll_back(index_path, first)
    assert answers(index_path) == before


def test_versions_that_are_not_kept_go(index_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["index", "rollback", str(index_path), "--keep-days", "0"]) == 0
    monkeypatch.setattr("interbert.search.writer.READERS", timedelta(0))
    remove_from_index(index_path, ids=["blue-circle"])
    index = ProductIndex.open(index_path)
    table: Any = connect(index_path).open_table(index.manifest.table)
    assert restore_points(table) == []
    assert rollback.kept_versions(index_path)[0].current
