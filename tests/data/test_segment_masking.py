import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.data.masking import SegmentMasking
from interbert.errors import ConfigError
from interbert.losses.pretraining import masked_lm_loss

MASK = 103
PIECES = np.arange(1000, 2000)
laws = settings(deadline=None, max_examples=150)
counts = st.integers(0, 40)
seeds = st.integers(0, 2**32 - 1)
shares = st.one_of(st.none(), st.floats(0.01, 1.0))


def caption(tokens, padding=0):
    ids = np.concatenate([[101], np.arange(5000, 5000 + tokens), [102], np.zeros(padding)]).astype(np.int64)
    maskable = np.zeros(len(ids), dtype=bool)
    maskable[1 : tokens + 1] = True
    return ids, maskable


def mask(masking, tokens, seed, padding=0):
    ids, maskable = caption(tokens, padding)
    return ids, maskable, masking(ids, maskable, MASK, PIECES, np.random.default_rng(seed))


def segments(tokens, draws, **options):
    generator = np.random.default_rng(7)
    masking = SegmentMasking(**options)
    return [np.flatnonzero(masking.choose(tokens, generator)) for _ in range(draws)]


@laws
@given(counts, st.integers(0, 5), seeds, shares)
def test_the_segment_is_contiguous_and_labels_are_the_originals(tokens, padding, seed, share):
    ids, maskable, masked = mask(SegmentMasking(max_share=share), tokens, seed, padding)
    predicted = np.flatnonzero(masked.labels != -100)
    assert maskable[predicted].all()
    assert (np.diff(predicted) == 1).all()
    assert (masked.labels[predicted] == ids[predicted]).all()
    untouched = masked.labels == -100
    assert (masked.input_ids[untouched] == ids[untouched]).all()
    changed = masked.input_ids[masked.input_ids != ids]
    assert np.isin(changed, [MASK, *PIECES]).all()


@laws
@given(counts, seeds)
def test_token_mode_touches_maskable_pieces_only(tokens, seed):
    ids, maskable, masked = mask(SegmentMasking("token", token_probability=0.5), tokens, seed, padding=3)
    predicted = masked.labels != -100
    assert not (predicted & ~maskable).any()
    assert (masked.labels[predicted] == ids[predicted]).all()
    assert (masked.input_ids[~predicted] == ids[~predicted]).all()


@laws
@given(st.integers(0, 3), seeds, shares)
def test_fewer_than_four_pieces_predict_nothing(tokens, seed, share):
    ids, _, masked = mask(SegmentMasking(max_share=share), tokens, seed)
    assert (masked.labels == -100).all()
    assert (masked.input_ids == ids).all()


@laws
@given(st.integers(4, 60), seeds, st.floats(0.01, 1.0))
def test_max_share_caps_the_segment(tokens, seed, share):
    chosen = SegmentMasking(max_share=share).choose(tokens, np.random.default_rng(seed))
    assert chosen.sum() <= max(1, share * tokens)


def test_the_input_stays_as_it_was():
    ids, _, masked = mask(SegmentMasking("token", token_probability=1.0), 20, 0)
    assert (ids == caption(20)[0]).all()
    assert not np.shares_memory(ids, masked.input_ids)


def test_four_pieces_follow_the_plain_law():
    tokens, draws = 4, 20_000
    seen = {}
    for segment in segments(tokens, draws):
        key = (int(segment[0]), len(segment)) if len(segment) else None
        seen[key] = seen.get(key, 0) + 1
    expected = {}
    for start in range(tokens + 1):
        for length in range(1, tokens + 1):
            kept = min(length, tokens - start)
            key = (start, kept) if kept else None
            expected[key] = expected.get(key, 0) + 1 / (tokens * (tokens + 1))
    assert seen.keys() == expected.keys()
    for key, probability in expected.items():
        assert seen[key] / draws == pytest.approx(probability, abs=0.015), key


def test_the_plain_law_masks_about_a_third_and_now_and_then_all_or_nothing():
    chosen = segments(12, 5000)
    sizes = np.array([len(one) for one in chosen])
    assert sizes.mean() / 12 == pytest.approx(1 / 3, abs=0.05)
    assert sizes.min() == 0
    assert sizes.max() == 12


def test_token_mode_predicts_fifteen_in_a_hundred():
    generator = np.random.default_rng(0)
    rate = np.mean([SegmentMasking("token").choose(30, generator).mean() for _ in range(1000)])
    assert rate == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("mode", ["segment", "token"])
def test_eighty_ten_ten(mode):
    masking = SegmentMasking(mode, token_probability=0.5)
    generator = np.random.default_rng(1)
    ids, maskable = caption(40)
    fates = []
    for _ in range(800):
        masked = masking(ids, maskable, MASK, PIECES, generator)
        predicted = masked.labels != -100
        fates.append(
            np.select([masked.input_ids == MASK, masked.input_ids == ids], ["mask", "same"], "other")[predicted]
        )
    fates = np.concatenate(fates)
    for fate, share in (("mask", 0.8), ("other", 0.1), ("same", 0.1)):
        assert (fates == fate).mean() == pytest.approx(share, abs=0.02)


def test_random_pieces_come_from_the_whole_list():
    ids, maskable = caption(2000)
    masked = SegmentMasking("token", token_probability=1.0)(ids, maskable, MASK, PIECES, np.random.default_rng(3))
    swapped = masked.input_ids[(masked.input_ids != ids) & (masked.input_ids != MASK)]
    assert len(set(swapped.tolist())) > 150


def test_the_loss_is_the_mean_negative_log_probability():
    logits = torch.randn(5, 9)
    labels = torch.tensor([0, 8, 3, 3, 1])
    by_hand = -sum(logits[i].softmax(0)[labels[i]].log() for i in range(5)) / 5
    torch.testing.assert_close(masked_lm_loss(logits, labels), by_hand)


def test_the_loss_of_no_targets_is_zero_and_differentiable():
    logits = torch.randn(0, 9, requires_grad=True)
    loss = masked_lm_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mode", {"mode": "span"}),
        ("max_share", {"max_share": 0.0}),
        ("max_share", {"max_share": 1.1}),
        ("token_probability", {"token_probability": 0.0}),
        ("token_probability", {"token_probability": 1.5}),
        ("token_probability", {"token_probability": float("nan")}),
    ],
)
def test_impossible_settings(name, values):
    with pytest.raises(ConfigError, match=name):
        SegmentMasking(**values)
