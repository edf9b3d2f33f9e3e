import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from interbert.data.negatives import Negatives
from interbert.data.neighbours import _by_shards, image_vectors, text_neighbours, vector_neighbours
from interbert.data.pairs import PairTable
from interbert.data.qrels import QrelsTexts
from interbert.data.texts import words_of
from interbert.errors import SourceError
from interbert.regions.schema import CaptionRow


def table_of(*rows):
    """A table of (texts, product) rows."""
    return PairTable.from_captions(
        [
            CaptionRow(row, f"p{row}", product, "", 0, row, tuple(texts), ("title",) * len(texts))
            for row, (texts, product) in enumerate(rows)
        ]
    )


def really_wrong(rows, lender, other, side):
    """Whether ``other``'s text (or image) is wrong for ``lender``, from the rows alone."""
    pairs = [(row, text.casefold(), product) for row, (texts, product) in enumerate(rows) for text in texts]
    text_of, image_of = (other, lender) if side == "caption" else (lender, other)
    _, text, _ = pairs[text_of]
    row, _, product = pairs[image_of]
    return all(text != its for r, its, p in pairs if r == row or (product and p == product))


words = st.sampled_from(["red", "RED", "blue", "green", "shoe"])
row_lists = st.lists(
    st.tuples(st.lists(words, min_size=1, max_size=2), st.sampled_from(["", "", "x", "y"])), min_size=1, max_size=8
)


