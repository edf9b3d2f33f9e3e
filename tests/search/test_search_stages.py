"""Many queries at once are answered as one by one, of the version that they name."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import draw
from tests.search.conftest import priced_rows, source_of, write_table

from interbert import SearchEngine
from interbert.errors import ColumnError, FilterError, InterBertError, UnknownProductError, UsageError, VersionGone
from interbert.model.scoring import score_embedded
from interbert.search import table, versions
from interbert.search.build import build_index
from interbert.search.changes import add_to_index, remove_from_index
from interbert.search.index import ProductIndex
from interbert.search.joint import cast_once, padded
from interbert.search.memory import RowsInMemory
from interbert.search.query import Found, Part, Query
from interbert.search.query_encoder import ProductEncoder
from interbert.search.vectors import unit_rows

TEXTS = (
    "a red circle",
    "yellow",
    "白纸上的红色圆形",
    "a small green triangle on white paper, seen from above",
    "red circle",
)


def of(text: str, **options: object) -> Query:
    return Query((Part(text),), **options)  # type: ignore[arg-type]


def found(answer: Found | InterBertError) -> Found:
    assert isinstance(answer, Found), answer
    return answer


def ids(page: Found) -> list[str]:
    return [hit.id for hit in page.hits]


def read_into_memory(engine: SearchEngine) -> None:
    engine.pinned().seconds = 1e9
    assert isinstance(engine.search_many([of("red")])[0], Found)
    assert engine.pinned().rows is not None


@pytest.fixture(scope="module")
def engine(built: Path) -> SearchEngine:
    """All of its searches ask the database."""
    engine = SearchEngine.open(built, bf16=False)
    engine.memory = 0
    return engine


@pytest.fixture(scope="module")
def fast(built: Path) -> SearchEngine:
    engine = SearchEngine.open(built, bf16=False)
    read_into_memory(engine)
    return engine


@pytest.fixture(scope="module")
def several(model: Path, tmp_path_factory: pytest.TempPathFactory) -> ProductIndex:
    """An index with up to four images of a product, and equal ones."""
    folder = tmp_path_factory.mktemp("several")
    rows = priced_rows()
    rows += [row | {"id": rows[place // 2]["id"]} for place, row in enumerate(rows)]
    rows += [row | {"id": f"again-{row['id']}"} for row in rows[:3]]
    build_index(model, source_of(write_table(folder / "shop.parquet", rows)), folder / "index")
    return ProductIndex.open(folder / "index")


def test_many_at_once_are_as_one_by_one(engine: SearchEngine, fast: SearchEngine) -> None:
    image = draw("green", "triangle")
    likeness = engine.encoder.image_vector(image)
    queries = [of(text, duplicates=None) for text in TEXTS]
    queries += [of(text, where="price < 15", candidates=6, top_k=3) for text in TEXTS]
    queries += [Query((Part(vector=likeness),)), of("red", rerank=False), of("red", full_text=False)]
    queries.append(Query((Part("a red circle", weight=0.3), Part(vector=likeness, weight=0.7))))
    alone = [engine.search(text, duplicates=None) for text in TEXTS]
    alone += [engine.search(text, where="price < 15", candidates=6, top_k=3) for text in TEXTS]
    alone += [engine.search(image=image), engine.search("red", rerank=False), engine.search("red", full_text=False)]
    alone.append(engine.search("a red circle", image, image_weight=0.7))
    for answers in (engine.search_many(queries), fast.search_many(queries)):
        for answer, hits in zip(answers, alone, strict=True):
            page = found(answer)
            assert ids(page) == [hit.id for hit in hits]
            assert [hit.rank for hit in page.hits] == [hit.rank for hit in hits]
            assert [(hit.similar, hit.metadata, hit.texts) for hit in page.hits] == [
                (hit.similar, hit.metadata, hit.texts) for hit in hits
            ]
            np.testing.assert_allclose([hit.score for hit in page.hits], [hit.score for hit in hits], atol=1e-5)
            for mine, other in zip(page.hits, hits, strict=True):
                assert mine.probability == pytest.approx(other.probability, abs=1e-5)


def test_a_model_that_does_not_read_jointly_reads_no_regions_for_a_search(
    make_model: Callable[..., Path], priced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model(query_bank_size=5, hub_correction=0.4, dual_score_offset=-1.5)
    build_index(folder, source_of(priced), tmp_path / "index")
    monkeypatch.setattr(ProductIndex, "tokens_of", None)
    engine = SearchEngine.open(tmp_path / "index", bf16=False)
    memory, engine.memory = engine.memory, 0
    (query,) = engine.encoder.texts(["a red circle"])[1]
    from_table = engine.search("a red circle", full_text=False, duplicates=None)
    engine.memory = memory
    read_into_memory(engine)
    in_memory = engine.search("a red circle", full_text=False, duplicates=None)
    assert [hit.id for hit in from_table] == [hit.id for hit in in_memory]
    for hit in (*from_table, *in_memory):
        assert hit.probability == pytest.approx(1 / (1 + np.exp(1.5 - 2.0 * float(hit.vector @ query))), abs=1e-5)


@pytest.mark.parametrize("where", [None, "price < 12", "colour = 'red'", "price < 0"])
def test_rows_in_memory_are_searched_as_the_table(several: ProductIndex, where: str | None) -> None:
    rows = RowsInMemory(several.pinned())
    mask = rows.mask(several.condition(where))
    queries = np.random.default_rng(0).normal(size=(20, several.manifest.vector_size)).astype(np.float32)
    for query, line in zip(queries, rows.distances(list(queries)), strict=True):
        for k in (1, 4, 11, 100):
            mine = [rows.hits([row], tokens=True)[row] for row in rows.nearest(line, query, k, mask)]
            theirs = several.vector_search(query, k, where, tokens=True)
            near = [[round(float(hit.vector @ query), 5) for hit in hits] for hits in (mine, theirs)]
            np.testing.assert_allclose(near[0], near[1], atol=2e-5)  # images that are alike may change places
            same = [(one, other) for one in mine for other in theirs if one.id == other.id]
            lowest = min(near[0], default=0.0) + 2e-5
            assert {hit.id for hit, nearness in zip(mine, near[0], strict=True) if nearness > lowest} <= {
                other.id for _, other in same
            }
            for one, other in same:
                assert (one.texts, one.metadata) == (other.texts, other.metadata)
                assert one.tokens is not None
                assert other.tokens is not None
                np.testing.assert_array_equal(one.tokens, other.tokens)
                np.testing.assert_allclose(one.vector, other.vector, atol=1e-6)


def test_a_wrong_query_spoils_no_other(engine: SearchEngine, fast: SearchEngine) -> None:
    vector = np.ones(3, np.float32)
    wrong = {
        "holds no word": of("😀🎉"),
        "is empty": of(" "),
        "character 9": of("red", where="price < cheap"),
        "Did you mean 'colour'": of("red", facets=("color",)),
        "no column 'prise'": of("red", sort=("prise", True)),
        "top_k must be": of("red", top_k=0),
        "offset must be": of("red", offset=-1),
        "give a text": Query(()),
        "one of a text and a vector": Query((Part(),)),
        "must have 9 finite numbers": Query((Part(vector=vector),)),
        "weight of part 0": Query((Part("red", weight=-1.0),)),
        "a weight above 0": Query((Part("red", weight=0.0),)),
        "between 0 and 1": of("red", min_probability=2.0),
        "alone give probabilities": of("red", min_probability=0.5, rerank=False),
        "is gone": of("red", version="products_0000_00000000@1"),
    }
    for one in (engine, fast):
        good, *answers = one.search_many([of("a red circle"), *wrong.values()])
        assert ids(found(good)) == [hit.id for hit in one.search("a red circle")]
        for said, answer in zip(wrong, answers, strict=True):
            assert isinstance(answer, InterBertError)
            assert said in str(answer)
        kinds = dict(zip(wrong, map(type, answers), strict=True))
        assert kinds["character 9"] is FilterError
        assert kinds["no column 'prise'"] is ColumnError
        assert kinds["is gone"] is VersionGone


def test_pages_are_slices_of_one_ranking(fast: SearchEngine) -> None:
    whole = found(fast.search_many([of("a red circle", top_k=100, duplicates=None)])[0])
    assert whole.total == len(whole.hits) == 24
    pages = fast.search_many([of("a red circle", top_k=5, offset=start, duplicates=None) for start in range(0, 30, 5)])
    joined = [hit for page in pages for hit in found(page).hits]
    assert [hit.id for hit in joined] == ids(whole)
    assert [hit.rank for hit in joined] == list(range(1, 25))
    assert {found(page).total for page in pages} == {24}
    assert found(pages[-1]).hits == []


def test_results_are_sorted_counted_and_cut(fast: SearchEngine) -> None:
    relevant = found(fast.search_many([of("a red circle", top_k=24, duplicates=None)])[0])
    options = {"top_k": 24, "duplicates": None, "facets": ("colour", "stock", "sale")}
    up, down, likely = map(
        found,
        fast.search_many(
            [
                of("a red circle", sort=("stock", False), **options),
                of("a red circle", sort=("price", True), where="price < 10", **options),
                of("a red circle", min_probability=float(np.median(probabilities(relevant))), **options),
            ]
        ),
    )
    order = {name: place for place, name in enumerate(ids(relevant))}
    assert ids(up) == sorted(order, key=lambda name: (stock(relevant, name), order[name]))
    assert [hit.metadata["price"] for hit in down.hits] == [9.0, 8.0, 7.0, 6.0, 5.0]
    assert up.facets["stock"] == [(0, 6), (1, 6), (2, 6), (3, 6)]
    assert up.facets["sale"] == [(False, 12), (True, 12)]
    assert [count for _, count in up.facets["colour"]] == [3] * 8
    assert ids(likely) == [
        hit.id for hit in relevant.hits if (hit.probability or 0) >= np.median(probabilities(relevant))
    ]
    assert likely.total == 12
    assert sum(count for _, count in likely.facets["sale"]) == 12


def probabilities(page: Found) -> list[float]:
    return [hit.probability for hit in page.hits if hit.probability is not None]


def stock(page: Found, name: str) -> int:
    return int(next(hit.metadata["stock"] for hit in page.hits if hit.id == name))


def test_lists_and_missing_values(model: Path, tmp_path: Path) -> None:
    tags = [["new", "paper"], ["paper"], [], None, ["new", "new"]]
    rows = [
        row | {"tags": tag, "size": size}
        for row, tag, size in zip(priced_rows()[:5], tags, (3, None, 1, None, 2), strict=True)
    ]
    build_index(model, source_of(write_table(tmp_path / "tagged.parquet", rows)), tmp_path / "index")
    engine = SearchEngine.open(tmp_path / "index", bf16=False)
    for descending, sizes in ((False, [1, 2, 3, None, None]), (True, [3, 2, 1, None, None])):
        query = of("red", sort=("size", descending), facets=("tags", "size"), duplicates=None)
        page = found(engine.search_many([query])[0])
        assert [hit.metadata["size"] for hit in page.hits] == sizes
        assert page.facets == {"tags": [("new", 2), ("paper", 2)], "size": [(1, 1), (2, 1), (3, 1)]}


def test_parts_count_by_their_weights(fast: SearchEngine) -> None:
    options = {"top_k": 24, "duplicates": None, "full_text": False}
    parts = [Part("a red circle", weight=3.0), Part("blue square", weight=1.0)]
    both, first, second = map(
        found,
        fast.search_many([Query(tuple(one), **options) for one in (parts, parts[:1], parts[1:])]),  # type: ignore[arg-type]
    )
    odds = [
        {hit.id: float(np.log(hit.probability / (1 - hit.probability))) for hit in page.hits if hit.probability}
        for page in (both, first, second)
    ]
    for name, value in odds[0].items():
        assert value == pytest.approx(0.75 * odds[1][name] + 0.25 * odds[2][name], abs=1e-3)
    scores = [{hit.id: hit.score for hit in page.hits} for page in (both, first, second)]
    names = list(scores[0])
    lines = [np.array([one[name] for name in names]) for one in scores]
    mixed = sum(w * (line - line.mean()) / line.std() for w, line in zip((0.75, 0.25), lines[1:], strict=True))
    np.testing.assert_allclose(lines[0], mixed, atol=1e-4)


def test_a_pinned_version_sees_no_later_change(index_path: Path, tmp_path: Path) -> None:
    engine = SearchEngine.open(index_path, bf16=False)
    before = engine.version
    query = of("a red circle", top_k=30, duplicates=None)
    first = found(engine.search_many([query])[0])
    assert first.version == before
    remove_from_index(index_path, ids=["red-circle"])
    row = priced_rows()[0] | {"id": "another"}
    add_to_index(index_path, source_of(write_table(tmp_path / "more.parquet", [row])))
    assert engine.version != before
    pinned = Query(query.parts, top_k=30, duplicates=None, version=before)
    for _ in ("database", "memory"):
        later, newest = map(found, engine.search_many([pinned, query]))
        assert (ids(later), later.version) == (ids(first), before)
        assert {"another"} == set(ids(newest)) - set(ids(first))
        assert {"red-circle"} == set(ids(first)) - set(ids(newest))
        for one in (before, None):
            engine.pinned(one).seconds = 1e9


def test_versions_outlive_one_rebuild_and_are_gone_after_two(
    index_path: Path, priced: Path, model: Path, make_model: Callable[..., Path]
) -> None:
    other = make_model(seed=5, query_bank_size=5, hub_correction=0.4)
    engine = SearchEngine.open(index_path, bf16=False)
    query = of("a red circle", version=engine.version)
    first = found(engine.search_many([query])[0])
    build_index(other, source_of(priced), index_path, rebuild=True)
    later = found(SearchEngine.open(index_path, bf16=False).search_many([query])[0])
    assert (ids(later), later.version) == (ids(first), first.version)
    np.testing.assert_allclose(probabilities(later), probabilities(first), atol=1e-6)
    build_index(other, source_of(priced), index_path, rebuild=True)
    assert isinstance(SearchEngine.open(index_path, bf16=False).search_many([query])[0], VersionGone)
    assert isinstance(engine.search_many([query])[0], VersionGone)
    for one in ("", "x", "products_0000_0@", f"{query.version}9", "a@-1"):
        answer = engine.search_many([of("red", version=one or "@")])[0]
        assert isinstance(answer, VersionGone)


def test_the_build_before_is_searched_until_a_new_model_is_loaded(
    index_path: Path, priced: Path, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SearchEngine.open(index_path, bf16=False)
    engine.load_models_aside()
    query = of("a red circle")
    first = found(engine.search_many([query])[0])
    build_index(make_model(seed=6, query_bank_size=5, hub_correction=0.4), source_of(priced), index_path, rebuild=True)
    may_load, load = threading.Event(), versions.index_encoder

    def slowly(*args: Any, **options: Any) -> ProductEncoder:
        assert may_load.wait(60)
        return load(*args, **options)

    monkeypatch.setattr(versions, "index_encoder", slowly)
    monkeypatch.setattr(table, "_REFRESH_SECONDS", 0.0)
    for _ in range(3):
        assert found(engine.search_many([query])[0]).version == first.version
    may_load.set()
    until = time.monotonic() + 60
    while (later := found(engine.search_many([query])[0])).version == first.version:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert later.version == engine.version
    newest = SearchEngine.open(index_path, bf16=False).search("a red circle")
    np.testing.assert_allclose(probabilities(later), [hit.probability for hit in newest], atol=1e-6)


def test_memory_is_bounded_and_waits_until_it_pays(built: Path) -> None:
    engine = SearchEngine.open(built, bf16=False)
    engine.search("red")
    view = engine.pinned()
    assert view.seconds > 0
    view.seconds, engine.memory = 1e9, 1000
    engine.search("red")
    assert view.rows is None
    view.seconds, engine.memory = 1e9, 10**8
    engine.search("red")
    assert view.rows is not None
    assert 0 < view.rows.nbytes < 10**8


def test_products_like_one(fast: SearchEngine) -> None:
    page = fast.similar("green-triangle", top_k=23, duplicates=None)
    assert "green-triangle" not in ids(page)
    assert page.total == 23
    itself = fast.index.vector_search(fast.product_vector("green-triangle"), 24)
    assert itself[0].id == "green-triangle"
    assert ids(page) == [hit.id for hit in itself[1:]]
    with pytest.raises(UnknownProductError, match="'gone'"):
        fast.product_vector("gone")
    with pytest.raises(UsageError, match="top_k must be"):
        fast.similar("green-triangle", top_k=0)


def test_a_page_without_scores_is_recalls_order(fast: SearchEngine) -> None:
    view = fast.pinned()
    query = of("a red circle", min_probability=0.9)
    (candidates,) = fast.recall(view, fast.encode(view, [query]))  # type: ignore[arg-type]
    page = fast.page(view, query, candidates, None)  # type: ignore[arg-type]
    assert ids(page) == [hit.id for hit in fast.search("a red circle", rerank=False)]
    assert {hit.probability for hit in page.hits} == {None}


def test_texts_have_one_vector_in_every_batch(built: Path) -> None:
    encoder = SearchEngine.open(built).encoder
    _, together = encoder.texts(TEXTS)
    alone = np.concatenate([encoder.texts([text])[1] for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(unit_rows(alone), axis=1), 1, atol=1e-6)


def test_weights_that_are_cast_once_give_the_same_numbers(fast: SearchEngine) -> None:
    model = fast.encoder.model
    assert cast_once(model, False) is model
    twin = cast_once(model, True)
    linear = twin.interbert.text_layers[0] if hasattr(twin.interbert, "text_layers") else twin.interbert
    assert {one.dtype for one in linear.parameters()} == {torch.bfloat16, torch.float32}
    assert {one.dtype for one in model.parameters()} == {torch.float32}
    ids_of, _ = fast.encoder.texts(["a red circle", "yellow"])
    tokens = fast.index.regions(["red-circle", "blue-square"])
    embedded, counts = padded(tokens, model.device)
    places = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    scores = [score_embedded(one, ids_of, embedded, counts, *places, bf16=True) for one in (model, twin)]
    np.testing.assert_array_equal(*scores)


def test_an_index_that_is_gone_is_said(index_path: Path) -> None:
    engine = SearchEngine.open(index_path, bf16=False)
    query = of("red", version=engine.version)
    assert isinstance(engine.search_many([query])[0], Found)
    shutil.rmtree(index_path / f"{str(query.version).split('@')[0]}.lance")
    assert isinstance(engine.search_many([query])[0], VersionGone)
