"""Titles are ranked as a fresh build ranks them, whatever was added, changed and removed since."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from lancedb.index import FTS, IvfSq
from tests.conftest import draw, file_bytes
from tests.search.conftest import source_of, write_table

from interbert.search.ann_parameters import Probing
from interbert.search.build import build_index
from interbert.search.changes import add_to_index, remove_from_index
from interbert.search.index import Hit, ProductIndex
from interbert.search.manifest import Manifest
from interbert.search.writer import IndexWriter, Product

DRESSES = {f"dress-{place}": f"classic dress {place}" for place in range(29)} | {"for-men": "sandals for men"}
SANDALS = {f"leather-{place:02}": "leather sandals" for place in range(12)}
QUERIES = ("leather sandals", "sandal", "men's dresses", "classic 7", "dress")


@pytest.fixture
def empty(index_path: Path) -> Callable[[str], ProductIndex]:
    """Makes indexes without rows and without indexes of columns."""

    def make(name: str) -> ProductIndex:
        path = Path(shutil.copytree(index_path, index_path.parent / name))
        index = ProductIndex.open(path)
        index.table.delete("true")
        for one in index.table.list_indices():
            index.table.drop_index(one.name)
        return index

    return make


def product(name: str, texts: Sequence[str], product_id: str | None = None, vector: object = None) -> Product:
    given = np.eye(9)[0] if vector is None else vector
    floats = np.asarray(given, dtype=np.float32)
    return Product(name, product_id or name, "", tuple(texts), b"", floats, np.ones((2, 24), np.float32))


def put(index: ProductIndex, products: Sequence[Product], known: bool = False) -> IndexWriter:
    """Write products without columns; nothing is maintained."""
    writer = IndexWriter(index)
    kinds = {"m_price": pa.float64(), "m_colour": pa.string(), "m_stock": pa.int64(), "m_sale": pa.bool_()}
    writer.put(products, {name: pa.nulls(len(products), kind) for name, kind in kinds.items()}, known)
    return writer


def titled(titles: Mapping[str, str]) -> list[Product]:
    return [product(name, [title]) for name, title in titles.items()]


def ranking(index: ProductIndex, text: str, k: int = 100) -> list[tuple[str, float]]:
    return [(hit.id, round(hit.score, 4)) for hit in index.full_text_search(text, k)]


def fresh(empty: Callable[[str], ProductIndex], titles: Mapping[str, str], name: str) -> ProductIndex:
    index = empty(name)
    put(index, titled(titles)).maintain(finished=True)
    return index


def require_same(index: ProductIndex, other: ProductIndex) -> None:
    for text in QUERIES:
        assert ranking(index, text) == ranking(other, text), text
        assert ranking(index, text, 3) == ranking(other, text)[:3], text


def test_added_updated_and_removed_titles_count_as_in_a_fresh_build(empty: Callable[[str], ProductIndex]) -> None:
    index = empty("changed")
    put(index, titled(DRESSES)).maintain(finished=True)
    put(index, titled(SANDALS)).maintain()
    require_same(index, fresh(empty, DRESSES | SANDALS, "added"))
    assert [name for name, _ in ranking(index, "leather sandals", 12)] == sorted(SANDALS)

    boots = {f"dress-{place}": "leather boots for men" for place in range(3, 7)}
    put(index, titled(boots), known=True).maintain()
    require_same(index, fresh(empty, DRESSES | SANDALS | boots, "replaced"))

    one = {"dress-9": "men's sandals"}
    writer = IndexWriter(index)
    writer.update({"picture_id": pa.array(["dress-9"]), "fulltext": pa.array(["men's sandals"])})
    writer.maintain()
    require_same(index, fresh(empty, DRESSES | SANDALS | boots | one, "updated"))

    writer.update({"picture_id": pa.array(["dress-11"]), "m_price": pa.array([2.0])})
    writer.maintain()
    require_same(index, fresh(empty, DRESSES | SANDALS | boots | one, "priced"))

    assert writer.delete("picture_id = 'leather-00'") == 1
    writer.maintain()
    left = {name: title for name, title in (DRESSES | SANDALS | boots | one).items() if name != "leather-00"}
    require_same(index, fresh(empty, left, "removed"))


def test_a_command_that_was_killed_is_made_up_for_by_the_next(empty: Callable[[str], ProductIndex]) -> None:
    index = empty("killed")
    put(index, titled(DRESSES | SANDALS)).maintain()
    writer = IndexWriter(index)
    writer.delete("picture_id = 'leather-00'")  # killed before it maintains
    left = {name: title for name, title in (DRESSES | SANDALS).items() if name != "leather-00"}
    writer.maintain()
    require_same(index, fresh(empty, left, "left"))
    version = index.table.version
    writer.maintain()
    assert index.table.version == version, "nothing was changed, so nothing is made anew"


@pytest.mark.slow
def test_titles_added_by_the_command_rank_as_in_a_build_of_all(model: Path, tmp_path: Path) -> None:
    image = {"bytes": file_bytes(draw("red", "circle")), "path": "a.png"}
    rows = [{"image": image, "title": title, "title_zh": "", "id": name} for name, title in DRESSES.items()]
    more = [{"image": image, "title": title, "title_zh": "", "id": name} for name, title in SANDALS.items()]
    first, second = write_table(tmp_path / "a.parquet", rows), write_table(tmp_path / "b.parquet", more)
    build_index(model, source_of(first), tmp_path / "index")
    add_to_index(tmp_path / "index", source_of(second))
    build_index(model, source_of(write_table(tmp_path / "c.parquet", rows + more)), tmp_path / "whole")
    index, whole = ProductIndex.open(tmp_path / "index"), ProductIndex.open(tmp_path / "whole")
    require_same(index, whole)
    assert ranking(index, "leather sandals", 1)[0][0] == "leather-00"
    assert ranking(index, "leather sandals")[12][0] == "for-men"
    remove_from_index(tmp_path / "index", where="picture_id contains 'leather'")
    build_index(model, source_of(first), tmp_path / "less")
    require_same(index, ProductIndex.open(tmp_path / "less"))


def test_products_with_many_images_leave_room_for_others(empty: Callable[[str], ProductIndex]) -> None:
    index = empty("shirts")
    shirts = [
        product(f"shirt-{number}#{number_of_image}", [f"red shirt {number}"], f"shirt-{number}")
        for number in range(12)
        for number_of_image in range(8)
    ]
    put(index, [*shirts, product("hat", ["blue hat"])]).maintain()
    for k in (1, 3, 10, 12):
        hits = index.full_text_search("red shirt", k)
        assert [hit.product_id for hit in hits] == sorted(f"shirt-{number}" for number in range(12))[:k]
        assert [hit.id for hit in hits] == [f"{hit.product_id}#0" for hit in hits]
    assert len(index.full_text_search("red shirt", 50)) == 12
    assert len(index.full_text_search("red blue", 50)) == 13
    (hit,) = index.full_text_search("red shirt", 3, "product_id = 'shirt-3'", tokens=True)
    assert hit.tokens is not None
    assert hit.metadata["price"] is None


def test_recall_looks_further_where_one_product_fills_the_partitions(
    empty: Callable[[str], ProductIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    from interbert.search import ann_parameters

    monkeypatch.setattr(ann_parameters, "INDEX_FROM", 10)
    index = empty("full")
    rng = np.random.default_rng(0)
    near = np.eye(9)[0] + 0.01 * rng.normal(size=(300, 9))
    far = -np.eye(9)[0] + 0.3 * rng.normal(size=(40, 9))
    many = [product(f"many#{place}", ["many"], "many", vector) for place, vector in enumerate(near)]
    put(index, [*many, *(product(f"p{place}", ["one"], None, vector) for place, vector in enumerate(far))]).maintain()
    assert index.indexed_rows() == 340
    query = np.eye(9, dtype=np.float32)[0]
    exact = [hit.id for hit in index.vector_search(query, 10, exact=True)]
    assert len(exact) == 10
    assert [hit.id for hit in index.vector_search(query, 10, probes=Probing(1, 2.0))] == exact
    assert len(index.vector_search(query, 320, probes=Probing(1, 2.0), every_image=True)) == 320


def test_plurals_characters_and_parts_of_names_are_found(empty: Callable[[str], ProductIndex]) -> None:
    index = empty("words")
    titles = {
        "tomato": ["Tomato"],
        "hat": ["橄榄绿帽子"],
        "router": ["TP-Link AX3000 router"],
        "dress": ["Women's red dress", "女士红色连衣裙"],
        "cafe": ["Café chairs"],
        "scarf": ["灰色围巾"],
    }
    put(index, [product(name, texts) for name, texts in titles.items()]).maintain()
    for text, wanted in {
        "tomatoes": "tomato",
        "帽子": "hat",
        "帽": "hat",
        "绿帽子": "hat",
        "3000": "router",
        "ax 3000": "router",
        "AX3000": "router",
        "routers": "router",
        "dresses for women": "dress",
        "红裙": "dress",
        "cafe chair": "cafe",
        "围巾": "scarf",
    }.items():
        assert [hit.id for hit in index.full_text_search(text, 1)] == [wanted], text
    assert index.full_text_search("tom", 5) == []
    assert index.full_text_search("!?", 5) == []


def test_words_are_stemmed_in_the_language_of_the_columns(empty: Callable[[str], ProductIndex]) -> None:
    index = empty("german")
    german = {**index.manifest.mapping, "texts": ["titel_de", "titel_zh"]}
    index = ProductIndex(index.path, build=replace(index.manifest, mapping=german))
    put(index, [product("house", ["Häuser"]), product("tree", ["Bäume"]), product("hat", ["帽子"])]).maintain()
    assert [hit.id for hit in index.full_text_search("haus", 5)] == ["house"]
    assert [hit.id for hit in index.full_text_search("Baum", 5)] == ["tree"]
    assert [hit.id for hit in index.full_text_search("帽子", 5)] == ["hat"]


@pytest.fixture
def old(empty: Callable[[str], ProductIndex]) -> ProductIndex:
    """An index as version 0.1.0 wrote it: whole texts, cut into words by ICU."""
    index = empty("old")
    put(index, [product("tomato", ["Tomato"]), product("hat", ["橄榄绿帽子", "olive hat"])])
    whole = pa.table({"picture_id": ["tomato", "hat"], "fulltext": ["Tomato", "橄榄绿帽子\nolive hat"]})
    index.table.merge_insert("picture_id").when_matched_update_all().execute(whole)
    words = FTS(base_tokenizer="icu", stem=False, remove_stop_words=False)
    index.table.create_index("fulltext", config=words, name="fulltext_idx")
    return index


def test_an_index_of_an_earlier_version_is_searched_by_its_words(old: ProductIndex) -> None:
    assert [hit.id for hit in old.full_text_search("tomato", 3)] == ["tomato"]
    assert [hit.id for hit in old.full_text_search("olive Hat", 3)] == ["hat"]
    assert old.full_text_search("tomatoes", 3) == []


def test_the_first_change_of_an_index_of_an_earlier_version_brings_terms(old: ProductIndex) -> None:
    searching = ProductIndex.open(old.path)
    put(old, [product("boots", ["AX3000 boots"])]).maintain()
    for text, wanted in (("tomatoes", "tomato"), ("帽子", "hat"), ("hats", "hat"), ("3000", "boots")):
        assert [hit.id for hit in searching.full_text_search(text, 3)] == [wanted]
    other = Manifest.from_json(old.manifest.to_json(), "index")
    assert other == old.manifest


def test_an_open_handle_counts_what_a_filter_lets_through_in_the_table_that_it_searches(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.search.conftest import priced_rows

    from interbert.search import table as table_module

    monkeypatch.setattr(table_module, "_REFRESH_SECONDS", 0.0)
    rows = priced_rows()[:6]
    blue = [row | {"colour": "blue"} for row in rows]
    path = tmp_path / "index"
    build_index(model, source_of(write_table(tmp_path / "blue.parquet", blue)), path)
    searching = ProductIndex.open(path)
    vector = np.ones(9, dtype=np.float32)
    pinned = searching.pinned()
    assert searching.vector_search(vector, 10, "colour = 'red'") == []
    build_index(model, source_of(write_table(tmp_path / "rows.parquet", rows)), path, rebuild=True)

    def found(index: ProductIndex) -> list[Hit]:
        return index.vector_search(vector, 10, "colour = 'red'")

    assert [hit.id for hit in found(searching)] == [hit.id for hit in found(ProductIndex.open(path))] == ["red-circle"]
    assert found(pinned) == []
    assert len(searching.vector_search(vector, 10, "colour = 'blue'")) == 1


def test_an_open_handle_knows_the_partitions_of_the_table_that_it_searches(
    model: Path, priced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interbert.search import table as table_module

    monkeypatch.setattr(table_module, "_REFRESH_SECONDS", 0.0)

    def build(partitions: int) -> None:
        build_index(model, source_of(priced), tmp_path / "index", rebuild=partitions > 2)
        approximate = IvfSq(distance_type="l2", num_partitions=partitions)
        ProductIndex.open(tmp_path / "index").table.create_index("vector", config=approximate, name="vector_idx")

    build(2)
    searching = ProductIndex.open(tmp_path / "index")
    version = searching.table.version
    assert searching.partitions() == 2
    build(3)
    searching.refresh()
    assert (searching.table.version, searching.partitions()) == (version, 3)
