from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.data.pairs import PairTable
from interbert.model import scoring
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.regions.schema import CaptionRow
from interbert.tasks import evaluation
from interbert.tasks.evaluation import evaluate_retrieval, shuffled_images
from interbert.tasks.metrics import retrieval_metrics
from interbert.tasks.relevance import RelevanceSet, graded_metrics
from interbert.tasks.retrieval import RetrievalSet, RetrievalTask

COUNT = 200


def several_texts_each(count, texts):
    relevant = np.repeat(np.eye(count, dtype=bool), texts, axis=0)
    return RetrievalSet(tuple(f"text {row}" for row in range(count * texts)), tuple(range(count)), relevant)


def stub(contrastive_size=None):
    return SimpleNamespace(config=SimpleNamespace(contrastive_size=contrastive_size, fusion="sum"))


def judged(monkeypatch, data, scores, **options):
    def score_matrix(_, texts, images, *__, bf16=None):
        return scores if bf16 is None else np.zeros((len(texts), len(images)))

    monkeypatch.setattr(evaluation, "score_matrix", score_matrix)
    return evaluate_retrieval(stub(), data, *nothing_of(data), bootstrap=50, **options)


def nothing_of(data):
    image = (np.zeros((1, 2), dtype=np.float32), np.zeros((1, 5), dtype=np.float32))
    return [[1]] * len(data.texts), [image] * len(data.image_rows)


@pytest.mark.parametrize("texts", [1, 3])
def test_a_perfect_model_falls_to_chance_when_images_are_shuffled(monkeypatch, texts):
    data = several_texts_each(COUNT, texts)
    noise = np.random.default_rng(0).random(data.relevant.shape)
    reports = [judged(monkeypatch, data, data.relevant * 10 + noise, seed=seed) for seed in range(8)]
    assert all(one.joint.text_to_image.recall["r@1"].value == 100 for one in reports)
    assert all(one.joint.image_to_text.recall["r@1"].value == 100 for one in reports)
    for k in (1, 10):
        shuffled = np.mean([one.shuffled.recall[f"r@{k}"].value for one in reports])
        assert shuffled == pytest.approx(100 * k / COUNT, abs=1.5)
        assert reports[0].shuffled.chance[f"r@{k}"] == pytest.approx(100 * k / COUNT)


def test_shuffled_columns_are_what_the_model_gives_for_shuffled_images(monkeypatch):
    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: False)
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    model.config.dual_score_weight = 2.0
    generator = np.random.default_rng(0)
    texts = [generator.integers(1, 60, 3 + row % 3).tolist() for row in range(3)]
    images = [
        (generator.standard_normal((n, 10), dtype=np.float32), generator.random((n, 5), dtype=np.float32))
        for n in (2, 5, 3, 3, 6, 4)
    ]
    order = shuffled_images(several_texts_each(6, 1), seed=3)
    assert order.tolist() != list(range(6))
    again = score_matrix(model, texts, [images[place] for place in order])
    np.testing.assert_allclose(again, score_matrix(model, texts, images)[:, order], atol=1e-4)


def test_a_model_that_reads_the_images_is_at_chance_when_all_are_the_mean_image(monkeypatch):
    data = several_texts_each(40, 1)

    def reads_images(_, texts, images, *__, **___):
        return np.array([[features[0, text[0]] for features, _ in images] for text in texts])

    monkeypatch.setattr(evaluation, "score_matrix", reads_images)
    texts = [[place] for place in range(40)]
    images = [(np.eye(40, dtype=np.float32)[[place]], np.zeros((1, 5), dtype=np.float32)) for place in range(40)]
    report = evaluate_retrieval(stub(), data, texts, images, bootstrap=20)
    assert report.joint.text_to_image.recall["r@1"].value == 100
    for name, value in report.mean_image.chance.items():
        assert report.mean_image.recall[name].value == pytest.approx(value)
    assert report.mean_image.chance["r@1"] == pytest.approx(2.5)
    assert report.mean_image.candidates == 40
    written = report.to_dict()["mean_image_text_to_image"]
    assert (written["candidates"], written["n"]) == (40, 32)


