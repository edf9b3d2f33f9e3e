import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.errors import DataError
from interbert.tasks.metrics import best_ranks, calibration_error, chance_recall, direction_metrics, retrieval_metrics


def relevance_of(*columns, candidates=4):
    relevant = np.zeros((len(columns), candidates), dtype=bool)
    for row, chosen in enumerate(columns):
        relevant[row, list(chosen)] = True
    return relevant


def test_calibration_error_is_how_far_probabilities_are_from_what_is_right() -> None:
    generator = np.random.default_rng(0)
    probability = generator.random(20_000)
    log_odds, relevant = np.log(probability / (1 - probability)), generator.random(20_000) < probability
    assert calibration_error(log_odds, relevant) < 0.02
    assert calibration_error(log_odds, generator.random(20_000) < 0.5) == pytest.approx(0.25, abs=0.01)
    assert calibration_error(np.full((4, 5), 800.0), np.zeros((4, 5), dtype=bool)) == pytest.approx(1.0)
    # two bins: of 0.1 a quarter is right, of 0.9 all are
    odds = np.log(np.array([[0.1] * 4, [0.9] * 4]) / np.array([[0.9] * 4, [0.1] * 4]))
    right = np.array([[True, False, False, False], [True] * 4])
    assert calibration_error(odds, right) == pytest.approx((0.15 + 0.1) / 2)


def test_ranks_worked_by_hand():
    scores = np.array([[0.9, 0.1, 0.5, 0.2], [0.9, 0.1, 0.5, 0.2], [0.9, 0.1, 0.5, 0.2]])
    assert best_ranks(scores, relevance_of([0], [2], [1])).tolist() == [1, 2, 4]


def test_ties_count_against_us():
    assert best_ranks(np.zeros((2, 4)), relevance_of([0], [3])).tolist() == [4, 4]
    assert best_ranks(np.array([[1.0, 1.0, 0.0, 2.0]]), relevance_of([1])).tolist() == [3]


def test_with_several_right_images_the_best_counts_and_right_ones_do_not_compete():
    scores = np.array([[0.9, 0.8, 0.7, 0.6], [0.6, 0.6, 0.9, 0.6]])
    assert best_ranks(scores, relevance_of([1, 3], [0, 1])).tolist() == [2, 3]
    assert best_ranks(scores, relevance_of([0, 1, 2, 3], [2, 3])).tolist() == [1, 1]


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_ranks_are_what_sorting_gives(queries, candidates, seed):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 4, (queries, candidates)).astype(np.float32)
    relevant = generator.random((queries, candidates)) < 0.3
    relevant[np.arange(queries), generator.integers(0, candidates, queries)] = True
    for row, rank in enumerate(best_ranks(scores, relevant)):
        wrong_ones_first = sorted(zip(-scores[row], relevant[row], strict=True))
        assert rank == 1 + [is_relevant for _, is_relevant in wrong_ones_first].index(True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_an_error(value):
    scores = np.zeros((2, 4))
    scores[1, 2] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        best_ranks(scores, relevance_of([0], [1]))


def test_a_query_without_a_right_candidate_is_named():
    with pytest.raises(DataError, match="query 1 has no right candidate"):
        best_ranks(np.zeros((3, 4)), relevance_of([0], [], [1]))


def test_recalls_and_median_rank_worked_by_hand():
    ranks = [1, 3, 6, 12]
    scores = np.zeros((4, 20))
    for row, rank in enumerate(ranks):
        scores[row, 1:rank] = 2
    scores[:, 0] = 1
    metrics = direction_metrics(scores, relevance_of([0], [0], [0], [0], candidates=20))
    assert {name: one.value for name, one in metrics.recall.items()} == {"r@1": 25.0, "r@5": 50.0, "r@10": 75.0}
    assert metrics.median_rank == 4.5
    assert (metrics.n, metrics.candidates) == (4, 20)
    assert metrics.chance == pytest.approx({"r@1": 5.0, "r@5": 25.0, "r@10": 50.0})


def test_both_directions():
    # text 1 prefers its image; image 1 prefers text 2
    scores = np.array([[3.0, 0.0], [1.0, 2.0], [0.0, 2.5]])
    relevant = np.array([[True, False], [False, True], [True, False]])
    metrics = retrieval_metrics(scores, relevant)
    assert metrics.text_to_image.recall["r@1"].value == pytest.approx(200 / 3)
    assert metrics.image_to_text.recall["r@1"].value == pytest.approx(50.0)
    assert (metrics.text_to_image.n, metrics.text_to_image.candidates) == (3, 2)
    assert (metrics.image_to_text.n, metrics.image_to_text.candidates) == (2, 3)
    assert metrics.to_dict()["image_to_text"]["recall"]["r@1"]["value"] == pytest.approx(50.0)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_interval_holds_the_value(queries, seed):
    scores = np.random.default_rng(seed).random((queries, queries))
    for one in direction_metrics(scores, np.eye(queries, dtype=bool), bootstrap=300).recall.values():
        assert 0 <= one.low <= one.value <= one.high <= 100


def test_the_interval_holds_the_truth_nineteen_times_in_twenty():
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(150):
        scores = np.zeros((150, 12))
        scores[:, 0] = np.where(generator.random(150) < 0.4, 1, -1)
        one = direction_metrics(scores, relevance_of(*[[0]] * 150, candidates=12), bootstrap=300).recall["r@1"]
        covered.append(one.low <= 40 <= one.high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_more_queries_make_a_narrower_interval_and_no_bootstrap_none():
    def width(queries, bootstrap=500):
        scores = np.tile([[1.0, 0.0], [0.0, 1.0]], (queries // 2, 1))
        one = direction_metrics(scores, relevance_of(*[[0]] * queries, candidates=2), bootstrap).recall["r@1"]
        return one.high - one.low

    assert width(400) < 0.7 * width(40)
    assert width(40, bootstrap=0) == 0


def test_chance_is_what_random_scores_get():
    generator = np.random.default_rng(0)
    relevant = relevance_of([0], [1, 5, 7], [2, 3], candidates=12)
    count = relevant.sum(axis=1)
    ranks = np.array([best_ranks(generator.random((3, 12)), relevant) for _ in range(6000)])
    for k in (1, 5, 10):
        assert chance_recall(count, 12, k) == pytest.approx((ranks <= k).mean(), abs=0.015)


def test_chance_among_fewer_candidates_than_k_is_certain():
    assert chance_recall(np.array([1, 2]), 4, 10) == 1.0
