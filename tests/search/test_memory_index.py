"""Recall from memory finds what the table has, at every version, with and without filters."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from tests.search.conftest import priced_rows, source_of, write_table

pytest.importorskip("faiss")

from interbert import SearchEngine
from interbert.search import ann_parameters, memory_versions
from interbert.search.build import build_index
from interbert.search.changes import add_to_index, remove_from_index
from interbert.search.compact_vectors import CompactVectors
from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.search.memory_contents import Contents
from interbert.search.memory_index import MemoryIndex
from interbert.search.query import Part, Query
from interbert.search.vectors import unit_rows


@pytest.fixture(autouse=True)
def every_index_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ann_parameters, "_EXACT_UP_TO", 0)


@pytest.fixture(scope="module")
def several(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with two images of every product."""
    folder = tmp_path_factory.mktemp("two-images")
    rows = priced_rows()
    rows += [row | {"id": rows[place // 2]["id"]} for place, row in enumerate(rows)]
    build_index(model, source_of(write_table(folder / "shop.parquet", rows)), folder / "index")
    return folder / "index"


@pytest.fixture
def changing(several: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(several, tmp_path / "changing"))


def queries(index: ProductIndex, count: int) -> np.ndarray:
    made: np.ndarray = np.random.default_rng(0).normal(size=(count, index.manifest.vector_size)).astype(np.float32)
    return made


def assert_same(mine: list[Hit], theirs: list[Hit], query: np.ndarray) -> None:
    scores = [[hit.score for hit in hits] for hits in (mine, theirs)]
    np.testing.assert_allclose(scores[0], scores[1], atol=3e-3)  # 12 bits; images that are alike may change places
    lowest = min(scores[0], default=0.0) + 3e-3
    others = {hit.id: hit for hit in theirs}
    assert {hit.id for hit in mine if hit.score > lowest} <= set(others)
    for one in mine:
        assert one.score == pytest.approx(float(one.vector @ query), abs=1e-4)
        if one.id in others:
            other = others[one.id]
            assert (one.product_id, one.texts, one.metadata) == (other.product_id, other.texts, other.metadata)
            assert (one.tokens is None) == (other.tokens is None)
            if one.tokens is not None and other.tokens is not None:
                np.testing.assert_array_equal(one.tokens, other.tokens)
            np.testing.assert_allclose(one.vector, other.vector, atol=3e-3)


@pytest.mark.parametrize("where", [None, "price < 12", "colour = 'red' or stock = 3", "price < 0"])
def test_memory_is_searched_as_the_table(several: Path, where: str | None) -> None:
    index = ProductIndex.open(several).pinned()
    contents = Contents(index)
    contents.read(index)
    memory = MemoryIndex(index, contents)
    assert len(memory) == len(index)
    for query in queries(index, 10):
        for k, tokens in ((1, True), (4, False), (11, True), (100, False)):
            mine = memory.vector_search(query, k, where, tokens=tokens)
            assert len({hit.product_id for hit in mine}) == len(mine)
            assert_same(mine, index.vector_search(query, k, where, tokens=tokens), query)


def test_versions_share_what_they_have_in_common(changing: Path, tmp_path: Path) -> None:
    engine = SearchEngine.open(changing, bf16=False, recall_from="memory")
    before = engine.pinned()
    assert engine.read_into_memory() > 0
    first = before.in_memory
    assert first is not None
    in_memory = len(first)
    rows = [priced_rows()[0] | {"id": "another"}, priced_rows()[3] | {"price": 999.0}]
    add_to_index(changing, source_of(write_table(tmp_path / "more.parquet", rows)))
    remove_from_index(changing, ids=["red-circle"])
    engine.search("a red circle", full_text=False)
    after = engine.pinned()
    second = after.in_memory
    assert second is not None
    contents = engine._in_memory._contents  # type: ignore[union-attr]
    assert contents is not None
    assert in_memory < len(contents.vectors) <= in_memory + 4, "only the change was read"
    for view, memory in ((before, first), (after, second)):
        assert isinstance(view.index, ProductIndex)
        assert len(memory) == len(view.index)
        for query in queries(view.index, 5):
            for where in (None, "price > 900", "not colour = 'red'"):
                assert_same(memory.vector_search(query, 9, where), view.index.vector_search(query, 9, where), query)
    former = before.in_memory
    before.in_memory = None
    engine.search_many([Query((Part("red"),), version=before.version)])
    assert before.in_memory is None, "a later version is in memory, which an earlier one would spoil"
    before.in_memory = former
    products = {hit.product_id for hit in second.vector_search(queries(after.index, 1)[0], 100)}  # type: ignore[arg-type]
    assert "another" in products
    assert "red-circle" not in products


def test_a_search_reads_memory_once_it_is_there_and_the_disk_before(
    changing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_versions.MemoryVersions, "_start", lambda *_: None)
    engine = SearchEngine.open(changing, bf16=False, recall_from="memory")
    disk = engine.search("a red circle", full_text=False, duplicates=None)
    assert engine.pinned().in_memory is None
    engine.read_into_memory()
    monkeypatch.setattr(ProductIndex, "vector_search", None)
    memory = engine.search("a red circle", full_text=False, duplicates=None)
    assert [hit.id for hit in memory] == [hit.id for hit in disk]
    np.testing.assert_allclose(
        [hit.probability or 0 for hit in memory], [hit.probability or 0 for hit in disk], atol=2e-3
    )


def test_what_was_read_is_thrown_away_once_much_of_it_is_gone(changing: Path) -> None:
    engine = SearchEngine.open(changing, bf16=False, recall_from="memory")
    engine.read_into_memory()
    names = sorted({hit.product_id for hit in engine.search("red", top_k=24, candidates=48, duplicates=None)})
    remove_from_index(changing, ids=names[:12])
    engine.search("a red circle")
    view = engine.pinned()
    keeper = engine._in_memory
    assert keeper is not None
    view_rows = len(view.index)
    for _ in range(500):
        if keeper._contents is not None and len(keeper._contents.vectors) == view_rows:
            break
        time.sleep(0.02)
    assert keeper._contents is not None
    assert len(keeper._contents.vectors) == view_rows
    assert view.in_memory is not None
    assert len(view.in_memory) == view_rows


def test_twelve_bits_order_what_eight_bits_found() -> None:
    generator = np.random.default_rng(0)
    vectors = unit_rows(generator.normal(size=(3000, 33)).astype(np.float32))
    compact = CompactVectors(vectors[:1500], len(vectors))
    compact.add(vectors[:1000])
    compact.add(vectors[1000:])
    differences = np.abs(compact.vectors(np.arange(3000)) - vectors)
    assert np.quantile(differences, 0.999) < 2e-3
    chosen = generator.random(3000) < 0.1
    every, some = compact.selection(None), compact.selection(chosen)
    assert (every.matching, some.matching) == (3000, chosen.sum())
    for query in unit_rows(generator.normal(size=(20, 33)).astype(np.float32)):
        order = np.argsort(-(vectors @ query))
        assert len(set(compact.nearest(query, 50, every)[0].tolist()) & set(order[:50].tolist())) >= 49
        among = [place for place in order.tolist() if chosen[place]][:50]
        assert len(set(compact.nearest(query, 50, some)[0].tolist()) & set(among)) >= 49


def test_a_filter_that_lets_through_only_what_is_unlike_the_query_is_looked_into_farther_away() -> None:
    generator = np.random.default_rng(0)
    centres = unit_rows(generator.normal(size=(2, 8)).astype(np.float32))
    kind = np.arange(60_000) % 6 == 0
    vectors = unit_rows(np.where(kind[:, None], centres[:1], centres[1:]) + 0.1 * generator.normal(size=(60_000, 8)))
    vectors = vectors.astype(np.float32)
    compact = CompactVectors(vectors[:20_000], len(vectors))
    compact.add(vectors)
    selection = compact.selection(kind)
    for query in unit_rows(centres[1:] + 0.1 * generator.normal(size=(10, 8))).astype(np.float32):
        nearest = np.flatnonzero(kind)[np.argsort(-(vectors[kind] @ query))][:50]
        found = compact.nearest(query, 50, selection)[0]
        assert len(set(found.tolist()) & set(nearest.tolist())) >= 48


def test_vectors_that_fit_are_found_as_before() -> None:
    made = np.random.default_rng(0).normal(size=(900, 24)).astype(np.float32)
    vectors = CompactVectors(made, 900)
    vectors.add(made[:500])
    before = [vectors.nearest(one, 10, vectors.selection(None)) for one in made[:20]]
    vectors.fit_memory()
    for one, (positions, found) in zip(made[:20], before, strict=True):
        again, same = vectors.nearest(one, 10, vectors.selection(None))
        np.testing.assert_array_equal(again, positions)
        np.testing.assert_array_equal(same, found)
    first = vectors.selection(None)
    vectors.add(made[500:])
    assert len(vectors) == 900
    assert sorted(vectors.nearest(made[850], 500, first)[0].tolist()) == list(range(500))  # not what came since
    np.testing.assert_allclose(vectors.vectors(np.arange(900)), made, atol=0.05)
    assert vectors.nearest(made[850], 1, vectors.selection(None))[0].tolist() == [850]
