import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from interbert.errors import DataError
from interbert.tasks.metrics import direction_metrics
from interbert.tasks.relevance import graded_metrics


def values(metrics):
    return {name: one.value for name, one in metrics.values.items()}


def test_a_ranking_worked_by_hand():
    grades = np.array([[0, 3, 1, 0, 2, 0]], dtype=float)
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]])
    found = values(graded_metrics(scores, grades, grades > 0, bootstrap=0))
    dcg = 7 / math.log2(3) + 1 / math.log2(4) + 3 / math.log2(6)
    ideal = 7 + 3 / math.log2(3) + 1 / math.log2(4)
    assert found["ndcg@5"] == pytest.approx(dcg / ideal)
    assert found["mrr"] == 0.5
    assert (found["r@1"], found["r@5"]) == (0, 100)
    strict = values(graded_metrics(scores, grades, grades >= 2, bootstrap=0))
    assert strict["mrr"] == 0.5
    assert strict["ndcg@5"] == pytest.approx(dcg / ideal)  # every grade counts for it
    assert values(graded_metrics(scores, grades, grades == 2, bootstrap=0))["mrr"] == pytest.approx(1 / 5)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 6), st.integers(2, 14), st.integers(0, 2**32 - 1))
def test_ndcg_is_what_another_library_gives(queries, candidates, seed):
    generator = np.random.default_rng(seed)
    grades = generator.integers(0, 4, (queries, candidates)).astype(float)
    grades[:, 0] += 1
    scores = generator.permuted(np.tile(np.arange(candidates, dtype=float), (queries, 1)), axis=1)
    found = graded_metrics(scores, grades, grades > 0, bootstrap=0)
    for k in (5, 10):
        expected = ndcg_score(np.exp2(grades) - 1, scores, k=k)
        assert found.values[f"ndcg@{k}"].value == pytest.approx(expected)


def test_recall_with_intervals_is_that_of_the_other_metrics():
    generator = np.random.default_rng(0)
    scores, relevant = generator.random((40, 30)), generator.random((40, 30)) < 0.1
    relevant[:, 0] = True
    graded = graded_metrics(scores, relevant.astype(float), relevant)
    plain = direction_metrics(scores, relevant)
    for name, one in plain.recall.items():
        assert graded.values[name] == one
        assert graded.chance[name] == pytest.approx(plain.chance[name])
    assert graded.median_rank == plain.median_rank


def test_of_equal_scores_the_less_right_comes_first():
    grades = np.array([[3.0, 0.0, 1.0]])
    found = values(graded_metrics(np.zeros((1, 3)), grades, grades > 0, bootstrap=0))
    assert found["mrr"] == 0.5
    worst = 1 / math.log2(3) + 7 / math.log2(4)
    assert found["ndcg@5"] == pytest.approx(worst / (7 + 1 / math.log2(3)))


def test_scores_that_are_equal_in_float32_alone_are_ranked_as_they_are():
    scores, grades = np.array([[1.0 + 1e-9, 1.0]]), np.array([[0.0, 1.0]])
    assert values(graded_metrics(scores, grades, grades > 0, bootstrap=0))["mrr"] == 0.5
    assert values(graded_metrics(scores.round(), grades, grades > 0, bootstrap=0))["mrr"] == 0.5, (
        "nor does the id count"
    )
    library = pytest.importorskip("pytrec_eval")
    run = {"q": dict(zip("ab", scores[0].tolist(), strict=True))}
    found = library.RelevanceEvaluator({"q": {"b": 1}}, {"recip_rank"}).evaluate(run)
    assert found["q"]["recip_rank"] == 1.0, "rounded to float32 they are equal, and the larger id comes first"


def test_outside_its_pool_a_query_ranks_nothing():
    grades = np.array([[0.0, 1.0, 0.0, 2.0]])
    pool = np.array([[False, True, True, True]])
    scores = np.array([[9.0, 1.0, 2.0, 3.0]])
    found = graded_metrics(scores, grades, grades > 0, pool, bootstrap=0)
    assert values(found)["r@1"] == 100
    assert found.chance["r@1"] == pytest.approx(100 * 2 / 3)


def test_chance_is_what_random_orders_give():
    generator = np.random.default_rng(0)
    grades = generator.integers(0, 3, (4, 12)) * (generator.random((4, 12)) < 0.3).astype(float)
    grades[:, 3] = 2
    pool = generator.random((4, 12)) < 0.8
    pool[grades > 0] = True
    many = [graded_metrics(generator.random((4, 12)), grades, grades > 0, pool, bootstrap=0) for _ in range(3000)]
    for name, expected in many[0].chance.items():
        mean = np.mean([one.values[name].value for one in many])
        assert mean == pytest.approx(expected, abs=2.0 if name.startswith("r@") else 0.015), name


def test_intervals_hold_the_value_and_shrink_without_resampling():
    generator = np.random.default_rng(0)
    grades = (generator.random((60, 20)) < 0.2).astype(float)
    grades[:, 0] = 1
    found = graded_metrics(generator.random((60, 20)), grades, grades > 0, bootstrap=200)
    for one in found.values.values():
        assert one.low < one.value < one.high
    flat = graded_metrics(generator.random((60, 20)), grades, grades > 0, bootstrap=0)
    assert all(one.low == one.value == one.high for one in flat.values.values())
    assert "of_queries" not in flat.to_dict()


def test_scores_that_are_not_finite_are_an_error():
    grades = np.array([[1.0, 0.0]])
    with pytest.raises(DataError, match="NaN or infinite"):
        graded_metrics(np.array([[np.nan, 0.0]]), grades, grades > 0)
