"""Pairs from judgements: what is right for a query is never its negative, however it is drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.data.collation import same_matrix
from interbert.data.negatives import Negatives
from interbert.data.pairs import PairTable
from interbert.data.qrels import Qrels, QrelsTexts
from interbert.data.sampling import SampleKey
from interbert.errors import SourceError
from interbert.regions.schema import CaptionRow


def caption(row, product, *texts, view=0):
    return CaptionRow(row, f"image {row}", product, "", view, row, texts, ("title",) * len(texts))


def judged(tmp_path, *rows, min_grade=None):
    file = tmp_path / "q.tsv"
    file.write_text("query\tproduct_id\tgrade\n" + "".join(f"{q}\t{p}\t{g}\n" for q, p, g in rows))
    return QrelsTexts(Qrels.read(file), min_grade)


def pairs_of(table):
    return list(zip(table.texts, table.rows.tolist(), strict=True))


SHELF = [
    caption(0, "a", "title a"),
    caption(1, "a", "title a too", view=1),
    caption(2, "a", "title a side"),
    caption(3, "b", "title b"),
    caption(4, "c", "title c"),
    caption(5, "", "title d"),
]


def test_each_query_is_a_pair_with_each_image_of_each_right_product(tmp_path):
    found = judged(tmp_path, ("red", "a", 1), ("red", "b", 3), ("blue", "c", 1), ("red", "c", 0), ("red", "gone", 1))
    table = PairTable.from_captions(SHELF, judged=found)
    assert pairs_of(table) == [("red", 0), ("red", 2), ("red", 3), ("blue", 4)]
    assert table.text_ids.tolist() == [0, 0, 0, 1]
    assert not table.is_relevant(0, 3)  # judged, and wrong


def test_the_stores_texts_are_pairs_too_when_they_are_named(tmp_path):
    found = judged(tmp_path, ("red", "b", 1), ("Title B", "b", 1), ("title b", "c", 1))
    table = PairTable.from_captions(SHELF[3:5], ["title"], judged=found)
    assert pairs_of(table) == [("title b", 3), ("red", 3), ("title c", 4), ("Title B", 4)]
    assert table.is_relevant(0, 2)  # a title that is somebody's query is right for what was judged
    assert not table.is_relevant(2, 0)


def test_an_image_without_a_product_is_named_by_its_own_id(tmp_path):
    table = PairTable.from_captions(SHELF, judged=judged(tmp_path, ("red", "image 5", 1)))
    assert pairs_of(table) == [("red", 5)]


def test_what_is_somewhat_right_is_neither_a_pair_nor_a_negative(tmp_path):
    found = judged(tmp_path, ("red", "a", 3), ("red", "b", 1), ("blue", "b", 3), ("green", "c", 2), min_grade=2)
    table = PairTable.from_captions(SHELF, judged=found)
    assert pairs_of(table) == [("red", 0), ("red", 2), ("blue", 3), ("green", 4)]
    assert table.is_relevant(0, 2)
    assert table.same([0, 2, 3]).tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    few = table.select(np.array([True, False, True, True]))
    assert few.is_relevant(0, 1)
    negatives = Negatives(table, [np.tile(np.arange(4), (4, 1))], [np.tile(np.arange(4), (4, 1))])
    drawn = {negatives.draw(0, "image", hard, np.random.default_rng(s)) for s in range(20) for hard in (True, False)}
    assert drawn == {3}


def test_a_split_by_products_may_ask_a_query_on_both_sides(tmp_path):
    shelf = [caption(row, str(row)) for row in range(20)]
    found = judged(tmp_path, *(("red", str(row), 1) for row in range(20)))
    table = PairTable.from_captions(shelf, judged=found)
    train, held = table.split(0.25, 0, repeat_texts=True)
    assert (len(train), len(held)) == (15, 5)
    assert not set(train.groups) & set(held.groups)
    assert len(table.split(0.25, 0)[1]) == 0


def test_judgements_of_other_products_are_named_with_both_kinds_of_ids(tmp_path):
    with pytest.raises(SourceError, match=r"q\.tsv: calls none of the products of the shop right.*'x7'"):
        PairTable.from_captions(SHELF, where="the shop", judged=judged(tmp_path, ("red", "x7", 1)))


judgements = st.dictionaries(
    st.tuples(st.sampled_from(["red", "blue", "warm", "Title 2"]), st.integers(0, 5)), st.integers(0, 3), min_size=3
)


@settings(deadline=None, max_examples=80)
@given(judgements, st.booleans(), st.sampled_from([None, 2.0]), st.integers(0, 2**32 - 1))
def test_no_right_product_of_a_query_is_ever_its_negative(tmp_path_factory, grades, titles, min_grade, seed):
    found = judged(tmp_path_factory.mktemp("q"), *((q, p, g) for (q, p), g in grades.items()), min_grade=min_grade)
    shelf = [caption(row, str(row), f"title {row}") for row in range(6)]
    positive = {(query.casefold(), product) for (query, product), grade in grades.items() if grade > 0}
    if not titles and not any(grade >= (min_grade or 1) for grade in grades.values()):
        return
    table = PairTable.from_captions(shelf, ["title"] if titles else [], judged=found)
    relevant = positive | {(f"title {row}", row) for row in range(6) if titles}

    def is_relevant(text, image):
        return (table.texts[text].casefold(), int(table.rows[image])) in relevant

    count = len(table)
    everyone = np.tile(np.arange(count), (count, 1))
    pools = Negatives(table, [everyone], [everyone])  # as if mining had found everything near
    generator = np.random.default_rng(seed)
    for pair in range(count):
        for side in ("caption", "image"):
            for hard in (True, False):
                try:
                    other = pools.draw(pair, side, hard, generator)
                except SourceError:
                    continue
                assert not (is_relevant(other, pair) if side == "caption" else is_relevant(pair, other))
    same = same_matrix(table, [SampleKey(0, 0, pair) for pair in range(count)]).numpy()  # contrast, in-batch negatives
    for one in range(count):
        for other in range(count):
            assert same[one, other] == (one == other or is_relevant(one, other) or is_relevant(other, one))
