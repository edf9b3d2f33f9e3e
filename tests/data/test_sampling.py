import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.data.sampling import Cut, EpochBatches
from interbert.errors import ConfigError

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


def step_of(parts: list) -> list[int]:
    return [key.pair for batch in parts for key in batch]


@laws
@given(st.integers(16, 300), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
def test_however_a_step_is_cut_it_has_the_same_pairs(count, size, processes, accumulation, epoch):
    lengths, parts = lengths_of(count), processes * accumulation
    if count < 2 * parts:
        return
    whole = epoch_of(EpochBatches(lengths, size * parts, 3), epoch)
    shares = [
        epoch_of(EpochBatches(lengths, size, 3, Cut(processes, p, accumulation)), epoch) for p in range(processes)
    ]
    assert len({len(share) for share in shares}) == 1
    steps = len(shares[0]) // accumulation
    for step in range(steps):
        rows = range(step * accumulation, (step + 1) * accumulation)
        parts_of_step = [shares[process][row] for row in rows for process in range(processes)]
        assert len({len(part) for part in parts_of_step}) == 1
        assert {key.step for part in parts_of_step for key in part} == {epoch * steps + step}
        pairs = step_of(parts_of_step)
        by_whole = [key.pair for key in whole[step]] if len(whole) == steps else None
        if by_whole is not None:
            assert pairs == by_whole[: len(pairs)]
            assert len(by_whole) - len(pairs) < parts
        assert len(set(pairs)) == len(pairs)


def test_a_key_knows_the_pairs_of_all_processes():
    shares = [list(EpochBatches(lengths_of(64), 4, 0, Cut(2, process, 2))) for process in range(2)]
    for first, second in zip(*shares, strict=True):
        together = tuple(key.pair for key in [*first, *second])
        assert {key.together for key in [*first, *second]} == {together}
    assert all(key.together == () for batch in EpochBatches(lengths_of(64), 4, 0) for key in batch)


def test_a_batch_is_found_by_its_number():
    batches = EpochBatches(lengths_of(64), 4, 0, Cut(2, 1, 2))
    batches.set_epoch(1)
    assert batches.batch(len(batches) + 3) == list(batches)[3]


def test_too_few_pairs_for_the_processes_are_refused():
    with pytest.raises(ConfigError, match="too few for 8 batches per step"):
        EpochBatches([5] * 15, 4, 0, Cut(4, 0, 2))


def test_shuffling_is_uniform_over_the_epoch():
    """Every pair comes as often in every tenth of an epoch, by chi-square over many epochs."""
    count, size, epochs, parts = 400, 8, 500, 10
    batches = EpochBatches(lengths_of(count), size, 0)
    seen = np.zeros((count, parts))
    for epoch in range(epochs):
        for place, batch in enumerate(epoch_of(batches, epoch)):
            for key in batch:
                seen[key.pair, place * parts // len(batches)] += 1
    expected = epochs / parts
    statistic = ((seen - expected) ** 2 / expected).sum()
    degrees = count * (parts - 1)
    assert abs(statistic - degrees) < 6 * np.sqrt(2 * degrees)
    # and neighbours are those of like length, not of the store's order
    together = [abs(a.pair - b.pair) for batch in epoch_of(batches, 0) for a, b in itertools.pairwise(batch)]
    assert np.mean(together) == pytest.approx(count / 3, rel=0.15)


def test_visits_are_as_asked_and_every_epoch_draws_its_share_anew():
    visits = np.array([1.0] * 40 + [0.5] * 40 + [2.25] * 40)
    batches = EpochBatches([5] * 120, 6, 0, visits=visits)
    assert batches.pairs == 40 + 20 + 90
    epochs = [[key for batch in epoch_of(batches, epoch) for key in batch] for epoch in range(40)]
    assert {len(epoch) for epoch in epochs} == {150}
    totals = np.bincount([key.pair for epoch in epochs for key in epoch], minlength=120) / 40
    assert (totals[:40] == 1).all()
    assert totals[40:80].mean() == 0.5
    assert totals[80:].mean() == 2.25
    assert totals[40:80].min() > 0.1
    for epoch in epochs:
        assert len({(key.pair, key.visit) for key in epoch}) == 150  # each visit draws its own masks
        assert {key.visit for key in epoch if key.pair < 40} == {0}
        assert {key.visit for key in epoch if key.pair >= 80} == {0, 1, 2}
    assert {key.pair for key in epochs[0]} != {key.pair for key in epochs[1]}
    # half of them, drawn anew: of two epochs running a quarter of the pairs comes in both, and a quarter in neither
    drawn = np.zeros((40, 40), dtype=bool)
    for number, epoch in enumerate(epochs):
        drawn[number, [key.pair - 40 for key in epoch if 40 <= key.pair < 80]] = True
    assert (drawn.sum(axis=1) == 20).all()
    assert (drawn[:-1] & drawn[1:]).mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(("weight", "pairs"), [(0.001, 1), (0.5, 2), (0.9, 3), (1.01, 4), (2.5, 8)])
def test_a_small_store_with_a_small_weight_is_still_visited(weight, pairs):
    visits = np.array([1.0] * 10 + [weight] * 3)
    batches = EpochBatches([5] * 13, 2, 0, visits=visits)
    found = [sum(key.pair >= 10 for batch in epoch_of(batches, epoch) for key in batch) for epoch in range(5)]
    assert max(found) == pairs
    assert batches.pairs == 10 + pairs