def test_the_mean_image_tells_on_a_model_that_reads_something_else(monkeypatch):
    data = several_texts_each(40, 1)

    def reads_places(_, texts, images, *__, **___):  # such as vectors that were kept of the real images
        return np.eye(len(images))[[text[0] for text in texts]]

    monkeypatch.setattr(evaluation, "score_matrix", reads_places)
    _, images = nothing_of(data)
    report = evaluate_retrieval(stub(), data, [[place] for place in range(40)], images, bootstrap=0)
    assert report.mean_image.recall["r@1"].value == 100
    assert report.shuffled.recall["r@1"].value < 20  # which the shuffled control does not see


def test_both_directions_are_judged_each_on_its_own(monkeypatch):
    data = several_texts_each(20, 2)
    scores = data.relevant.astype(np.float32)
    scores[1::2] += 5  # the second texts please every image: text to image stays perfect
    report = judged(monkeypatch, data, scores)
    assert report.joint.text_to_image.recall["r@1"].value == 100
    assert report.joint.image_to_text.recall["r@1"].value == 100
    scores[1] += 5  # one text beats every image's own
    report = judged(monkeypatch, data, scores)
    assert report.joint.text_to_image.recall["r@1"].value == 100
    assert report.joint.image_to_text.recall["r@1"].value == 5
    assert (report.joint.text_to_image.n, report.joint.image_to_text.n) == (40, 20)


def test_the_shuffle_is_a_permutation_and_the_seeds():
    data = several_texts_each(COUNT, 1)
    assert sorted(shuffled_images(data, 1)) == list(range(COUNT))
    assert (shuffled_images(data, 1) == shuffled_images(data, 1)).all()
    assert (shuffled_images(data, 1) != shuffled_images(data, 2)).any()


def test_a_model_with_a_contrastive_head_is_judged_as_a_dual_encoder_too(monkeypatch):
    data = several_texts_each(10, 1)
    monkeypatch.setattr(evaluation, "score_matrix", lambda *_, **__: np.zeros((10, 10)))
    monkeypatch.setattr(evaluation, "dual_matrix", lambda *_: data.relevant * 1.0)
    report = evaluate_retrieval(stub(contrastive_size=4), data, *nothing_of(data), bootstrap=0)
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
    images = [
        (generator.standard_normal((n, 10), dtype=np.float32), generator.random((n, 5), dtype=np.float32))
        for n in (2, 5, 3, 3, 6, 4)
    ]
    data = several_texts_each(6, 2)
    done = []
    report = evaluate_retrieval(model, data, texts, images, bootstrap=20, progress=done.append)
    assert sum(done) == report.to_dict()["pairs"] == 72
    np.testing.assert_array_equal(report.scores, score_matrix(model, texts, images))
    expected = evaluation.direction_metrics(dual_matrix(model, texts, images), data.relevant, 20, 0)
    assert report.dual == expected
    by_head = evaluation.direction_metrics(dual_matrix(model, texts, images, by="head"), data.relevant, 20, 0)
    assert report.by_head == by_head
    assert report.to_dict()["head_text_to_image"]["recall"]["r@1"]["value"] == by_head.recall["r@1"].value
    assert report.mean_image.recall["r@1"].value == pytest.approx(report.mean_image.chance["r@1"])
    assert report.seconds > 0


def test_identical_texts_are_one_query_and_a_products_images_are_all_right():
    def row(index, product, *texts):
        return CaptionRow(index, f"p{index}", product, "", 0, index, texts, ("title",) * len(texts))

    table = PairTable.from_captions([row(0, "a", "red", "round"), row(1, "a", "crimson"), row(2, "b", "Red ")])
    data = RetrievalSet.from_table(table)
    assert data.texts == ("red", "round", "crimson")
    assert data.image_rows == (0, 1, 2)
    assert data.relevant.tolist() == [[True, True, True], [True, True, False], [True, True, False]]
    samples = {RetrievalSet.from_table(table, limit=2, seed=seed).image_rows for seed in range(9)}
    assert samples == {(0, 1), (2,)}  # a product's images stay together


