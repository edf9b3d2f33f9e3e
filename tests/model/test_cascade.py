import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.errors import ConfigError, DataError
from interbert.model.cascade import Cascade, best
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import pad_texts
from interbert.model.region_inputs import pad_images
from interbert.model.scoring import dual_matrix, score_matrix

pytestmark = pytest.mark.usefixtures("float32")


def made(**values):
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(**values)).eval()
    torch.nn.init.normal_(model.matching_head.bias)
    return model


@pytest.fixture(scope="module")
def finished():
    """A model as fine-tuning leaves it: with a query bank and a mixture."""
    model = made(contrastive_size=8)
    model.keep_query_bank(torch.nn.functional.normalize(torch.randn(5, 8), dim=1), 0.5)
    model.config.dual_score_weight = 3.0
    return model


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    return [generator.integers(1, 60, length).tolist() for length in (9, 3, 5, 3, 12, 7)]


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(1)
    return [
        (generator.standard_normal((n, 10), dtype=np.float32), generator.random((n, 5), dtype=np.float32))
        for n in (4, 7, 1, 7, 2, 5, 3, 6, 4)
    ]


def test_the_heads_vectors_give_the_matching_logits_of_sides_encoded_apart(texts, images):
    model = made()
    words, regions = pad_texts(texts), pad_images(images)
    with torch.no_grad():
        ours = model.head_text(**words) @ model.head_image(**regions).T
        alone = model.interbert(words["input_ids"], words["attention_mask"]).text_pooled
        shown = model.interbert(**regions).image_pooled
        logits = model.matching_head(model.fusion(alone[:, None], shown[None, :]))  # every text with every image
    expected = logits[..., 0] - logits[..., 1]
    assert expected.std() > 0.01
    assert ours.shape == (len(texts), len(images))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(dual_matrix(model, texts, images, by="head"), expected.numpy(), rtol=0, atol=1e-5)


def test_with_a_sum_the_head_would_rank_the_images_alike_for_every_text_and_is_refused(texts, images):
    model = made(fusion="sum")
    with torch.no_grad():
        alone = (
            model.interbert(**pad_texts(texts[:1])).text_pooled,
            model.interbert(**pad_texts(texts[1:2])).text_pooled,
        )
        shown = model.interbert(**pad_images(images)).image_pooled
        one, other = (model.matching_head(model.fusion(text, shown)) for text in alone)
    apart = (one[:, 0] - one[:, 1]) - (other[:, 0] - other[:, 1])
    torch.testing.assert_close(apart, apart[:1].expand_as(apart), rtol=0, atol=1e-5)  # why it is refused
    for encode, side in ((model.head_text, pad_texts(texts)), (model.head_image, pad_images(images))):
        with pytest.raises(ConfigError, match=r"fusion 'mul' only.*every text would rank the images alike"):
            encode(**side)


def test_all_images_reranked_are_the_full_joint_ranking(finished, texts, images):
    cascade = Cascade(finished, images)
    candidates, fused = cascade.rerank(texts, cascade.recall(texts), len(images))
    scores = np.empty_like(fused)
    np.put_along_axis(scores, candidates, fused, axis=1)
    np.testing.assert_allclose(scores, score_matrix(finished, texts, images), rtol=0, atol=1e-5)


def test_the_best_recalled_are_reranked_with_the_joint_and_the_dual_score(finished, texts, images):
    cascade = Cascade(finished, images)
    recalled = cascade.recall(texts)
    np.testing.assert_allclose(recalled, dual_matrix(finished, texts, images), rtol=0, atol=1e-5)
    done = []
    candidates, fused = cascade.rerank(texts, recalled, 4, done.append)
    assert sum(done) == 4 * len(texts)
    np.testing.assert_array_equal(candidates, np.argsort(-recalled, axis=1)[:, :4])
    matrix = score_matrix(finished, texts, images)
    np.testing.assert_allclose(fused, np.take_along_axis(matrix, candidates, axis=1), rtol=0, atol=1e-5)
    without = score_matrix(made(contrastive_size=8), texts, images)  # the same weights, no prior
    apart = np.take_along_axis(matrix - without, candidates, axis=1)
    np.testing.assert_allclose(apart, 3.0 * np.take_along_axis(recalled, candidates, axis=1), rtol=0, atol=1e-4)


def test_one_query_at_a_time_gets_what_all_at_once_get(finished, texts, images):
    cascade = Cascade(finished, images)
    candidates, fused = cascade.rerank(texts, cascade.recall(texts), 3)
    for row, text in enumerate(texts):
        alone, scores = cascade.rerank([text], cascade.recall([text]), 3)
        assert alone[0].tolist() == candidates[row].tolist()
        np.testing.assert_allclose(scores[0], fused[row], rtol=0, atol=1e-5)


def test_without_projections_the_matching_head_recalls(texts, images):
    model = made()
    cascade = Cascade(model, images)
    assert (cascade.by, cascade.can_recall) == ("head", True)
    np.testing.assert_allclose(cascade.recall(texts), dual_matrix(model, texts, images, by="head"), rtol=0, atol=1e-5)


def test_a_model_without_a_recall_score_ranks_jointly_and_says_why_it_cannot_recall(texts, images):
    model = made(fusion="sum")
    cascade = Cascade(model, images)
    assert not cascade.can_recall
    with pytest.raises(ConfigError, match="contrastive_size"):
        cascade.recall(texts)
    candidates, fused = cascade.rerank(texts, np.zeros((len(texts), len(images)), dtype=np.float32), 99)
    assert candidates[0].tolist() == list(range(len(images)))
    np.testing.assert_allclose(fused, score_matrix(model, texts, images), rtol=0, atol=1e-5)


def test_scores_that_are_no_numbers_are_an_error(texts, images):
    model = made(contrastive_size=8)
    cascade = Cascade(model, images)
    with torch.no_grad():
        model.matching_head.weight[0, 0] = float("nan")
    with pytest.raises(DataError, match="NaN or infinite"):
        cascade.rerank(texts, cascade.recall(texts), 2)


def test_the_best_come_in_order_and_equal_ones_as_they_stand():
    scores = np.array([[1, 3, 2, 3, 0], [0, 0, 0, 0, 0]], dtype=np.float32)
    assert best(scores, 5).tolist() == [[1, 3, 2, 0, 4], [0, 1, 2, 3, 4]]
    assert best(scores, 3)[0].tolist() == [1, 3, 2]
    random = np.random.default_rng(0).random((20, 50)).astype(np.float32)
    np.testing.assert_array_equal(best(random, 7), np.argsort(-random, axis=1)[:, :7])
