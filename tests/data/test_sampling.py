import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.data.sampling import EpochBatches

laws = settings(deadline=None, max_examples=80)
sizes = st.integers(1, 300)


def epoch_of(batches, epoch):
    batches.set_epoch(epoch)
    return list(batches)


def lengths_of(count, seed=0):
    return np.random.default_rng(seed).integers(3, 37, count).tolist()


@laws
@given(sizes, st.integers(2, 40), st.integers(0, 5))
def test_an_epoch_covers_every_pair_once(count, size, epoch):
    batches = epoch_of(EpochBatches(lengths_of(count), size, 1), epoch)
    pairs = sorted(key.pair for batch in batches for key in batch)
    assert len(set(pairs)) == len(pairs)
    dropped = count - len(pairs)
    assert dropped == (1 if count > 1 and count % size == 1 else 0)
    assert max(pairs) < count
    assert all(len(batch) <= size for batch in batches)
    assert len(batches) == len(EpochBatches(lengths_of(count), size, 1))


@laws
@given(st.integers(1, 60))
def test_batches_of_one_cover_every_pair_too(count):
    batches = EpochBatches(lengths_of(count), 1, 0)
    assert sorted(key.pair for batch in batches for key in batch) == list(range(count))
    assert len(list(batches)) == len(batches)


@laws
@given(sizes, st.integers(2, 40), st.integers(0, 2**31), st.integers(0, 9))
def test_another_object_gives_the_same_batches(count, size, seed, epoch):
    first = epoch_of(EpochBatches(lengths_of(count), size, seed), epoch)
    assert first == epoch_of(EpochBatches(lengths_of(count), size, seed), epoch)


def test_epochs_and_seeds_differ():
    batches = EpochBatches(lengths_of(200), 16, 0)
    orders = [[key.pair for batch in epoch_of(batches, epoch) for key in batch] for epoch in range(4)]
    orders.append([key.pair for batch in EpochBatches(lengths_of(200), 16, 1) for key in batch])
    assert all(a != b for a, b in itertools.combinations(orders, 2))


def test_batches_hold_other_pairs_in_another_epoch():
    batches = EpochBatches([9] * 200, 10, 0)
    together = [{frozenset(key.pair for key in batch) for batch in epoch_of(batches, epoch)} for epoch in range(2)]
    assert not together[0] & together[1]


def test_keys_know_their_epoch_and_step():
    batches = EpochBatches(lengths_of(100), 8, 0)
    steps = []
    for epoch in range(3):
        for batch in epoch_of(batches, epoch):
            assert {key.epoch for key in batch} == {epoch}
            assert len({key.step for key in batch}) == 1
            steps.append(batch[0].step)
    assert steps == list(range(3 * len(batches)))


@pytest.mark.parametrize("count", [300, 5000])
def test_less_padding_than_a_plain_shuffle(count):
    lengths = np.array(lengths_of(count))

    def padded(batches):
        return sum(len(batch) * lengths[batch].max() for batch in batches) - lengths.sum()

    ours = padded([[key.pair for key in batch] for batch in EpochBatches(lengths, 16, 0)])
    order = np.random.default_rng(0).permutation(count)
    plain = padded([order[at : at + 16] for at in range(0, count, 16)])
    assert ours < 0.15 * plain


def test_short_texts_do_not_come_first():
    lengths = np.array(lengths_of(1600))
    means = [lengths[[key.pair for key in batch]].mean() for batch in EpochBatches(lengths, 16, 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.35
