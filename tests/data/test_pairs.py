import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.data.pairs import PairTable, normal_text
from interbert.errors import SourceError
from interbert.regions.schema import CaptionRow


def caption(row, texts, image="", product="", digest="", view=0, fields=None):
    fields = fields or ("title",) * len(texts)
    return CaptionRow(row, image or f"p{row}", product, digest, view, row, tuple(texts), tuple(fields))


@st.composite
def stores(draw):
    letters = st.sampled_from("abcd")
    rows = draw(
        st.lists(
            st.tuples(st.lists(letters, min_size=1, max_size=3), st.sampled_from(["", "x", "y", "z"]), letters),
            min_size=1,
            max_size=10,
        )
    )
    return [caption(row, texts, "", product, digest) for row, (texts, product, digest) in enumerate(rows)]


def test_every_text_of_every_image_is_a_pair_in_order():
    table = PairTable.from_captions([caption(0, ["red", "blue"]), caption(1, []), caption(2, ["green"])])
    assert table.texts == ("red", "blue", "green")
    assert table.rows.tolist() == [0, 0, 2]
    assert len(table) == 3


def test_mirrored_views_are_remembered_not_paired():
    rows = [caption(0, ["red"], "a"), caption(1, ["red"], "a", view=1), caption(2, ["blue"], "b")]
    table = PairTable.from_captions(rows)
    assert table.texts == ("red", "blue")
    assert table.mirrored_rows.tolist() == [1, -1]


def test_fields_choose_the_columns():
    rows = [caption(0, ["red", "红色"], fields=("title", "title_zh")), caption(1, ["blue"])]
    assert PairTable.from_captions(rows, ["title_zh"]).texts == ("红色",)
    assert PairTable.from_captions(rows, ["title", "title_zh"]).texts == ("red", "红色", "blue")


def test_no_text_left_names_the_columns_there_are():
    with pytest.raises(SourceError, match=r"shop\.lance.*in columns name.*title"):
        PairTable.from_captions([caption(0, ["red"])], ["name"], "shop.lance")
    with pytest.raises(SourceError, match="nowhere"):
        PairTable.from_captions([caption(0, [])])


@pytest.mark.parametrize("shared", ["image", "product", "digest"])
def test_a_shared_image_product_or_file_makes_the_texts_right_for_both(shared):
    table = PairTable.from_captions([caption(0, ["red"], **{shared: "s"}), caption(1, ["crimson"], **{shared: "s"})])
    assert table.is_relevant(0, 1)
    assert table.is_relevant(1, 0)


def test_empty_keys_join_nothing():
    table = PairTable.from_captions([caption(0, ["red"]), caption(1, ["blue"])])
    assert not table.is_relevant(0, 1)


def test_identical_texts_are_right_for_each_others_images():
    table = PairTable.from_captions([caption(0, ["Red  shoe"]), caption(1, ["red shoe "]), caption(2, ["red shoes"])])
    assert table.is_relevant(0, 1)
    assert not table.is_relevant(0, 2)
    assert normal_text("  Red\tSHOE\n") == "red shoe"


def test_a_text_is_right_for_an_image_that_has_it_elsewhere():
    table = PairTable.from_captions([caption(0, ["a", "b"]), caption(1, ["b", "c"])])
    assert [table.is_relevant(pair, image_of=2) for pair in range(4)] == [False, True, True, True]
    assert [table.is_relevant(pair, image_of=0) for pair in range(4)] == [True, True, True, False]


@settings(deadline=None, max_examples=100)
@given(stores(), st.data())
def test_same_is_symmetric_and_true_on_the_diagonal(rows, data):
    table = PairTable.from_captions(rows)
    pairs = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1, max_size=6))
    same = table.same(pairs)
    assert same.diagonal().all()
    assert (same == same.T).all()
    for i, a in enumerate(pairs):
        for j, b in enumerate(pairs):
            assert same[i, j] == (table.is_relevant(a, b) or table.is_relevant(b, a))


@settings(deadline=None, max_examples=100)
@given(stores(), st.floats(0.05, 0.9), st.integers(0, 99))
def test_a_split_shares_neither_images_nor_texts(rows, share, seed):
    table = PairTable.from_captions(rows)
    train, held = table.split(share, seed)
    assert not set(train.groups) & set(held.groups)
    assert not set(train.text_ids) & set(held.text_ids)
    assert not {normal_text(text) for text in train.texts} & {normal_text(text) for text in held.texts}
    assert len(set(held.groups)) <= max(1, round(share * len(set(table.groups))))
    assert train.rows.tolist() == [
        row for row, group in zip(table.rows, table.groups, strict=True) if group in set(train.groups)
    ]


def test_a_split_holds_its_share_and_is_the_seeds():
    table = PairTable.from_captions([caption(row, [f"text {row}"]) for row in range(50)])
    train, held = table.split(0.2, 3)
    assert (len(train), len(held)) == (40, 10)
    assert held.texts == table.split(0.2, 3)[1].texts
    assert held.texts != table.split(0.2, 4)[1].texts
    assert np.array_equal(np.sort(np.concatenate([train.rows, held.rows])), np.arange(50))
