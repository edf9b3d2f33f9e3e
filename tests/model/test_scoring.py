import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import tiny_config

from interbert.errors import DataError
from interbert.model import scoring
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, encode_all, score_matrix, score_pairs

pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    return [generator.integers(1, 60, length).tolist() for length in (9, 3, 5, 3, 12, 3, 5, 1, *[3] * 9)]


def make_images(regions):
    generator = np.random.default_rng(1)
    return [
        (generator.standard_normal((n, 10), dtype=np.float32), generator.random((n, 5), dtype=np.float32))
        for n in regions
    ]


@pytest.fixture(scope="module")
def images():
    return make_images([4, 7, 1, 7, 2, 5])


def one_by_one(model, texts, images):
    scores = np.empty((len(texts), len(images)))
    with torch.no_grad():
        for i, ids in enumerate(texts):
            for j, (features, locations) in enumerate(images):
                logits = model(
                    input_ids=torch.tensor([ids]),
                    region_features=torch.from_numpy(features)[None],
                    region_locations=torch.from_numpy(locations)[None],
                ).logits[0]
                scores[i, j] = logits[0] - logits[1]
    return scores


@pytest.mark.parametrize("pairs_per_batch", [1, 5, 256])
def test_the_matrix_holds_what_single_forwards_give(model, texts, images, pairs_per_batch):
    expected = one_by_one(model, texts, images)
    assert expected.std() > 0.01
    ours = score_matrix(model, texts, images, pairs_per_batch=pairs_per_batch)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_images_with_equal_numbers_of_regions(model, texts):
    images = make_images([3, 3, 3])
    expected = one_by_one(model, texts, images)
    np.testing.assert_allclose(score_matrix(model, texts, images), expected, rtol=0, atol=1e-5)


def test_more_images_than_one_embedding_batch(model, texts, monkeypatch):
    monkeypatch.setattr(scoring, "_EMBED_BATCH", 2)
    images = make_images([2, 3, 6, 1, 4])
    expected = one_by_one(model, texts[:4], images)
    np.testing.assert_allclose(score_matrix(model, texts[:4], images), expected, rtol=0, atol=1e-5)


numbers = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), min_size=1, max_size=80)


@settings(deadline=None, max_examples=80)
@given(numbers, st.integers(1, 20), st.one_of(st.none(), st.integers(1, 200)))
def test_batches_hold_every_pair_once_with_texts_of_one_length_and_no_more_than_allowed(pairs, most, tokens):
    lengths, counts = np.array(pairs).T
    batches = list(scoring._even_batches(lengths, counts, most, tokens))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(pairs)))
    for batch in batches:
        assert len(set(lengths[batch])) == 1
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or tokens is None or (lengths + counts)[batch].sum() <= tokens


def test_images_of_like_size_are_scored_together():
    counts = np.tile([3, 40], 32)
    batches = list(scoring._even_batches(np.full(64, 5), counts, 32, None))
    assert [set(counts[batch]) for batch in batches] == [{3}, {40}]


def test_scores_follow_the_order_of_texts_and_images(model, texts, images):
    rows, columns = np.random.default_rng(0).permutation(len(texts)), [3, 0, 5, 1, 4, 2]
    scores = score_matrix(model, texts, images)
    again = score_matrix(model, [texts[i] for i in rows], [images[j] for j in columns])
    np.testing.assert_allclose(again, scores[rows][:, columns], rtol=0, atol=1e-5)


def test_candidates_get_the_scores_of_the_matrix(model, texts, images):
    candidates = np.array([np.random.default_rng(row).permutation(6)[:3] for row in range(len(texts))])
    expected = np.take_along_axis(score_matrix(model, texts, images), candidates, axis=1)
    np.testing.assert_allclose(score_pairs(model, texts, images, candidates), expected, rtol=0, atol=1e-5)


def test_progress_counts_every_pair_once(model, texts, images):
    done = []
    score_matrix(model, texts, images, done.append, pairs_per_batch=7)
    assert sum(done) == len(texts) * len(images)
    assert len(done) > 1


def test_dropout_is_off_while_scoring_and_training_mode_comes_back(texts, images):
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8, hidden_dropout_prob=0.5)).train()
    for score in (score_matrix, dual_matrix):
        np.testing.assert_array_equal(score(model, texts, images), score(model, texts, images))
        assert model.training


def test_the_dual_matrix_is_the_inner_product_of_separately_encoded_sides(model, texts, images):
    with torch.no_grad():
        ours = torch.cat([model.encode_text(torch.tensor([ids])) for ids in texts])
        theirs = torch.cat([model.encode_image(*(torch.from_numpy(a)[None] for a in one)) for one in images])
    torch.testing.assert_close(theirs.norm(dim=-1), torch.ones(len(images)))
    np.testing.assert_allclose(dual_matrix(model, texts, images), (ours @ theirs.T).numpy(), rtol=0, atol=1e-5)


def test_encoded_sides_keep_their_order(model, texts, images):
    text_vectors, image_vectors = encode_all(model, texts, images)
    backwards = encode_all(model, texts[::-1], images[::-1])
    np.testing.assert_allclose(backwards[0][::-1], text_vectors, rtol=0, atol=1e-5)
    np.testing.assert_allclose(backwards[1][::-1], image_vectors, rtol=0, atol=1e-5)


def test_scores_that_are_no_numbers_are_an_error_and_no_ranking():
    model = InterBertForImageTextRetrieval(tiny_config())
    with torch.no_grad():
        model.interbert.image_pooler.dense.weight[0, 0] = float("nan")
    image = (np.ones((3, 10), dtype=np.float32), np.ones((3, 5), dtype=np.float32))
    with pytest.raises(DataError, match="NaN or infinite"):
        score_matrix(model, [[1, 2, 3]], [image])
