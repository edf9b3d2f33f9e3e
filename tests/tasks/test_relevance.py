import numpy as np
import pytest

from interbert.data.qrels import Qrels
from interbert.errors import DataError
from interbert.regions.schema import CaptionRow
from interbert.tasks.relevance import RelevanceSet
from interbert.tasks.retrieval import RetrievalSet


def caption(row, product, view=0):
    return CaptionRow(row, f"p{row}", product, "", view, row, (), ())


SHELF = [caption(0, "a"), caption(1, "b"), caption(2, "a", view=1), caption(3, "a"), caption(4, "")]


def qrels(tmp_path, *rows):
    file = tmp_path / "q.tsv"
    file.write_text("query\tproduct_id\tgrade\n" + "".join(f"{q}\t{p}\t{g}\n" for q, p, g in rows))
    return Qrels.read(file)


def test_grades_of_queries_and_products(tmp_path):
    found = qrels(
        tmp_path, ("x", "a", 3), ("y", "gone", 2), ("x", "p4", 1), ("z", "b", 0), ("x", "b", 0), ("w", "b", 2)
    )
    data = RelevanceSet.from_captions(SHELF, found)
    assert data.texts == ("x", "w")
    assert data.image_rows == (0, 3, 1, 4)
    assert data.product_of.tolist() == [0, 0, 1, 2]
    assert data.grades.tolist() == [[3, 0, 1], [0, 2, 0]]
    assert data.relevant.tolist() == [[True, False, True], [False, True, False]]
    assert (data.unused_queries, data.unused_judgements, data.pool) == (2, 1, None)
    strict = RelevanceSet.from_captions(SHELF, found, min_grade=2)
    assert strict.relevant.tolist() == [[True, False, False], [False, True, False]]
    assert strict.grades.tolist() == data.grades.tolist()
    pooled = RelevanceSet.from_captions(SHELF, found, judged_only=True)
    assert pooled.pool.tolist() == [[True, True, True], [False, True, False]]
    assert [one.tolist() for one in pooled.pairs()] == [[0, 0, 0, 0, 1], [0, 1, 2, 3, 2]]


def test_a_sample_of_images_is_of_all_rows_has_whole_products_and_something_right(tmp_path):
    found = qrels(tmp_path, ("x", "a", 3), ("w", "b", 2))
    samples = {RelevanceSet.from_captions(SHELF, found, limit=2, seed=seed).image_rows for seed in range(20)}
    assert samples == {(0, 3), (1, 4)}  # image 4 alone answers nothing
    shelf = [caption(row, f"s{row // 2}") for row in range(400)]
    found = qrels(tmp_path, *((f"query {number}", f"s{number}", 1) for number in range(200)))
    data = RelevanceSet.from_captions(shelf, found, limit=100, seed=1)
    assert data.image_rows == RelevanceSet.from_captions(shelf, found, limit=100, seed=1).image_rows
    assert (np.histogram(data.image_rows, bins=4, range=(0, 400))[0] >= 10).all()
    assert (data.products, len(data.image_rows)) == (50, 100)


def test_a_product_is_as_good_as_its_best_image(tmp_path):
    data = RelevanceSet.from_captions(SHELF, qrels(tmp_path, ("x", "a", 3)))
    assert data.of_products(np.array([[1.0, 7.0, 3.0, 2.0]])).tolist() == [[7.0, 3.0, 2.0]]


def test_when_nothing_is_right_both_kinds_of_names_are_shown(tmp_path):
    with pytest.raises(
        DataError, match=r"q\.tsv: calls none of the store's 3 products right.*'x7', the store's as 'a'"
    ):
        RelevanceSet.from_captions(SHELF, qrels(tmp_path, ("x", "x7", 1)))
    with pytest.raises(DataError, match="calls none"):
        RelevanceSet.from_captions(SHELF, qrels(tmp_path, ("x", "a", 1)), min_grade=2)


def test_a_sample_of_texts_keeps_every_image():
    data = RelevanceSet.from_set(RetrievalSet(tuple("abcdef"), tuple(range(6)), np.eye(6, dtype=bool)))
    some = data.sample(2, 0)
    assert (len(some.texts), some.products, len(some.image_rows)) == (2, 6, 6)
    for text, relevant in zip(some.texts, some.relevant, strict=True):
        assert relevant.tolist() == [one == text for one in "abcdef"]
    assert some.texts == data.sample(2, 0).texts
    assert {data.sample(2, seed).texts for seed in range(9)} != {some.texts}
    assert data.sample(6, 0) is data
    assert data.sample(None, 0) is data
