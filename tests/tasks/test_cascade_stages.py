import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.errors import ConfigError
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.tasks.cascade import CascadePlan, behind_candidates, evaluate_cascade
from interbert.tasks.metrics import direction_metrics
from interbert.tasks.relevance import RelevanceSet, graded_metrics
from interbert.tasks.retrieval import RetrievalSet

COUNT = 14


pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    model.config.dual_score_weight = 2.0
    return model


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    return [generator.integers(1, 60, 3 + row % 4).tolist() for row in range(COUNT)]


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(1)
    return [
        (generator.standard_normal((3, 10), dtype=np.float32), generator.random((3, 5), dtype=np.float32))
        for _ in range(COUNT)
    ]


@pytest.fixture(scope="module")
def plain():
    return RetrievalSet(tuple(map(str, range(COUNT))), tuple(range(COUNT)), np.eye(COUNT, dtype=bool))


def test_every_stage_is_judged_and_timed(model, texts, images, plain):
    done = []
    plan = CascadePlan((5, 2, 2, 99), timed=3, bootstrap=50)
    data = RelevanceSet.from_set(plain)
    report = evaluate_cascade(model, data, texts, images, plan, done.append)
    assert sum(done) == plan.pairs(data) == COUNT * (2 + 5 + COUNT)
    assert [(one.kind, one.candidates) for one in report.stages] == [
        ("recall", 0),
        ("head", 0),
        ("cascade", 2),
        ("cascade", 5),
        ("joint", COUNT),
    ]
    recall, head, *cascades, joint = report.stages
    for stage, scores in (
        (recall, dual_matrix(model, texts, images)),
        (head, dual_matrix(model, texts, images, by="head")),
        (joint, score_matrix(model, texts, images)),
    ):
        expected = direction_metrics(scores, plain.relevant, 50, 0)
        assert {name: stage.metrics.values[name] for name in expected.recall} == expected.recall
    assert head.timing is None
    for stage in (recall, *cascades, joint):
        assert stage.timing.timed == 3
        assert 0 < stage.timing.alone_median <= stage.timing.alone_p95
        assert stage.timing.batched > 0
    assert joint.below_joint.value == joint.below_joint.low == joint.below_joint.high == 0
    apart = cascades[0].metrics.values["r@1"].value - joint.metrics.values["r@1"].value
    assert cascades[0].below_joint.value == pytest.approx(apart)
    written = report.to_dict()
    assert len(written["stages"]) == 5
    assert written["threads"] == torch.get_num_threads()
    assert report.shuffled.values["r@1"] != joint.metrics.values["r@1"]


def test_candidates_come_first_by_their_fused_scores_and_then_the_others_as_recalled():
    recalled = np.array([[0.9, 0.8, 0.7, 0.6, 0.5]], dtype=np.float32)
    candidates, fused = np.array([[0, 1]]), np.array([[-50.0, 3.0]], dtype=np.float32)
    scores = behind_candidates(recalled, candidates, fused)
    assert np.argsort(-scores[0]).tolist() == [1, 0, 2, 3, 4]


def test_a_cascade_keeps_what_recall_found_beyond_its_depth(model, texts, images, plain):
    report = evaluate_cascade(
        model, RelevanceSet.from_set(plain), texts, images, CascadePlan((2,), joint=False, timed=0, bootstrap=0)
    )
    recall, _, cascade = report.stages
    for name in ("r@5", "r@10"):
        assert cascade.metrics.values[name] == recall.metrics.values[name]
    assert cascade.below_joint is None
    assert cascade.timing.alone_median is None
    assert cascade.timing.timed == 0


def test_judgements_with_pools_score_no_other_pairs(model, texts, images):
    generator = np.random.default_rng(0)
    pool = generator.random((COUNT, 7)) < 0.5
    grades = (generator.integers(0, 3, (COUNT, 7)) * pool).astype(np.float32)
    grades[:, 2], pool[:, 2] = 1, True
    data = RelevanceSet(
        tuple(map(str, range(COUNT))), tuple(range(COUNT)), np.repeat(np.arange(7), 2), grades, grades > 0, pool
    )
    done = []
    plan = CascadePlan(bootstrap=0)
    report = evaluate_cascade(model, data, texts, images, plan, done.append)
    assert sum(done) == plan.pairs(data) == 2 * pool.sum()
    best = score_matrix(model, texts, images).reshape(COUNT, 7, 2).max(axis=2)
    expected = graded_metrics(best, grades, grades > 0, pool, bootstrap=0)
    assert report.stages[-1].metrics.values == expected.values


def test_a_model_without_a_recall_score_is_ranked_jointly_alone(texts, images, plain):
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(fusion="sum")).eval()
    data = RelevanceSet.from_set(plain)
    report = evaluate_cascade(model, data, texts, images, CascadePlan(timed=0, bootstrap=0))
    assert [one.kind for one in report.stages] == ["joint"]
    with pytest.raises(ConfigError, match="contrastive_size"):
        evaluate_cascade(model, data, texts, images, CascadePlan((3,)))
