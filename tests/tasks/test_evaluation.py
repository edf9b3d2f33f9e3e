from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.data.pairs import PairTable
from interbert.model import scoring
from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.regions.schema import CaptionRow
from interbert.tasks import evaluation
from interbert.tasks.evaluation import evaluate_retrieval, shuffled_pictures
from interbert.tasks.retrieval import RetrievalSet

COUNT = 200


def several_texts_each(count, texts):
    relevant = np.repeat(np.eye(count, dtype=bool), texts, axis=0)
    return RetrievalSet(tuple(f"text {row}" for row in range(count * texts)), tuple(range(count)), relevant)


def stub(contrastive_size=None):
    return SimpleNamespace(config=SimpleNamespace(contrastive_size=contrastive_size, fusion="sum"))


def judged(monkeypatch, data, scores, **options):
    monkeypatch.setattr(evaluation, "score_matrix", lambda *_: scores)
    return evaluate_retrieval(stub(), data, [], [], bootstrap=50, **options)


@pytest.mark.parametrize("texts", [1, 3])
def test_a_perfect_model_falls_to_chance_when_pictures_are_shuffled(monkeypatch, texts):
    data = several_texts_each(COUNT, texts)
    noise = np.random.default_rng(0).random(data.relevant.shape)
    reports = [judged(monkeypatch, data, data.relevant * 10 + noise, seed=seed) for seed in range(8)]
    assert all(one.joint.text_to_image.recall["r@1"].value == 100 for one in reports)
    assert all(one.joint.image_to_text.recall["r@1"].value == 100 for one in reports)
    for k in (1, 10):
        shuffled = np.mean([one.shuffled.recall[f"r@{k}"].value for one in reports])
        assert shuffled == pytest.approx(100 * k / COUNT, abs=1.5)
        assert reports[0].shuffled.chance[f"r@{k}"] == pytest.approx(100 * k / COUNT)


def test_both_directions_are_judged_each_on_its_own(monkeypatch):
    data = several_texts_each(20, 2)
    scores = data.relevant.astype(np.float32)
    scores[1::2] += 5  # the second texts please every picture: text to image stays perfect
    report = judged(monkeypatch, data, scores)
    assert report.joint.text_to_image.recall["r@1"].value == 100
    assert report.joint.image_to_text.recall["r@1"].value == 100
    scores[1] += 5  # one text beats every picture's own
    report = judged(monkeypatch, data, scores)
    assert report.joint.text_to_image.recall["r@1"].value == 100
    assert report.joint.image_to_text.recall["r@1"].value == 5
    assert (report.joint.text_to_image.n, report.joint.image_to_text.n) == (40, 20)


def test_the_shuffle_is_a_permutation_and_the_seeds():
    data = several_texts_each(COUNT, 1)
    assert sorted(shuffled_pictures(data, 1)) == list(range(COUNT))
    assert (shuffled_pictures(data, 1) == shuffled_pictures(data, 1)).all()
    assert (shuffled_pictures(data, 1) != shuffled_pictures(data, 2)).any()


def test_a_model_with_a_contrastive_head_is_judged_as_a_dual_encoder_too(monkeypatch):
    data = several_texts_each(10, 1)
    monkeypatch.setattr(evaluation, "score_matrix", lambda *_: np.zeros((10, 10)))
    monkeypatch.setattr(evaluation, "dual_matrix", lambda *_: data.relevant * 1.0)
    report = evaluate_retrieval(stub(contrastive_size=4), data, [], [], bootstrap=0)
    assert report.dual.recall["r@1"].value == 100
    assert report.joint.text_to_image.recall["r@1"].value == 0
    assert report.to_dict()["dual_text_to_image"]["recall"]["r@1"]["value"] == 100
    assert report.by_head is None  # a sum has no such score


def test_a_real_model_end_to_end(monkeypatch):
    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: False)
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    generator = np.random.default_rng(0)
    texts = [generator.integers(1, 60, 3 + row % 4).tolist() for row in range(12)]
    pictures = [
        (generator.standard_normal((n, 10), dtype=np.float32), generator.random((n, 5), dtype=np.float32))
        for n in (2, 5, 3, 3, 6, 4)
    ]
    data = several_texts_each(6, 2)
    done = []
    report = evaluate_retrieval(model, data, texts, pictures, bootstrap=20, progress=done.append)
    assert sum(done) == report.to_dict()["pairs"] == 72
    np.testing.assert_array_equal(report.scores, score_matrix(model, texts, pictures))
    expected = evaluation.direction_metrics(dual_matrix(model, texts, pictures), data.relevant, 20, 0)
    assert report.dual == expected
    by_head = evaluation.direction_metrics(dual_matrix(model, texts, pictures, by="head"), data.relevant, 20, 0)
    assert report.by_head == by_head
    assert report.to_dict()["head_text_to_image"]["recall"]["r@1"]["value"] == by_head.recall["r@1"].value
    assert report.seconds > 0


def test_identical_texts_are_one_query_and_a_products_pictures_are_all_right():
    def row(index, product, *texts):
        return CaptionRow(index, f"p{index}", product, "", 0, index, texts, ("title",) * len(texts))

    table = PairTable.from_captions([row(0, "a", "red", "round"), row(1, "a", "crimson"), row(2, "b", "Red ")])
    data = RetrievalSet.from_table(table)
    assert data.texts == ("red", "round", "crimson")
    assert data.picture_rows == (0, 1, 2)
    assert data.relevant.tolist() == [[True, True, True], [True, True, False], [True, True, False]]
    first = RetrievalSet.from_table(table, limit=1)
    assert first.texts == ("red", "round")
    assert first.relevant.tolist() == [[True], [True]]
