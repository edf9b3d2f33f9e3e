from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import draw
from tests.search.conftest import priced_rows, source_of, write_table

from interbert import InterBertForImageTextRetrieval, InterBertProcessor, SearchEngine
from interbert.errors import FilterError, ImageError, UsageError
from interbert.search.build import build_index


@pytest.fixture(scope="module")
def engine(built: Path) -> SearchEngine:
    return SearchEngine.open(built)


def test_candidates_are_ordered_by_the_joint_models_own_score(engine: SearchEngine, model: Path) -> None:
    results = engine.search("a red circle", top_k=24, full_text=False, duplicates=None)
    assert [one.rank for one in results] == list(range(1, 25))
    plain = InterBertForImageTextRetrieval.from_pretrained(model).eval()
    processor = InterBertProcessor.from_pretrained(model)
    images = {str(row["id"]): row["image"]["bytes"] for row in priced_rows()}
    expected = [plain.score(**processor(text="a red circle", images=images[one.id])).item() for one in results]
    np.testing.assert_allclose([one.probability for one in results], expected, atol=0.05)
    assert np.ptp(expected) > 0.2
    assert np.corrcoef([one.probability for one in results], expected)[0, 1] > 0.98
    assert results == sorted(results, key=lambda one: -one.score)


def test_few_candidates_are_the_best_of_recall(engine: SearchEngine) -> None:
    vector = engine.encoder.texts(["a red circle"])[1][0]
    recalled = [hit.id for hit in engine.index.vector_search(vector, 6)]
    results = engine.search("a red circle", top_k=3, candidates=1, full_text=False)
    assert {one.id for one in results} <= set(recalled)
    without = engine.search("a red circle", top_k=3, candidates=1, full_text=False, rerank=False, duplicates=None)
    assert [one.id for one in without] == recalled[:3]
    assert without[0].probability is None


def test_the_words_of_titles_find_what_the_model_does_not(engine: SearchEngine) -> None:
    for text, wanted in (("yellow triangle", "yellow-triangle"), ("紫色圆形", "purple-circle")):
        assert engine.index.full_text_search(text, 3)[0].id == wanted
    ranks = []
    for titles in (True, False):
        results = engine.search("yellow triangle", top_k=24, full_text=titles, duplicates=None)
        ranks.append(next(one.rank for one in results if one.id == "yellow-triangle"))
    assert ranks[0] <= ranks[1]
    assert engine.index.full_text_search("unheard of nonsense", 3, "price < 0") == []


def test_filters_hold_for_every_way_of_finding(engine: SearchEngine) -> None:
    for results in (
        engine.search("a red circle", where="colour = 'blue'"),
        engine.search(image=draw("red", "circle"), where="colour = 'blue'"),
        engine.search("a red circle", draw("red", "circle"), where="colour = 'blue'"),
    ):
        assert {one.metadata["colour"] for one in results} == {"blue"}
    assert engine.search("a red circle", where="price < 0") == []
    with pytest.raises(FilterError, match="character 9"):
        engine.search("a red circle", where="price < cheap")


def test_an_image_finds_itself_first_alone_and_with_a_text(engine: SearchEngine, tmp_path: Path) -> None:
    image = draw("green", "triangle")
    file = tmp_path / "photo.png"
    image.save(file)
    for given in (image, file, str(file), file.read_bytes()):
        assert engine.search(image=given, top_k=1)[0].id == "green-triangle"
    both = engine.search("a red circle", image, image_weight=1.0, full_text=False)
    assert both[0].id == "green-triangle"
    text_only = engine.search("a red circle", full_text=False, top_k=1)
    assert engine.search("a red circle", image, image_weight=0.0, full_text=False)[0].id == text_only[0].id


def test_near_duplicates_leave_room_for_others(model: Path, tmp_path: Path) -> None:
    rows = priced_rows()[:10]
    twins = [rows[0] | {"id": f"twin-{number}"} for number in range(40)]
    build_index(model, source_of(write_table(tmp_path / "s.parquet", [*twins, *rows[1:]])), tmp_path / "index")
    engine = SearchEngine.open(tmp_path / "index")
    results = engine.search(image=draw("red", "circle"), top_k=5, candidates=8, duplicates=0.99999)
    assert len(results) == 5
    assert len(results[0].similar) == 39


def test_near_duplicates_are_one_result(model: Path, tmp_path: Path) -> None:
    rows = priced_rows()[:4]
    rows += [row | {"id": f"again-{row['id']}"} for row in rows[:2]]
    build_index(model, source_of(write_table(tmp_path / "twice.parquet", rows)), tmp_path / "index")
    engine = SearchEngine.open(tmp_path / "index")
    results = engine.search("a circle", full_text=False, duplicates=0.999999)
    assert len(results) == 4
    assert sum(len(one.similar) for one in results) == 2
    assert all(one.similar in ((), (f"again-{one.id}",)) or one.id == f"again-{one.similar[0]}" for one in results)
    assert len(engine.search("a circle", full_text=False, duplicates=None)) == 6


def test_long_texts_are_cut_and_texts_without_words_refused(engine: SearchEngine) -> None:
    long = "red circle " * 1000
    assert len(long) > 10_000
    assert engine.search(long, top_k=2)
    for text, said in (("", "is empty"), ("  ", "is empty"), ("😀🎉", "holds no word that the model knows")):
        with pytest.raises(UsageError, match=said):
            engine.search(text)
    with pytest.raises(UsageError, match="give a text, an image, or both"):
        engine.search()
    with pytest.raises(UsageError, match="top_k must be at least 1"):
        engine.search("red", top_k=0)
    with pytest.raises(UsageError, match="image_weight must be between 0 and 1"):
        engine.search("red", draw("red", "circle"), image_weight=2)


def test_what_looks_like_a_query_language_is_words(engine: SearchEngine) -> None:
    for text in ('title:red AND "circle" OR *', "red' OR '1'='1", "red) -circle^9 ~2", "\\", "red\x00circle"):
        try:
            assert len(engine.search(text, top_k=2)) == 2
        except UsageError as error:
            assert "holds no word" in str(error)  # noqa: PT017


def test_a_missing_image_is_named(engine: SearchEngine, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.jpg: the file is not there"):
        engine.search(image=tmp_path / "gone.jpg")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImageError, match=r"cut\.png: not a readable image"):
        engine.search("red", tmp_path / "cut.png")


def test_results_do_not_change_from_call_to_call(engine: SearchEngine) -> None:
    first = engine.search("白纸上的红色圆形", top_k=5)
    assert engine.search("白纸上的红色圆形", top_k=5) == first


def test_arguments_of_earlier_versions_work_with_a_warning(engine: SearchEngine) -> None:
    with pytest.warns(DeprecationWarning, match="search: titles is full_text now"):
        before = engine.search("a red circle", titles=False, top_k=3)  # type: ignore[call-arg]
    assert before == engine.search("a red circle", full_text=False, top_k=3)
    with pytest.warns(DeprecationWarning, match="ImageError"):
        from interbert.errors import PictureError
    assert PictureError is ImageError