@settings(deadline=None, max_examples=150)
@given(row_lists, st.sampled_from(["caption", "image"]), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_negative_is_never_right(rows, side, hard, seed):
    table = table_of(*rows)
    count = len(table)
    everyone = np.tile(np.arange(count), (count, 1))
    negatives = Negatives(table, [everyone], [everyone])
    generator = np.random.default_rng(seed)
    for pair in range(count):
        if any(really_wrong(rows, pair, other, side) for other in range(count)):
            for _ in range(5):
                assert really_wrong(rows, pair, negatives.draw(pair, side, hard, generator), side)
        else:
            with pytest.raises(SourceError, match=f"no other {side} is wrong"):
                negatives.draw(pair, side, hard, generator)


def test_one_wrong_pair_among_thousands_is_found():
    table = table_of(*[(["red"], "")] * 3000, (["blue"], ""))
    negatives = Negatives(table)
    assert {negatives.draw(5, "caption", False, np.random.default_rng(seed)) for seed in range(5)} == {3000}


def test_random_negatives_come_from_everywhere():
    table = table_of(*[([f"text {row}"], "") for row in range(20)])
    generator = np.random.default_rng(0)
    drawn = {Negatives(table).draw(3, "image", False, generator) for _ in range(500)}
    assert drawn == set(range(20)) - {3}


def test_hard_negatives_come_from_the_pools_and_from_each_of_them():
    table = table_of(*[([f"text {row}"], "") for row in range(30)])
    near = np.tile(np.array([1, 2]), (30, 1))
    far = np.tile(np.array([28, 29]), (30, 1))
    negatives = Negatives(table, [near, far], [far])
    generator = np.random.default_rng(0)
    assert {negatives.draw(0, "caption", True, generator) for _ in range(100)} == {1, 2, 28, 29}
    assert {negatives.draw(0, "image", True, generator) for _ in range(100)} == {28, 29}


def test_a_pool_of_right_pairs_falls_back_on_random_ones():
    table = table_of((["red"], "x"), (["crimson"], "x"), (["blue"], ""), (["green"], ""))
    negatives = Negatives(table, [np.array([[1], [0], [0], [0]])])
    generator = np.random.default_rng(0)
    assert {negatives.draw(0, "caption", True, generator) for _ in range(50)} == {2, 3}


def test_mined_text_pools_hold_the_nearest_captions():
    colours, things = ("red", "blue", "green"), ("running shoe", "cotton shirt", "leather bag")
    texts = [f"{colour} {thing}" for thing in things for colour in colours]
    pools = text_neighbours(texts, 2)
    for index, pool in enumerate(pools):
        assert set(pool.tolist()) == set(range(index // 3 * 3, index // 3 * 3 + 3)) - {index}


def test_chinese_captions_are_compared_by_characters_and_pairs():
    texts = ["红色连衣裙", "蓝色连衣裙", "不锈钢炒锅", "不粘炒锅", "儿童运动鞋", "男士运动鞋"]
    assert text_neighbours(texts, 1)[:, 0].tolist() == [1, 0, 3, 2, 5, 4]


def test_words_of_mixed_text():
    assert words_of("Nike 运动鞋 X2") == ["nike", "运", "动", "鞋", "x2", "运动", "动鞋"]
    assert words_of("?!") == []


def test_neighbours_are_sorted_and_never_oneself():
    vectors = np.random.default_rng(0).standard_normal((700, 8)).astype(np.float32)
    found = vector_neighbours(vectors, vectors, 5)
    similarity = (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(similarity, -np.inf)
    expected = np.argsort(-similarity, axis=1)[:, :5]
    assert (found == expected).mean() > 0.999
    assert (found != np.arange(700)[:, None]).all()


def test_asking_for_more_neighbours_than_there_are_gives_all():
    assert sorted(text_neighbours(["a b", "b c", "c d"], 9)[0].tolist()) == [1, 2]
    assert text_neighbours(["alone"], 9).shape == (1, 0)


@pytest.mark.parametrize("size", [6, 400])
def test_mined_image_pools_hold_images_that_look_alike(size):
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((4, size)) * 3
    pooled = (np.repeat(centres, 5, axis=0) + 0.1 * generator.standard_normal((20, size))).astype(np.float32)
    vectors = np.concatenate([block for _, block in image_vectors(pooled)])
    assert vectors.shape == (20, min(size, 256))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near = vector_neighbours(vectors, vectors, 4)
    assert (near // 5 == np.arange(20)[:, None] // 5).all()


def test_mined_negatives_draw_from_text_and_image_neighbours():
    texts = ["red shoe", "blue shoe", "red pan", "blue pan"]
    table = table_of(*[([text], "") for text in texts])
    pooled = np.array([[0, 0], [5, 5], [5, 4.9], [0, 0.1]], dtype=np.float32)
    negatives = Negatives.mined(table, pooled, pool_size=1)
    generator = np.random.default_rng(0)
    drawn = [{negatives.draw(pair, "caption", True, generator) for _ in range(60)} for pair in range(4)]
    neighbours = text_neighbours(texts, 1)[:, 0].tolist()
    assert drawn == [{neighbours[0], 3}, {neighbours[1], 2}, {neighbours[2], 1}, {neighbours[3], 0}]


def test_a_dual_encoders_vectors_make_pools_for_each_side():
    table = table_of(*[([f"text {row}"], "") for row in range(3)])
    texts = np.array([[1, 0], [0, 1], [0.9, 0.1]], dtype=np.float32)
    images = np.array([[1, 0], [0.8, 0.3], [0, 1]], dtype=np.float32)
    negatives = Negatives.from_vectors(table, texts, images, pool_size=1)
    generator = np.random.default_rng(0)
    assert [negatives.draw(pair, "caption", True, generator) for pair in range(3)] == [2, 0, 1]
    assert [negatives.draw(pair, "image", True, generator) for pair in range(3)] == [1, 2, 0]


def test_nearly_the_same_texts_are_no_negatives():
    table = table_of((["red shoe for men"], ""), (["For men: red shoe"], ""), (["blue hat"], ""))
    everyone = np.tile(np.arange(3), (3, 1))
    for side in ("caption", "image"):
        spared = Negatives(table, [everyone], [everyone], near_same=0.9)
        strict = Negatives(table, [everyone], [everyone])
        drawn = [
            {one.draw(0, side, True, np.random.default_rng(seed)) for seed in range(40)} for one in (spared, strict)
        ]
        assert drawn == [{2}, {1, 2}]


def judged_table(folder, *rows):
    """A table of products p0, p1, ... with judgements (query, product, grade)."""
    file = folder / "qrels.tsv"
    file.write_text("query\tproduct_id\tgrade\n" + "".join(f"{q}\t{p}\t{g}\n" for q, p, g in rows))
    captions = [CaptionRow(row, f"p{row}", "", "", 0, row, (), ()) for row in range(4)]
    return PairTable.from_captions(captions, judged=QrelsTexts.read(file))


def test_what_is_judged_wrong_is_a_hard_negative_on_both_sides(tmp_path):
    rows = [("red", "p0", 2), ("red", "p1", 0), ("red", "p3", 0), ("Blue", "p1", 1), ("blue", "p0", 0), ("x", "p2", 1)]
    table = judged_table(tmp_path, *rows)
    negatives = Negatives.judged(table)
    assert [table.texts[pair] for pair in range(3)] == ["red", "Blue", "x"]
    drawn = {
        (pair, side): {negatives.draw(pair, side, True, np.random.default_rng(seed)) for seed in range(20)}
        for pair in range(2)
        for side in ("caption", "image")
    }
    assert drawn[0, "image"] == {1}  # p1; p3 has no pair to lend
    assert drawn[0, "caption"] == {1}  # blue is wrong for p0
    assert drawn[1, "caption"] == {0}  # red is wrong for p1
    assert drawn[1, "image"] == {0}
    assert {negatives.draw(2, "image", True, np.random.default_rng(seed)) for seed in range(20)} == {0, 1}


def test_judgements_without_grade_0_say_nothing_of_what_is_wrong(tmp_path):
    table = judged_table(tmp_path, ("red", "p0", 2), ("blue", "p1", 1))
    with pytest.raises(SourceError, match="no judgement has grade 0"):
        Negatives.judged(table)


def test_pools_are_kept_in_a_file(tmp_path):
    table = table_of(*[([f"word{index} shoe"], "") for index in range(12)])
    mined = Negatives.mined(table, np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32), 4)
    mined.save(tmp_path / "pools")
    again = Negatives.load(table, tmp_path / "pools")
    for side in ("caption", "image"):
        draws = [[one.draw(3, side, True, np.random.default_rng(seed)) for seed in range(30)] for one in (mined, again)]
        assert draws[0] == draws[1]


def test_neighbours_of_many_are_found_inside_random_parts():
    points = np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32)
    found = _by_shards(90, 5, lambda part: vector_neighbours(points[part], points[part], 5), shard=40)
    assert found.shape == (90, 5)
    whole = vector_neighbours(points, points, 89)
    for index in range(90):
        assert index not in found[index]
        places = [whole[index].tolist().index(other) for other in found[index]]
        assert places == sorted(places)  # best first, as among all
        assert len(set(places)) == 5


def test_pools_that_do_not_lie_row_by_row_in_memory_come_back_as_they_were(tmp_path):
    table = table_of(*(((f"text {row}",), f"p{row}") for row in range(6)))
    pool = np.asfortranarray(np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 5], [0, 1, 4]]))
    Negatives(table, [pool], [pool]).save(tmp_path / "pools.safetensors")
    stored = load_file(tmp_path / "pools.safetensors")
    assert {tuple(map(tuple, array.tolist())) for array in stored.values()} == {tuple(map(tuple, pool.tolist()))}


def test_the_writer_of_safetensors_passes_over_the_order_of_an_array(tmp_path):
    """Where this fails, the library is mended and the copies before it can go."""
    turned = np.arange(6).reshape(2, 3).T
    save_file({"a": turned}, tmp_path / "a.safetensors")
    assert load_file(tmp_path / "a.safetensors")["a"].tolist() == [[0, 1], [2, 3], [4, 5]] != turned.tolist()
