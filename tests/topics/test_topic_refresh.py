"""Pages that are brought up to date by what changed are those that a build from nothing makes, to the last byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.topics.conftest import FULL, TOPICS, opened

from interbert.cli.topics_output import print_refresh
from interbert.errors import DataError
from interbert.search.index import ProductIndex
from interbert.search.writer import IndexWriter, Product
from interbert.topics import kept_topics, near_lists
from interbert.topics.kept_topics import FILE, read_kept
from interbert.topics.page_builder import PageBuilder
from interbert.topics.pages import build_topics
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.topic_file import Topic

ROWS = 160
FEW = replace(FULL, top_k=6, candidates=8, duplicates=0.995, diversity=0.3)
"""So that a list has far fewer images than the index."""
SOME = [
    *TOPICS,
    Topic("cheap", ("a red circle",), where="price < 60"),
    Topic("few", ("blue paper",), where="colour = 'blue' and stock > 2"),
]


class Shop:
    """An index that is changed at random."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.random = path, np.random.default_rng(seed)
        self.next = 0
        index = ProductIndex.open(path)
        self.width, self.hidden = index.manifest.vector_size, index.manifest.hidden_size
        self.fields = {column.name: column.field for column in index.metadata_columns}
        self.put(ROWS)

    def index(self) -> ProductIndex:
        return ProductIndex.open(self.path).pinned()

    def names(self, count: int) -> list[str]:
        names = self.index().ids()
        return [str(name) for name in self.random.choice(names, min(count, len(names)), replace=False)]

    def put(self, count: int, names: list[str] | None = None, same: int = 0) -> None:
        """Images with new ids or these; the first ``same`` of them look exactly alike."""
        if names is None:
            names = [f"new-{self.next + place:04d}" for place in range(count)]
            self.next += count
        vectors = self.random.normal(size=(len(names), self.width)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        tokens = self.random.normal(size=(len(names), 3, self.hidden)).astype(np.float32)
        vectors[:same], tokens[:same] = vectors[0], tokens[0]
        products = [
            Product(name, f"p{place // 2}" if name.startswith("new") else name, "", (f"title {place}",), b"", *pair)
            for place, (name, *pair) in enumerate(zip(names, vectors, tokens, strict=True))
        ]
        columns = {
            self.fields["price"]: pa.array(self.random.uniform(5, 100, len(names))),
            self.fields["colour"]: pa.array(self.random.choice(["red", "blue", "pink"], len(names)).tolist()),
            self.fields["stock"]: pa.array(self.random.integers(0, 5, len(names))),
            self.fields["sale"]: pa.array([True] * len(names)),
        }
        IndexWriter(self.index()).put(products, columns, known=True)

    def add(self) -> None:
        self.put(int(self.random.integers(6, 16)))

    def add_alike(self) -> None:
        self.put(6, same=4)

    def replace(self) -> None:
        self.put(0, self.names(int(self.random.integers(6, 16))))

    def remove(self) -> None:
        IndexWriter(self.index()).delete_ids(self.names(int(self.random.integers(1, 8))))

    def prices(self) -> None:
        names = self.names(10)
        prices = pa.array(self.random.uniform(5, 100, len(names)))
        IndexWriter(self.index()).update({"picture_id": pa.array(names), self.fields["price"]: prices})


def shown(out: Path) -> dict[str, bytes]:
    """All files but what is kept for a refresh."""
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*.json"))}


def afresh(recommender: TopicRecommender, out: Path, settings: PageSettings) -> dict[str, bytes]:
    shutil.rmtree(out, ignore_errors=True)
    build_topics(recommender, SOME, out, settings)
    return shown(out)


@pytest.fixture
def shop(index: Path) -> Shop:
    return Shop(index, 0)


@pytest.mark.parametrize("seed", range(2))
def test_pages_after_random_changes_are_those_of_a_build_from_nothing(
    index: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_lists, "_SPARE_LEAST", 4)  # so that most of what joins a list comes onto the page
    shop = Shop(index, seed)
    settings = replace(FEW, min_probability=None, duplicates=1.0, diversify_by=("colour",)) if seed else FEW
    mine, other = opened(index), opened(index)
    build_topics(mine, SOME, tmp_path / "pages", settings)
    searched = written = 0
    acts: list[Callable[[], None]] = [shop.add, shop.remove, shop.replace, shop.add_alike, shop.replace, shop.prices]
    for act in acts:
        act()
        one = build_topics(mine, SOME, tmp_path / "pages", settings)
        assert shown(tmp_path / "pages") == afresh(other, tmp_path / "afresh", settings), act
        searched, written = searched + one.searched, written + one.written
    assert searched < len(acts) * len(SOME) / 2
    assert written > 3
    far = set(shop.index().ids()) - set(read_kept(tmp_path / "pages" / FILE).images.ids)
    IndexWriter(shop.index()).delete_ids(sorted(far)[:1])
    assert build_topics(mine, SOME, tmp_path / "pages", settings).untouched == len(SOME)
    assert shown(tmp_path / "pages") == afresh(other, tmp_path / "afresh", settings)


def test_a_model_that_was_not_taught_has_the_same_pages_after_changes(index_path: Path, tmp_path: Path) -> None:
    shop = Shop(index_path, 5)
    mine, other = opened(index_path), opened(index_path)
    assert mine.memory is None
    build_topics(mine, SOME, tmp_path / "pages", FEW)
    for act in (shop.replace, shop.remove):
        act()
        assert build_topics(mine, SOME, tmp_path / "pages", FEW).searched < 2
        assert shown(tmp_path / "pages") == afresh(other, tmp_path / "afresh", FEW)


def test_a_list_that_runs_out_is_searched_for_again(shop: Shop, tmp_path: Path) -> None:
    mine, other = opened(shop.path), opened(shop.path)
    build_topics(mine, SOME[:1], tmp_path / "pages", FEW)
    near = read_kept(tmp_path / "pages" / FILE).topics["red"][1].lists[0].numbers[:22]
    images = read_kept(tmp_path / "pages" / FILE).images
    IndexWriter(shop.index()).delete_ids([images.ids[place] for place in images.places(near)])
    assert build_topics(mine, SOME[:1], tmp_path / "pages", FEW).searched == 1
    build_topics(other, SOME[:1], tmp_path / "afresh", FEW)
    assert shown(tmp_path / "pages") == shown(tmp_path / "afresh")


def test_rows_that_come_back_are_seen(shop: Shop, tmp_path: Path) -> None:
    """A rollback, and another row removed: as many rows as before, but not the same."""
    mine, other = opened(shop.path), opened(shop.path)
    table = shop.index().table
    before, names = table.version, shop.names(2)
    IndexWriter(shop.index()).delete_ids(names[:1])
    build_topics(mine, SOME, tmp_path / "pages", replace(FEW, candidates=200))
    table.checkout(before)
    table.restore()
    IndexWriter(shop.index()).delete_ids(names[1:])
    build_topics(mine, SOME, tmp_path / "pages", replace(FEW, candidates=200))
    assert shown(tmp_path / "pages") == afresh(other, tmp_path / "afresh", replace(FEW, candidates=200))


def test_after_a_kill_a_refresh_goes_on(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = opened(shop.path), opened(shop.path)
    out = tmp_path / "pages"
    build_topics(mine, SOME, out, FEW)
    shop.replace()
    plain, calls = PageBuilder._write, []

    def stopping(self: PageBuilder, *words: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        plain(self, *words)

    monkeypatch.setattr(PageBuilder, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        build_topics(mine, SOME, out, FEW)
    monkeypatch.undo()
    shop.remove()
    assert build_topics(mine, SOME, out, FEW).searched < 2
    assert shown(out) == afresh(other, tmp_path / "afresh", FEW)


def test_what_was_kept_and_is_damaged_gone_or_of_another_index_costs_time_alone(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, out = opened(shop.path), tmp_path / "pages"
    build_topics(mine, SOME[:2], out, FEW)
    whole = (out / FILE).read_bytes()
    middle = len(whole) // 2
    damaged = [
        (b"", "is damaged"),
        (whole[:middle], "is damaged"),
        (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "not those that were written"),
        (None, "there is no such file"),
    ]
    for content, message in damaged:
        shop.remove()
        (out / FILE).unlink()
        if content is not None:
            (out / FILE).write_bytes(content)
        done = build_topics(mine, SOME[:2], out, FEW)
        assert message in done.note, done.note
        assert done.note.endswith("every page is made anew")
        assert done.searched == 2
        assert read_kept(out / FILE).topics.keys() == {"red", "circle"}
    print_refresh(str(out), done, 2)
    assert "note: " in capsys.readouterr().out


def test_a_file_that_would_be_too_large_is_not_kept(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pages"
    build_topics(opened(shop.path), SOME[:1], out, FEW)
    monkeypatch.setattr(kept_topics, "_MOST_BYTES", 1000)
    shop.remove()
    done = build_topics(opened(shop.path), SOME[:1], out, FEW)
    assert "nothing is kept for the next refresh" in done.note
    assert not (out / FILE).exists()
    with pytest.raises(DataError, match="there is no such file"):
        read_kept(out / FILE)
