from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.checkpoints.bert import bert_tokenizer
from interbert.data.masking import hide_regions
from interbert.errors import ConfigError, RegionError
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor, location_vectors

MEAN, STD = [1.0, -2.0, 0.5], [2.0, 0.5, 1.0]
EXTRACTOR = {"name": "grid", "settings": {"scales": [1, 2]}, "feature_size": 3, "num_classes": None}


def regions(count=2, size=3, seed=0):
    generator = np.random.default_rng(seed)
    boxes = np.array([[0, 0, 20, 10], [5, 5, 15, 25], [1, 2, 3, 4]], dtype=np.float32)[:count]
    return SimpleNamespace(boxes=boxes, features=generator.standard_normal((count, size)), width=40, height=50)


@pytest.fixture(scope="module")
def processor(tiny_bert):
    return InterBertProcessor(InterBertRegionFeatureExtractor(EXTRACTOR, MEAN, STD), bert_tokenizer(tiny_bert), 12)


@pytest.mark.parametrize("used_before", [False, True])
def test_a_saved_processor_gives_the_same_inputs(processor, tmp_path, used_before):
    if used_before:
        processor(text="warm up", regions=regions())
    processor.save_pretrained(tmp_path)
    loaded = InterBertProcessor.from_pretrained(tmp_path)
    texts, images = ["a red shoe", "blue"], [regions(3, seed=1), regions(1, seed=2)]
    ours, theirs = processor(text=texts, regions=images), loaded(text=texts, regions=images)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert loaded.max_text_tokens == 12
    assert loaded.extractor_info == EXTRACTOR


def test_features_are_standardised():
    features = np.array([[1.0, -2.0, 0.5], [3.0, -1.0, -0.5]], dtype=np.float16)
    scaled = InterBertRegionFeatureExtractor(None, MEAN, STD).standardise(features)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[0, 0, 0], [1, 2, -1]], atol=1e-6)
    np.testing.assert_array_equal(InterBertRegionFeatureExtractor().standardise(features), features)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("wrong", [[np.nan], [np.inf], [np.inf, -np.inf]])
def test_features_that_are_not_finite_name_their_place(processor, dtype, wrong):
    broken = regions()
    broken.features = broken.features.astype(dtype)
    processor.image_inputs(broken)
    broken.features[: len(wrong), 2] = wrong
    with pytest.raises(RegionError, match=r"shop\.lance, row 7.*NaN or infinite"):
        processor.image_inputs(broken, where="shop.lance, row 7")


def test_large_features_may_add_up_to_what_is_no_number():
    features = np.full((3, 2), 3e38, dtype=np.float32)
    np.testing.assert_array_equal(InterBertRegionFeatureExtractor().standardise(features), features)


def test_location_vectors_worked_by_hand():
    boxes = np.array([[0, 0, 20, 10], [5, 5, 15, 25]])
    expected = [[0, 0, 0.5, 0.2, 0.1], [0.125, 0.1, 0.375, 0.5, 0.1]]
    np.testing.assert_allclose(location_vectors(boxes, 40, 50), expected, atol=1e-6)


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 200), st.integers(1, 200), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_location_vectors_stay_within_the_image(width, height, corners):
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    (vector,) = location_vectors(np.array([[x1 * width, y1 * height, x2 * width, y2 * height]]), width, height)
    np.testing.assert_allclose(vector, [x1, y1, x2, y2, (x2 - x1) * (y2 - y1)], atol=1e-5)


def test_the_global_token_comes_first_and_is_the_mean(processor):
    one = regions(3)
    features, locations = processor.image_inputs(one)
    assert features.shape == (4, 3)
    assert locations[0].tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_allclose(features[0], features[1:].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(features[1:], (one.features - MEAN) / STD, atol=1e-5)


def test_hidden_regions_count_as_zeros_in_the_mean():
    features = np.array([[4.0, 6.0], [3.0, 6.0], [9.0, 9.0], [0.0, 3.0]], dtype=np.float32)
    image = features, np.zeros((4, 5), dtype=np.float32)
    seen, locations = hide_regions(image, np.array([False, True, False]))
    assert seen.tolist() == [[1, 3], [3, 6], [0, 0], [0, 3]]
    assert locations is image[1]
    assert features.tolist() == [[4, 6], [3, 6], [9, 9], [0, 3]]
    assert hide_regions(image, np.zeros(3, dtype=bool))[0] is features


def test_batches_are_padded(processor):
    inputs = processor(text=["a red shoe", "blue"], regions=[regions(1), regions(3)])
    assert inputs["attention_mask"].sum(dim=1).tolist() == [5, 3]
    assert (inputs["input_ids"][1, 3:] == processor.tokenizer.pad_token_id).all()
    assert inputs["region_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert (inputs["region_features"][0, 2:] == 0).all()
    assert inputs["region_locations"].shape == (2, 4, 5)


def test_each_side_alone(processor):
    assert set(processor(text="a red shoe")) == {"input_ids", "attention_mask"}
    assert set(processor(regions=regions())) == {"region_features", "region_locations", "region_mask"}
    with pytest.raises(ConfigError, match="text"):
        processor()


@pytest.mark.parametrize("words", [11, 500, 5000])
def test_a_long_text_is_cut_and_keeps_its_sep(processor, words):
    (ids,) = processor.texts_to_ids(["red " * words])
    tokenizer = processor.tokenizer
    red = tokenizer.convert_tokens_to_ids("red")
    assert ids == [tokenizer.cls_token_id, *[red] * 10, tokenizer.sep_token_id]


def test_a_text_that_just_fits_is_whole(processor):
    (ids,) = processor.texts_to_ids(["red " * 9])
    assert len(ids) == 11
    assert ids[-1] == processor.tokenizer.sep_token_id
    assert len(processor.texts_to_ids([""])[0]) == 2


def test_no_room_for_a_piece_is_an_error(processor):
    with pytest.raises(ConfigError, match="max_text_tokens"):
        InterBertProcessor(processor.feature_extractor, processor.tokenizer, 2)


def test_features_of_the_wrong_size_name_their_place_and_both_sizes(processor):
    with pytest.raises(RegionError, match="row 7: regions have 4 features, the model wants 3"):
        processor.image_inputs(regions(size=4), where="row 7")
