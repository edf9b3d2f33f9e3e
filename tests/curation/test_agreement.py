import numpy as np
import pytest

from interbert.curation.agreement import AgreementOptions, agreeing_rows, random_blocks
from interbert.errors import ConfigError, UsageError


def vectors(count, seed=0, size=16):
    found = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("rank", [1, 3])
def test_a_pair_is_kept_when_either_side_finds_the_other_among_the_first_of_its_block(rank):
    def first_by_hand(own, others):
        return sorted([*others, own + 1e-6], reverse=True).index(own + 1e-6) < rank

    text, image = vectors(100), vectors(100, 1)
    found = agreeing_rows(text, image, AgreementOptions(block_size=10, rank=rank, seed=3))
    blocks = random_blocks(100, 10, 3)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(100))
    assert {len(block) for block in blocks} == {10}
    for block in blocks:
        for row in block:
            own = text[row] @ image[row]
            text_first = first_by_hand(own, [text[row] @ image[other] for other in block])
            image_first = first_by_hand(own, [text[other] @ image[row] for other in block])
            assert (found.text_first[row], found.image_first[row]) == (text_first, image_first)
    assert (found.keep == (found.text_first | found.image_first)).all()
    assert 0 < found.keep.sum() < 100
    assert (found.text_first != found.image_first).any()


def test_exchanged_titles_are_dropped_whatever_scale_the_scores_have():
    clean = vectors(400)
    text = clean.copy()
    text[:40] = clean[np.roll(np.arange(40), 1)]
    for scale in (1.0, 0.05):
        keep = agreeing_rows(text * scale, clean, AgreementOptions(block_size=20, rank=1)).keep
        assert keep[40:].all()
        assert (~keep[:40]).mean() > 0.75


def test_the_same_title_or_image_twice_pushes_no_pair_out():
    text, image = vectors(64), vectors(64)
    text[32:], image[32:] = text[:32], image[:32]
    assert agreeing_rows(text, image, AgreementOptions(block_size=64, rank=1)).keep.all()


def test_rows_of_a_group_do_not_compete():
    image = vectors(8)
    text = np.roll(image, 1, axis=0)  # each title is that of the next image
    options = AgreementOptions(block_size=8, rank=1)
    assert not agreeing_rows(text, image, options).keep.any()
    assert agreeing_rows(text, image, options, groups=[0] * 8).keep.all()
    assert not agreeing_rows(text, image, options, groups=list(range(8))).keep.any()


@pytest.mark.parametrize("method", ["mutual", "share"])
def test_a_row_without_a_vector_is_not_kept_and_is_nobodys_rival(method):
    text, image = vectors(20), vectors(20)
    image[3], text[5] = np.nan, np.nan
    keep = agreeing_rows(text, image, AgreementOptions(method, block_size=20, keep_share=1.0)).keep
    assert np.flatnonzero(~keep).tolist() == [3, 5]


def test_a_share_of_each_category_is_kept_the_best_of_it():
    image = vectors(30)
    strength = np.linspace(0.1, 1.0, 30, dtype=np.float32)[:, None]
    categories = ["shoes"] * 10 + ["bags"] * 20
    keep = agreeing_rows(image * strength, image, AgreementOptions("share", keep_share=0.7), categories).keep
    assert np.flatnonzero(~keep).tolist() == [0, 1, 2, 10, 11, 12, 13, 14, 15]
    whole = agreeing_rows(image * strength, image, AgreementOptions("share", keep_share=0.7)).keep
    assert np.flatnonzero(~whole).tolist() == list(range(9))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_rows_are_one_block_of_which_the_first_is_one(count):
    assert agreeing_rows(vectors(count), vectors(count), AgreementOptions()).keep.all()
    exchanged = agreeing_rows(np.roll(vectors(count), 1, axis=0), vectors(count), AgreementOptions()).keep
    assert not exchanged.any() or count == 1


def test_wrong_options_and_lengths_are_named():
    with pytest.raises(ConfigError, match="block_size must be at least 2, not 1"):
        AgreementOptions(block_size=1)
    with pytest.raises(ConfigError, match="rank must be at least 1 and below 8, not 8"):
        AgreementOptions(block_size=8, rank=8)
    with pytest.raises(ConfigError, match=r"keep_share must be at most 1, not 1\.5"):
        AgreementOptions(keep_share=1.5)
    with pytest.raises(ConfigError, match="method must be one of mutual, share"):
        AgreementOptions(method="cosine")
    with pytest.raises(UsageError, match="categories has 2 rows, text_vectors 3"):
        agreeing_rows(vectors(3), vectors(3), AgreementOptions(), ["a", "b"])