def test_images_without_texts_are_candidates_of_every_text_and_ask_for_none():
    def row(index, *texts):
        return CaptionRow(index, f"p{index}", "", "", 0, index, texts, ("title",) * len(texts))

    table = PairTable.from_captions([row(index, *([f"text {index}"] if index % 7 == 3 else [])) for index in range(20)])
    data = RetrievalSet.from_table(table)
    assert (len(data.texts), data.image_rows) == (3, tuple(range(20)))
    assert np.argwhere(data.relevant).tolist() == [[0, 3], [1, 10], [2, 17]]
    metrics = retrieval_metrics(np.zeros(data.relevant.shape), data.relevant)
    assert (metrics.text_to_image.n, metrics.text_to_image.candidates) == (3, 20)
    assert metrics.text_to_image.chance["r@1"] == pytest.approx(5.0)
    assert metrics.text_to_image.median_rank == 20
    assert (metrics.image_to_text.n, metrics.image_to_text.candidates) == (3, 3)
    judged = RelevanceSet.from_set(data)
    graded = graded_metrics(np.zeros(judged.grades.shape), judged.grades, judged.relevant)
    assert (graded.candidates, graded.chance["r@1"]) == (20, pytest.approx(5.0))
    for seed in range(5):  # a sample always has something to ask for
        some = RetrievalSet.from_table(table, limit=4, seed=seed)
        assert len(some.image_rows) == 4
        assert 1 <= len(some.texts) == some.relevant.sum()


def test_an_image_without_a_text_is_right_for_its_products_texts():
    shelf = [("a", "red"), ("a", None), ("b", "blue"), ("", None)]
    rows = [
        CaptionRow(index, f"p{index}", product, "", 0, index, (text,) if text else (), ("title",) if text else ())
        for index, (product, text) in enumerate(shelf)
    ]
    data = RetrievalSet.from_table(PairTable.from_captions(rows))
    assert data.relevant.tolist() == [[True, True, False, False], [False, False, True, False]]


def test_a_sorted_store_is_sampled_over_all_its_rows():
    def row(index):
        return CaptionRow(index, f"p{index}", f"product {index // 2}", "", 0, index, (f"text {index}",), ("title",))

    table = PairTable.from_captions(row(index) for index in range(1000))
    first = RetrievalSet.from_table(table, limit=100, seed=1)
    assert first.image_rows == RetrievalSet.from_table(table, limit=100, seed=1).image_rows
    assert first.image_rows != RetrievalSet.from_table(table, limit=100, seed=2).image_rows
    rows = np.array(first.image_rows)
    assert len(rows) == 100
    assert (np.bincount(rows // 2, minlength=500) % 2 == 0).all()
    assert (np.histogram(rows, bins=5, range=(0, 1000))[0] >= 8).all()


def test_one_validation_image_is_judged_and_fits_nothing(monkeypatch):
    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: False)
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    image = (np.ones((3, 10), dtype=np.float32), np.ones((3, 5), dtype=np.float32))
    data = RetrievalSet(("red", "round"), (7,), np.ones((2, 1), dtype=bool))
    task = RetrievalTask(data, [[1, 5, 2], [1, 9, 8, 2]], [image])
    found = task.evaluate(model)
    assert (found["r@1"], found["candidates"]) == (100, 1)
    assert task.fusion is None
    before = model.matching_head.weight.clone()
    task.calibrate(model)
    assert torch.equal(model.matching_head.weight, before)


def test_texts_without_a_wrong_image_do_not_calibrate(monkeypatch):
    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: False)
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    generator = np.random.default_rng(0)
    images = [(generator.random((3, 10), dtype=np.float32), np.ones((3, 5), dtype=np.float32)) for _ in range(2)]
    texts = [[1, 5, 2], [1, 9, 2], [1, 7, 2]]
    every = RetrievalSet(("a", "b", "all"), (0, 1), np.array([[True, False], [False, True], [True, True]]))
    some = RetrievalSet(("a", "b"), (0, 1), np.eye(2, dtype=bool))
    other = InterBertForImageTextRetrieval(model.config)
    other.load_state_dict(model.state_dict())
    RetrievalTask(every, texts, images).calibrate(model)
    RetrievalTask(some, texts[:2], images).calibrate(other)
    torch.testing.assert_close(model.matching_head.weight, other.matching_head.weight)
